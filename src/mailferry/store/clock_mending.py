"""Times in the store that lie too far ahead to have been meant: a clock was wrong when they were written (D22).

A clock that stood a year ahead for a minute, or is put back by a day, leaves moments that would be
waited for: accounts that are due next year, a lease that nobody can take, a freeze that ends tomorrow,
wrong passwords that count until then. Nothing here decides over what cannot be undone; windows have
their own rule (`domains.confirm_ended`).
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, literal, or_, select, update

from mailferry.store.database import db_now
from mailferry.store.schema import accounts, known_networks, nodes, passwords, wrong_tries

PLANNED_SECONDS = 36 * 3600.0
"""Nothing is planned farther ahead than this: a source that is copied from at some hours only waits a day."""

HELD_SECONDS = 900.0
"""A lease, a drain and a freeze end within minutes."""

NOTED_SECONDS = 60.0
"""What is noted has happened: two processes' moments of one database differ by less."""

_AHEAD: tuple[tuple[Table, str, float], ...] = (
    (accounts, "next_due_at", PLANNED_SECONDS),
    (accounts, "next_retry_at", PLANNED_SECONDS),
    (accounts, "woken_at", NOTED_SECONDS),
    (accounts, "lease_until", HELD_SECONDS),
    (accounts, "drain_until", HELD_SECONDS),
    (accounts, "freeze_until", HELD_SECONDS),
    (passwords, "tries_forgotten_at", NOTED_SECONDS),
    (nodes, "renewed_at", NOTED_SECONDS),
    (known_networks, "seen_at", NOTED_SECONDS),
)


def ahead(conn: Connection, *, now: float | None = None) -> bool:
    """Whether there is anything to mend: a look that writes nothing, for each round of the housekeeping."""
    at = db_now(conn) if now is None else now
    return any(conn.execute(select(literal(1)).where(exists().where(where))).first() for where in _where(at))


def mend(conn: Connection, *, now: float | None = None) -> int:
    """Let every moment that is too far ahead be now, and forget tries of the future; returns how many."""
    at = db_now(conn) if now is None else now
    mended = conn.execute(delete(wrong_tries).where(wrong_tries.c.at > at + NOTED_SECONDS)).rowcount
    for table, name, seconds in _AHEAD:
        column = table.c[name]
        mended += conn.execute(update(table).where(column > at + seconds).values({name: at})).rowcount
    return mended


def _where(at: float) -> Iterator[ColumnElement[bool]]:
    yield wrong_tries.c.at > at + NOTED_SECONDS
    for wanted in dict.fromkeys(table for table, _, _ in _AHEAD):
        yield or_(*(table.c[name] > at + seconds for table, name, seconds in _AHEAD if table is wanted))
