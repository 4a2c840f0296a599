"""The move over time, for charts: accounts by state, messages and octets, flips and freezes, late mail, logins.

Counts of accounts are reckoned back from how they stand now by the changes in their history, so that
both always agree; the rest comes from the samples of each minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from mailferry.model.account import STATES, State
from mailferry.roster.lookup import domain_at, no_such_domain
from mailferry.store import account_listing, phase_changes, samples
from mailferry.store.database import Database, db_now
from mailferry.store.phase_changes import Freezes

SPANS: Mapping[str, tuple[float, int]] = {
    "6h": (6 * 3600.0, 5),
    "24h": (24 * 3600.0, 15),
    "7d": (7 * 86400.0, 120),
    "30d": (30 * 86400.0, 480),
}
"""Name of a span to its length in seconds and the minutes that one point stands for."""
DOMAINS_APART = 5
"""Late mail is shown for so many domains apart, those with most of it."""


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """Every list has one value for each time in `times` (seconds since 1970, the beginning of `step` seconds)."""

    times: Sequence[float]
    step: float
    states: Mapping[State, Sequence[int]]
    """Accounts at the end of each step."""
    messages: Sequence[float]
    """A second."""
    octets: Sequence[float]
    """A second."""
    logins: Sequence[float]
    """A minute."""
    late: Mapping[str, Sequence[int]]
    """By domain; the name is empty for all others together."""
    flips: Sequence[int]
    longest_freeze: Sequence[float]
    """In seconds."""


def chart_series(
    database: Database, span: str, *, domain: str | None = None, within: frozenset[str] | None = None
) -> ChartSeries:
    """Return what happened in a span of `SPANS`; raises NoSuchDomain."""
    seconds, minutes = SPANS[span]
    step = minutes * samples.MINUTE
    points = round(seconds / step)

    def read(conn: Connection) -> ChartSeries:
        name = None if domain is None else domain_at(conn, domain).name
        if name is not None and within is not None and name not in within:
            raise no_such_domain(name)
        now = db_now(conn)
        since = (now // step - points + 1) * step
        times = [since + number * step for number in range(points)]
        place = {at: number for number, at in enumerate(times)}
        found = samples.series(
            conn, since=since, until=now + samples.MINUTE, domain=name, within=within, step=minutes
        )
        sums = {place[sample.at]: sample for sample in found if sample.at in place}
        froze = _by_place(
            phase_changes.freezes(conn, since=since, step=step, domain=name, within=within), place
        )
        return ChartSeries(
            times=times,
            step=step,
            states=_states(conn, since, step, times, name, within),
            messages=[sums[n].messages / step if n in sums else 0.0 for n in range(points)],
            octets=[sums[n].octets / step if n in sums else 0.0 for n in range(points)],
            logins=[sums[n].logins / minutes if n in sums else 0.0 for n in range(points)],
            late=_late(conn, since, minutes, place, name, within),
            flips=[froze[n].flipped if n in froze else 0 for n in range(points)],
            longest_freeze=[froze[n].longest if n in froze else 0.0 for n in range(points)],
        )

    return database.read_now("charts", read)


def _by_place(found: Sequence[Freezes], place: Mapping[float, int]) -> dict[int, Freezes]:
    return {place[one.at]: one for one in found if one.at in place}


def _states(
    conn: Connection,
    since: float,
    step: float,
    times: Sequence[float],
    domain: str | None,
    within: frozenset[str] | None,
) -> Mapping[State, Sequence[int]]:
    """Go back from now: undo each step's changes, and take away accounts that were not there yet."""
    counts = dict(account_listing.counts_by_state(conn, domain, within))
    undone: dict[float, dict[State, int]] = {at: dict.fromkeys(State, 0) for at in times}
    for change in phase_changes.changes(conn, since=since, step=step, domain=domain, within=within):
        if change.at in undone:
            undone[change.at][STATES[change.before]] += change.accounts
            undone[change.at][STATES[change.after]] -= change.accounts
    for at, number in phase_changes.added(conn, since=since, step=step, domain=domain, within=within):
        if at in undone:
            undone[at][State.NOT_STARTED] -= number
    lines: dict[State, list[int]] = {state: [] for state in State}
    for at in reversed(times):
        for state in State:
            lines[state].append(max(0, counts[state]))
            counts[state] += undone[at][state]
    return {state: line[::-1] for state, line in lines.items()}


def _late(
    conn: Connection,
    since: float,
    minutes: int,
    place: Mapping[float, int],
    domain: str | None,
    within: frozenset[str] | None,
) -> Mapping[str, Sequence[int]]:
    by_domain: dict[str, list[int]] = {}
    for name, at, late in samples.late_series(conn, since=since, step=minutes):
        if (domain is None or name == domain) and (within is None or name in within) and at in place:
            by_domain.setdefault(name, [0] * len(place))[place[at]] += late
    most = sorted(by_domain, key=lambda name: (-sum(by_domain[name]), name))
    shown = {name: by_domain[name] for name in most[:DOMAINS_APART]}
    others = [by_domain[name] for name in most[DOMAINS_APART:]]
    if others:
        shown[""] = [sum(column) for column in zip(*others, strict=True)]
    return shown
