"""Hosts of sources that do not let us, as all copiers know them: left alone together, tried again together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from mailferry.store.database import db_now
from mailferry.store.schema_copy import source_hosts
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class TroubledHost:
    """A host at which the last `failures` openings of sessions failed; no session is opened before `held_until`."""

    host: str
    failures: int
    held_until: float
    because: str | None


def troubled(conn: Connection) -> Mapping[str, TroubledHost]:
    """Return all hosts whose last opening failed."""
    columns = (
        source_hosts.c.host,
        source_hosts.c.failures,
        source_hosts.c.held_until,
        source_hosts.c.because,
    )
    return {row.host: TroubledHost(*row) for row in conn.execute(select(*columns))}


def failures_of(conn: Connection, host: str) -> int:
    """Return how many openings in a row failed at a host."""
    found = conn.execute(select(source_hosts.c.failures).where(source_hosts.c.host == host)).scalar()
    return int(found or 0)


def failed(
    conn: Connection, host: str, *, failures: int, pause: float, because: str, now: float | None = None
) -> None:
    """Note one more failure; no session is opened there for `pause` seconds."""
    at = db_now(conn) if now is None else now
    values = {"failures": failures, "held_until": at + pause, "because": because[:500]}
    conn.execute(
        upsert(conn, source_hosts)
        .values(host=host, **values)
        .on_conflict_do_update(index_elements=["host"], set_=values)
    )


def works(conn: Connection, host: str) -> None:
    """Note that a session was opened: all is forgotten."""
    conn.execute(delete(source_hosts).where(source_hosts.c.host == host))
