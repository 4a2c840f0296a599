"""Deletions at the source that our own sessions saw acknowledged, for the copier's brake (design A5).

They are kept by mailbox, by the names that clients used (`model.tap.Deletions`). Each session tells its
running sums, so that telling them twice does no harm; the account bears what no pass has looked at yet.
What gets lost is held until an administrator approves, no more.

Beside them the account bears how many of its sessions have ended since a pass looked: what changed at the
source while there was none was changed past us.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mailferry.store.prepared import Prepared
from mailferry.store.schema import deletions_seen, deletions_told, sessions
from mailferry.store.upsert import upsert

if TYPE_CHECKING:
    from mailferry.store.upsert import Upsert

_ENDED = b"\0ENDED"
"""In place of a mailbox's name: sessions that ended. NUL stands in no IMAP name (RFC 3501 9)."""
_SESSION = select(sessions.c.account_id).where(sessions.c.id == bindparam("this")).with_for_update()
_TOLD = select(deletions_told.c.mailbox, deletions_told.c.number).where(
    deletions_told.c.session_id == bindparam("this")
)
_SEEN = select(deletions_seen.c.mailbox, deletions_seen.c.number).where(
    deletions_seen.c.account_id == bindparam("this"), deletions_seen.c.mailbox != _ENDED
)
_SESSIONS_ENDED = select(deletions_seen.c.number).where(
    deletions_seen.c.account_id == bindparam("this"), deletions_seen.c.mailbox == _ENDED
)


def tell(conn: Connection, numbers: Mapping[int, Mapping[bytes, int]]) -> None:
    """Bring session rows, by id, to the numbers that each has seen since it began; rows that are gone stay so."""
    for session_id, by_mailbox in sorted(numbers.items()):
        row = conn.execute(_SESSION, {"this": session_id}).first()
        if row is None:
            continue
        told = _numbers(conn.execute(_TOLD, {"this": session_id}))
        for mailbox, number in sorted(by_mailbox.items()):
            more = number - told.get(mailbox, 0)
            if more > 0:
                _add(conn, deletions_told, {"session_id": session_id, "mailbox": mailbox}, more)
                _add(conn, deletions_seen, {"account_id": row.account_id, "mailbox": mailbox}, more)


def seen(conn: Connection, account_id: int) -> Mapping[bytes, int]:
    """Return how many deletions sessions saw that no pass has looked at, by mailbox."""
    return _numbers(conn.execute(_SEEN, {"this": account_id}))


def _ended(into: Upsert, which: ColumnElement[bool]) -> Upsert:
    """Return the statement that counts `which` sessions; `into` is an insert into `deletions_seen`."""
    ended = (
        select(sessions.c.account_id, literal(_ENDED, LargeBinary), func.count())
        .where(which)
        .group_by(sessions.c.account_id)
    )
    into = into.from_select(["account_id", "mailbox", "number"], ended)
    more = {"number": deletions_seen.c.number + into.excluded.number}
    return into.on_conflict_do_update(index_elements=["account_id", "mailbox"], set_=more)


_THIS_ONE = sessions.c.id == bindparam("this")
_ONE_ENDED = Prepared(_ended(sqlite_insert(deletions_seen), _THIS_ONE))


def session_ended(conn: Connection, session_id: int) -> None:
    """Count a session whose row is about to go; one that is gone counts no more."""
    if conn.dialect.name == "sqlite":
        _ONE_ENDED.on(conn, {"this": session_id})
    else:
        conn.execute(_ended(upsert(conn, deletions_seen), _THIS_ONE), {"this": session_id})


def jot_ended(driver: sqlite3.Connection, session_id: int) -> None:
    """Do the same on SQLite's own connection."""
    _ONE_ENDED.on_driver(driver, {"this": session_id})


def node_ended(conn: Connection, node_id: int) -> None:
    """Count the sessions of a node that is about to go."""
    conn.execute(_ended(upsert(conn, deletions_seen), sessions.c.node_id == node_id))


def sessions_ended(conn: Connection, account_id: int) -> int:
    """Return how many sessions of the account have ended that no pass has looked at."""
    return conn.execute(_SESSIONS_ENDED, {"this": account_id}).scalar() or 0


def looked_at_ended(conn: Connection, account_id: int, number: int) -> None:
    """Take off sessions that a pass has looked at."""
    take_off(conn, account_id, {_ENDED: number})


def take_off(conn: Connection, account_id: int, numbers: Mapping[bytes, int]) -> None:
    """Subtract what a pass has looked at; never below zero, and what was seen meanwhile stays."""
    for mailbox, number in sorted(numbers.items()):
        here = (deletions_seen.c.account_id == account_id, deletions_seen.c.mailbox == mailbox)
        conn.execute(update(deletions_seen).where(*here).values(number=deletions_seen.c.number - number))
        conn.execute(delete(deletions_seen).where(*here, deletions_seen.c.number <= 0))


def _add(conn: Connection, table: Table, key: Mapping[str, object], more: int) -> None:
    """Add to a row's number; the row is made when it is missing."""
    conn.execute(
        upsert(conn, table)
        .values(**key, number=more)
        .on_conflict_do_update(index_elements=list(key), set_={"number": table.c.number + more})
    )


def _numbers(rows: Iterable[Row[tuple[bytes, int]]]) -> dict[bytes, int]:
    return {row.mailbox: row.number for row in rows}
