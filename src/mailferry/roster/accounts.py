"""Looking at accounts: one of them whole, pages of many, their history and what was not copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from mailferry.model.account import State
from mailferry.model.causes import Cause
from mailferry.roster.account_views import history_row, skipped_row, summary, whole
from mailferry.roster.lookup import account_at, domain_at
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import account_listing, cutovers, passwords, remarks
from mailferry.store import accounts as account_rows
from mailferry.store import skipped as skipped_rows
from mailferry.store.account_listing import AccountFilter
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now

Choice = TypeVar("Choice", State, Cause)

PAGE = 100
LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class AccountPage:
    """One page of summaries; `next_after` is the `after` of the next page, None at the end."""

    accounts: list[dict[str, Any]]
    next_after: str | None
    matching: int
    """How many accounts fit the filter in all."""


def wanted(
    *,
    domain: str | None = None,
    state: str | None = None,
    cause: str | None = None,
    search: str | None = None,
    paused: bool | None = None,
) -> AccountFilter:
    """Return the filter that the words mean; raises RosterRefusal that names what is known."""
    return AccountFilter(
        domain=None if domain is None else domain.strip().rstrip(".").lower(),
        state=None if state is None else _known(State, state, "state"),
        cause=None if cause is None else _known(Cause, cause, "cause"),
        search=search or None,
        paused=paused,
    )


def page(
    database: Database, only: AccountFilter | None = None, *, after: str | None = None, limit: int = PAGE
) -> AccountPage:
    """Return one page, ordered by address."""

    def read(conn: Connection) -> AccountPage:
        if only is not None and only.domain is not None:
            domain_at(conn, only.domain)
        now = db_now(conn)
        size = max(1, min(limit, LARGEST_PAGE))
        found = account_listing.listing(conn, only, after=after, limit=size)
        return AccountPage(
            accounts=[summary(account, now=now) for account in found.accounts],
            next_after=found.next_after,
            matching=account_listing.count(conn, only),
        )

    return database.read_now("accounts", read)


def every(database: Database, only: AccountFilter | None = None) -> Iterator[dict[str, Any]]:
    """Return all summaries that fit, page by page, so that no list of all accounts is ever held."""
    after: str | None = None
    while True:
        found = page(database, only, after=after, limit=LARGEST_PAGE)
        yield from found.accounts
        after = found.next_after
        if after is None:
            return


def show(database: Database, address: str) -> dict[str, Any]:
    """Return everything about one account (contract, section 5); raises NoSuchAccount."""

    def read(conn: Connection) -> dict[str, Any]:
        account = account_at(conn, address)
        return whole(
            account,
            domain_at(conn, account.domain),
            passwords.get(conn, account.id),
            now=db_now(conn),
            sessions=cutovers.open_count(conn, account.id),
            remarks=remarks.of_account(conn, account.id),
        )

    return database.read_now("account", read)


def log(database: Database, address: str, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return the account's changes of phase, newest first."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        account = account_at(conn, address)
        return [history_row(row) for row in account_rows.log(conn, account.id, limit=limit)]

    return database.read_now("account log", read)


def skipped(database: Database, address: str, *, after: int = 0, limit: int = 500) -> list[dict[str, Any]]:
    """Return messages of the account that were not copied, those whose ids follow `after`."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        account = account_at(conn, address)
        rows = skipped_rows.listing(conn, account.id, after=after, limit=limit)
        return [skipped_row(row) for row in rows]

    return database.read_now("skipped", read)


def every_skipped(database: Database, address: str) -> Iterator[Sequence[dict[str, Any]]]:
    """Yield all messages of the account that were not copied, page by page; at least one page, maybe empty."""
    found = skipped(database, address, limit=LARGEST_PAGE)
    while True:
        yield found
        if len(found) < LARGEST_PAGE:
            return
        found = skipped(database, address, after=found[-1]["id"], limit=LARGEST_PAGE)


def find(database: Database, address: str) -> Account:
    """Return the account's row; raises NoSuchAccount."""
    return database.read_now("account", lambda conn: account_at(conn, address))


def _known(kind: type[Choice], word: str, what: str) -> Choice:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(choice.value for choice in kind)
        raise RosterRefusal(f"there is no {what} {word}; known are {known}") from None
