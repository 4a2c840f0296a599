"""Looking at many accounts at once: filters, counts by state and cause, sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from mailferry.model.account import STATES, Phase, State
from mailferry.model.causes import CAUSES, Actor, Cause
from mailferry.store.accounts import Account, account_of, columns
from mailferry.store.schema import accounts, passwords


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts; everything given must hold. `search` is a part of the address, `within` some domains."""

    domain: str | None = None
    state: State | None = None
    phase: Phase | None = None
    cause: Cause | None = None
    search: str | None = None
    paused: bool | None = None
    within: frozenset[str] | None = None
    actor: Actor | None = None
    """Who must act so that it goes on."""
    verified: bool | None = None
    """Whether the source has taken a password of it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How many accounts of a domain are in a phase with a cause."""

    domain: str
    phase: Phase
    cause: Cause
    accounts: int


_SUMMED = ("total", "copied", "skipped", "bytes_total", "bytes_copied")


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over accounts, for the overview."""

    accounts: int
    messages: int
    copied: int
    skipped: int
    bytes_total: int
    bytes_copied: int


def _of(domain: str | None, within: frozenset[str] | None = None) -> list[ColumnElement[bool]]:
    """Return the conditions for one domain, or for any of some, or both; None is all of them."""
    found: list[ColumnElement[bool]] = []
    if domain is not None:
        found.append(accounts.c.domain == domain)
    if within is not None:
        found.append(accounts.c.domain.in_(sorted(within)))
    return found


def conditions(wanted: AccountFilter) -> list[ColumnElement[bool]]:
    """Return what the filter asks of an account's row."""
    found = _of(wanted.domain, wanted.within)
    if wanted.state is not None:
        phases = [phase.value for phase, state in STATES.items() if state is wanted.state]
        found.append(accounts.c.phase.in_(phases))
    if wanted.phase is not None:
        found.append(accounts.c.phase == wanted.phase.value)
    if wanted.cause is not None:
        found.append(accounts.c.cause == wanted.cause.value)
    if wanted.actor is not None:
        causes = [cause.value for cause, facts in CAUSES.items() if facts.actor is wanted.actor]
        found.append(accounts.c.cause.in_(causes))
    if wanted.search:
        found.append(accounts.c.address.contains(wanted.search.lower(), autoescape=True))
    if wanted.paused is not None:
        found.append(accounts.c.paused.is_(wanted.paused))
    if wanted.verified is not None:
        taken = passwords.c.verified_at.is_not(None)
        theirs = select(passwords.c.account_id).where(taken, passwords.c.account_id == accounts.c.id).exists()
        found.append(theirs if wanted.verified else ~theirs)
    return found


def count(conn: Connection, wanted: AccountFilter | None = None) -> int:
    """Return how many accounts fit."""
    query = select(func.count()).select_from(accounts).where(*conditions(wanted or AccountFilter()))
    return conn.execute(query).scalar_one()


def counts_by_state(
    conn: Connection, domain: str | None = None, within: frozenset[str] | None = None
) -> Mapping[State, int]:
    """Return the number of accounts in each state, zeroes included."""
    counts = dict.fromkeys(State, 0)
    for phase, number in counts_by_phase(conn, domain, within).items():
        counts[STATES[phase]] += number
    return counts


def counts_by_phase(
    conn: Connection, domain: str | None = None, within: frozenset[str] | None = None
) -> Mapping[Phase, int]:
    """Return the number of accounts in each phase that occurs."""
    query = select(accounts.c.phase, func.count()).where(*_of(domain, within)).group_by(accounts.c.phase)
    return {Phase(phase): number for phase, number in conn.execute(query)}


def counts_by_cause(
    conn: Connection, domain: str | None = None, within: frozenset[str] | None = None
) -> Mapping[Cause, int]:
    """Return the number of failed accounts by cause, for those that occur."""
    failed = [phase.value for phase, state in STATES.items() if state is State.FAILED]
    query = (
        select(accounts.c.cause, func.count())
        .where(accounts.c.cause.is_not(None), accounts.c.phase.in_(failed), *_of(domain, within))
        .group_by(accounts.c.cause)
    )
    return {Cause(cause): number for cause, number in conn.execute(query)}


def totals(conn: Connection, domain: str | None = None, within: frozenset[str] | None = None) -> Totals:
    """Return the sums over all accounts, or over those of one domain."""
    query = select(func.count(), *(func.coalesce(func.sum(accounts.c[name]), 0) for name in _SUMMED))
    query = query.select_from(accounts).where(*_of(domain, within))
    return Totals(*(int(value) for value in conn.execute(query).one()))


def counts_by_domain(
    conn: Connection, domain: str | None = None, within: frozenset[str] | None = None
) -> Sequence[tuple[str, Phase, int]]:
    """Return domain, phase and number of accounts, for those that occur; one walk along an index."""
    group = (accounts.c.domain, accounts.c.phase)
    query = select(*group, func.count()).where(*_of(domain, within)).group_by(*group)
    return [(name, Phase(phase), int(number)) for name, phase, number in conn.execute(query)]


def troubles(
    conn: Connection, domain: str | None = None, within: frozenset[str] | None = None
) -> Sequence[Trouble]:
    """Return the accounts with a cause, failed or still trying, by domain, phase and cause."""
    # by cause first: SQLite then reads the index of those who have one, and no other row
    group = (accounts.c.cause, accounts.c.domain, accounts.c.phase)
    query = select(*group, func.count()).where(accounts.c.cause.is_not(None), *_of(domain, within))
    return [
        Trouble(name, Phase(phase), Cause(cause), int(number))
        for cause, name, phase, number in conn.execute(query.group_by(*group))
    ]


def started(conn: Connection, domain: str) -> int:
    """Return how many accounts of the domain have begun their move."""
    resting = (Phase.IDLE.value, Phase.LOCAL.value)
    query = select(func.count()).where(accounts.c.domain == domain, accounts.c.phase.not_in(resting))
    return conn.execute(query).scalar_one()


def in_phase(conn: Connection, domain: str, phase: Phase, *, limit: int = 500) -> Sequence[Account]:
    """Return accounts of the domain in that phase, at most `limit`; the caller moves them on and asks again."""
    query = (
        select(*columns())
        .where(accounts.c.domain == domain, accounts.c.phase == phase.value)
        .order_by(accounts.c.id)
        .limit(limit)
    )
    return [account_of(row) for row in conn.execute(query).mappings()]
