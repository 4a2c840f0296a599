"""Deletions at the source that our own sessions saw acknowledged, for the copier's brake (design A5).

Each session tells its running sum, so that telling it twice does no harm; the account bears what no
pass has looked at yet. What gets lost is held until an administrator approves, no more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, case, select, update

from mailferry.store.schema import accounts, sessions

_TOLD = (
    select(sessions.c.account_id, sessions.c.deletions_told)
    .where(sessions.c.id == bindparam("this"))
    .with_for_update()
)
_SEEN = select(accounts.c.deletions_seen).where(accounts.c.id == bindparam("this"))


def tell(conn: Connection, numbers: Mapping[int, int]) -> None:
    """Bring session rows, by id, to the number that each has seen since it began; rows that are gone stay so."""
    for session_id, number in sorted(numbers.items()):
        row = conn.execute(_TOLD, {"this": session_id}).first()
        if row is None or number <= row.deletions_told:
            continue
        conn.execute(update(sessions).where(sessions.c.id == session_id).values(deletions_told=number))
        conn.execute(
            update(accounts)
            .where(accounts.c.id == row.account_id)
            .values(deletions_seen=accounts.c.deletions_seen + (number - row.deletions_told))
        )


def seen(conn: Connection, account_id: int) -> int:
    """Return how many deletions sessions saw that no pass has looked at."""
    return int(conn.execute(_SEEN, {"this": account_id}).scalar_one())


def take_off(conn: Connection, account_id: int, number: int) -> None:
    """Subtract what a pass has looked at; never below zero, and what was seen meanwhile stays."""
    left = accounts.c.deletions_seen - number
    conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(deletions_seen=case((left > 0, left), else_=0))
    )
