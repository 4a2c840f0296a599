"""One row a minute and domain: what charts and the estimated time of arrival are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from mailferry.store.database import db_now
from mailferry.store.schema import samples
from mailferry.store.upsert import upsert

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What happened in one minute (seconds since 1970 of its beginning)."""

    at: float
    messages: int
    octets: int
    late: int
    skipped: int
    logins: int


def add(
    conn: Connection,
    domain: str,
    *,
    messages: int = 0,
    octets: int = 0,
    late: int = 0,
    skipped: int = 0,
    logins: int = 0,
    now: float | None = None,
) -> None:
    """Add to the domain's present minute."""
    at = db_now(conn) if now is None else now
    counts = {"messages": messages, "octets": octets, "late": late, "skipped": skipped, "logins": logins}
    conn.execute(
        upsert(conn, samples)
        .values(domain=domain, minute=int(at // MINUTE), **counts)
        .on_conflict_do_update(
            index_elements=["domain", "minute"],
            set_={name: samples.c[name] + count for name, count in counts.items()},
        )
    )


def series(
    conn: Connection,
    *,
    since: float,
    until: float,
    domain: str | None = None,
    within: frozenset[str] | None = None,
    step: int = 1,
) -> Sequence[Sample]:
    """Return the samples of a span in order of time, summed over `step` minutes and all domains.

    Only one domain's where it is named, and only those of `within`.
    """
    minute = samples.c.minute.op("/")(step).label("slot")
    sums = [func.sum(samples.c[name]) for name in ("messages", "octets", "late", "skipped", "logins")]
    query = (
        select(minute, *sums)
        .where(samples.c.minute >= int(since // MINUTE), samples.c.minute < until / MINUTE)
        .group_by(minute)
        .order_by(minute)
    )
    if domain is not None:
        query = query.where(samples.c.domain == domain)
    if within is not None:
        query = query.where(samples.c.domain.in_(sorted(within)))
    return [
        Sample(int(slot) * step * MINUTE, *(int(value) for value in values))
        for slot, *values in conn.execute(query)
    ]


def late_by_domain(conn: Connection, *, since: float) -> Mapping[str, int]:
    """Return how many late messages each domain had; domains with none are left out."""
    query = (
        select(samples.c.domain, func.sum(samples.c.late))
        .where(samples.c.minute >= int(since // MINUTE), samples.c.late > 0)
        .group_by(samples.c.domain)
    )
    return {name: int(late) for name, late in conn.execute(query)}


def late_series(conn: Connection, *, since: float, step: int) -> Sequence[tuple[str, float, int]]:
    """Return domain, beginning of the step of so many minutes, and late messages, where there were any."""
    slot = samples.c.minute.op("/")(step)
    query = (
        select(samples.c.domain, slot, func.sum(samples.c.late))
        .where(samples.c.minute >= int(since // MINUTE), samples.c.late > 0)
        .group_by(samples.c.domain, slot)
        .order_by(samples.c.domain, slot)
    )
    return [(name, int(at) * step * MINUTE, int(late)) for name, at, late in conn.execute(query)]


def prune(conn: Connection, *, before: float) -> int:
    """Remove samples older than `before`; return how many."""
    return conn.execute(delete(samples).where(samples.c.minute < int(before // MINUTE))).rowcount
