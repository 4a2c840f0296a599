"""Octets read from sources in the last 24 hours, by the hour, where somebody set a limit on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, func, select

from mailferry.store.database import db_now
from mailferry.store.schema_copy import pace_hours
from mailferry.store.upsert import upsert

HOUR = 3600.0


def spend(conn: Connection, octets: Mapping[str, int], *, now: float | None = None) -> Mapping[str, int]:
    """Add what was read, by subject (a host, an account), and return the sums of 24 hours over all processes."""
    hour = int((db_now(conn) if now is None else now) // HOUR)
    for subject, number in sorted(octets.items()):
        if number:
            row = upsert(conn, pace_hours).values(subject=subject, hour=hour, octets=number)
            more = {"octets": pace_hours.c.octets + number}
            conn.execute(row.on_conflict_do_update(index_elements=["subject", "hour"], set_=more))
    return spent(conn, octets, now=hour * HOUR)


def spent(conn: Connection, subjects: Collection[str], *, now: float | None = None) -> Mapping[str, int]:
    """Return the sums of the present hour and the 23 before it."""
    hour = int((db_now(conn) if now is None else now) // HOUR)
    rows = conn.execute(
        select(pace_hours.c.subject, func.sum(pace_hours.c.octets))
        .where(pace_hours.c.subject.in_(list(subjects)), pace_hours.c.hour > hour - 24)
        .group_by(pace_hours.c.subject)
    )
    sums = {subject: int(total) for subject, total in rows}
    return {subject: sums.get(subject, 0) for subject in subjects}


def prune(conn: Connection, *, now: float | None = None) -> None:
    """Forget hours that count no longer."""
    hour = int((db_now(conn) if now is None else now) // HOUR)
    conn.execute(delete(pace_hours).where(pace_hours.c.hour <= hour - 24))
