"""Client networks from which somebody logged in, for the guessing shield of every process.

They are known here by keyed hashes only. When one was seen is kept to the hour or so; times are on the
database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, select

from mailferry.store.database import db_now
from mailferry.store.schema import known_networks
from mailferry.store.upsert import upsert

MOST_NETWORKS = 20_000
"""The network that was seen longest ago is forgotten first."""

_AT_ONCE = 500
"""Rows a statement: SQLite takes so many variables whatever it was built with."""


def note(
    conn: Connection, networks: Collection[bytes], *, most: int = MOST_NETWORKS, now: float | None = None
) -> None:
    """Note that somebody logged in from each of `networks`; beyond `most` the oldest go."""
    at = db_now(conn) if now is None else now
    rows = [{"network": network, "seen_at": at} for network in sorted(networks)]  # in one order: no deadlock
    for first in range(0, len(rows), _AT_ONCE):
        wanted = upsert(conn, known_networks).values(rows[first : first + _AT_ONCE])
        conn.execute(
            wanted.on_conflict_do_update(
                index_elements=[known_networks.c.network], set_={"seen_at": wanted.excluded.seen_at}
            )
        )
    newest_first = known_networks.c.seen_at.desc(), known_networks.c.network
    surplus = select(known_networks.c.network).order_by(*newest_first).limit(10 * _AT_ONCE).offset(most)
    conn.execute(delete(known_networks).where(known_networks.c.network.in_(surplus)))


def seen_since(
    conn: Connection, since: float, *, now: float | None = None
) -> tuple[float, Sequence[tuple[bytes, float]]]:
    """Return the present moment, and the networks seen since `since` with how many seconds ago, longest ago first."""
    at = db_now(conn) if now is None else now
    query = (
        select(known_networks.c.network, known_networks.c.seen_at)
        .where(known_networks.c.seen_at >= since)
        .order_by(known_networks.c.seen_at, known_networks.c.network)
    )
    return at, [(row.network, at - row.seen_at) for row in conn.execute(query)]
