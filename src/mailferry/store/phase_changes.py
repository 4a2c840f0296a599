"""What the history of all accounts says over time: how many changed from which phase to which, and how
long freezes took. Charts are made of it, so that no count is kept that could disagree with the accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select

from mailferry.model.account import Phase
from mailferry.store.schema import accounts, history


@dataclass(frozen=True, slots=True)
class Changes:
    """So many accounts went from one phase to another in the slot that begins at `at` (seconds since 1970)."""

    at: float
    before: Phase
    after: Phase
    accounts: int


@dataclass(frozen=True, slots=True)
class Freezes:
    """Freezes that ended in a slot: how many, of them how many with a flip, and the longest in seconds."""

    at: float
    ended: int
    flipped: int
    longest: float


def changes(
    conn: Connection,
    *,
    since: float,
    step: float,
    domain: str | None = None,
    within: frozenset[str] | None = None,
) -> Sequence[Changes]:
    """Return the changes from `since` on, summed over slots of `step` seconds, in order of time."""
    slot = _slot(conn, history.c.at, since, step)
    query: Any = select(slot, history.c.phase_from, history.c.phase_to, func.count())
    query = _of(query.where(history.c.at >= since), domain, within)
    rows = conn.execute(query.group_by(slot, history.c.phase_from, history.c.phase_to).order_by(slot))
    return [
        Changes(since + int(number) * step, Phase(before), Phase(after), int(count))
        for number, before, after, count in rows
    ]


def added(
    conn: Connection,
    *,
    since: float,
    step: float,
    domain: str | None = None,
    within: frozenset[str] | None = None,
) -> Sequence[tuple[float, int]]:
    """Return how many accounts were added, by slot; they begin as not started."""
    slot = _slot(conn, accounts.c.added_at, since, step)
    query = select(slot, func.count()).where(accounts.c.added_at >= since, *_domains(domain, within))
    rows = conn.execute(query.group_by(slot).order_by(slot))
    return [(since + int(number) * step, int(count)) for number, count in rows]


def freezes(
    conn: Connection,
    *,
    since: float,
    step: float,
    domain: str | None = None,
    within: frozenset[str] | None = None,
) -> Sequence[Freezes]:
    """Return the freezes that ended from `since` on, by slot.

    A freeze begins with the row of the epoch before the one that ended it.
    """
    begin = history.alias("begin")
    slot = _slot(conn, history.c.at, since, step)
    flipped = (history.c.phase_to == Phase.SWITCHED.value).label("flipped")
    follows = (begin.c.account_id == history.c.account_id) & (begin.c.epoch == history.c.epoch - 1)
    query: Any = (
        select(slot, flipped, func.count(), func.max(history.c.at - begin.c.at))
        .select_from(history)
        .join(begin, follows & (begin.c.phase_to == Phase.FREEZE.value))
        .where(history.c.at >= since, history.c.phase_from == Phase.FREEZE.value)
    )
    query = _of(query, domain, within)
    found: dict[float, Freezes] = {}
    for number, with_flip, count, longest in conn.execute(query.group_by(slot, flipped)):
        at = since + int(number) * step
        known = found.get(at, Freezes(at, 0, 0, 0.0))
        found[at] = Freezes(
            at,
            known.ended + int(count),
            known.flipped + (int(count) if with_flip else 0),
            max(known.longest, float(longest)),
        )
    return [found[at] for at in sorted(found)]


def _slot(conn: Connection, at: ColumnElement[float], since: float, step: float) -> ColumnElement[int]:
    """The number of the slot that a time falls into; a cast rounds in PostgreSQL and cuts in SQLite."""
    slots = (at - since) / step
    return cast(func.floor(slots) if conn.dialect.name == "postgresql" else slots, BigInteger)


def _of(query: Any, domain: str | None, within: frozenset[str] | None) -> Any:
    """Return the query over history for the accounts of some domains alone."""
    asked = _domains(domain, within)
    return query.join(accounts, accounts.c.id == history.c.account_id).where(*asked) if asked else query


def _domains(domain: str | None, within: frozenset[str] | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if domain is not None:
        found.append(accounts.c.domain == domain)
    if within is not None:
        found.append(accounts.c.domain.in_(sorted(within)))
    return found
