"""Rows that many tests begin with."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from mailferry.model.access import Protocol, Side
from mailferry.model.account import Event, Trigger
from mailferry.store import accounts, domains, mailboxes, nodes, sessions
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.sessions import SessionOpening


def add_domain(conn: Connection, name: str = "a.test", **rules) -> domains.Domain:
    found = domains.find(conn, name)
    return found or domains.add(conn, name, source_imap="imaps://old.test", **rules)


def idle(store: Database, address: str = "user@a.test") -> Account:
    def work(conn):
        domain = add_domain(conn, address.rpartition("@")[2])
        return accounts.ensure(conn, address, domain.name)

    return store.run_now("account", work)


def precopy(store: Database, address: str = "user@a.test") -> Account:
    account = idle(store, address)
    return apply(store, account, Event.SOURCE_ACCEPTED, trigger=Trigger.IMAP)


def apply(store: Database, account: Account, event: Event, **changes) -> Account:
    return store.run_now(
        event.value, lambda conn: accounts.apply(conn, account.id, event, epoch=account.epoch, **changes)
    )


def now_of(store: Database, account: Account) -> Account:
    return store.read_now("account", lambda conn: accounts.get(conn, account.id))


def mailbox(store: Database, account: Account, name: bytes = b"INBOX") -> CopiedMailbox:
    return store.run_now("mailbox", lambda conn: mailboxes.ensure(conn, account.id, name, target_name=name))


def node(
    store: Database, *, role: str = "proxy", host: str = "here", boot: str = "b1", pid: int = 11, **more
) -> int:
    return store.run_now("node", lambda conn: nodes.register(conn, role, host, boot, pid, **more))


def opening(account: Account, node_id: int, **changes) -> SessionOpening:
    """Return a session of the account that is about to be dialled."""
    made = SessionOpening.of(
        account, node_id=node_id, protocol=Protocol.IMAP, side=Side.SOURCE, client="192.0.2.7"
    )
    return replace(made, **changes)


def open_row(conn: Connection, account: Account, node_id: int) -> int:
    """Write the row of a session, as the gate does."""
    return sessions.open_session(conn, opening(account, node_id))


def open_session(
    store: Database, account: Account, node_id: int, *, now: float | None = None, **changes
) -> int:
    about = opening(account, node_id, **changes)
    return store.run_now("open", lambda conn: sessions.open_session(conn, about, now=now))
