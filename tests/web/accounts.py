"""Accounts and domains for pages to show."""

from __future__ import annotations

from typing import Any

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.store import accounts, domains, passwords
from mailferry.store.accounts import Account
from mailferry.store.database import Database

DOMAIN = "old.test"
USER = "li@old.test"


def add_domain(database: Database, name: str = DOMAIN, provider: str = "generic") -> None:
    database.run_now(
        "domain",
        lambda conn: domains.add(conn, name, source_imap="imaps://imap.old.test", provider=provider),
    )


def add_account(database: Database, address: str = USER, *events: Event, **facts: Any) -> Account:
    """Make an account, lead it through `events`, and note `facts`."""

    def make(conn: Any) -> Account:
        account = accounts.ensure(conn, address, address.rpartition("@")[2])
        for event in events:
            account = accounts.apply(conn, account.id, event, epoch=account.epoch)
        if facts:
            accounts.note(conn, account.id, **facts)
        return accounts.get(conn, account.id)

    return database.run_now("account", make)


def add_failed(
    database: Database, address: str = USER, cause: Cause = Cause.EXPIRED, text: str = ""
) -> Account:
    return add_account(
        database,
        address,
        Event.SOURCE_ACCEPTED,
        Event.GAVE_UP,
        cause=cause,
        cause_text=text or None,
        total=200,
        copied=50,
        skipped=2,
    )


def push_password(database: Database, account: Account) -> None:
    """Note that the user's password was accepted by the source and set at the target."""

    def note(conn: Any) -> None:
        passwords.verified(
            conn, account.id, password_epoch=0, verifier="v", sealed=b"s", window_number=1, at=1000.0
        )
        passwords.pushed(conn, account.id, password_epoch=1, pushed_hash="h", at=1001.0)

    database.run_now("password", note)


def add_five_with_passwords(database: Database) -> list[str]:
    """Make a domain with five accounts that may be switched, and return their addresses."""
    add_domain(database)
    everybody = [f"u{number}@{DOMAIN}" for number in range(5)]
    for address in everybody:
        push_password(database, add_account(database, address, Event.SOURCE_ACCEPTED))
    return everybody


def get(database: Database, address: str = USER) -> Account:
    found = database.read_now("account", lambda conn: accounts.find(conn, address))
    assert found is not None
    return found
