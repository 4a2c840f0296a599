"""Looking at many accounts at once: pages by key, counts by state and cause, windows that are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from mailferry.model.account import STATES, Phase, State
from mailferry.model.causes import Cause
from mailferry.store.accounts import Account, account_of, columns
from mailferry.store.schema import accounts

PAGE = 100


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts; everything given must hold. `search` is a part of the address."""

    domain: str | None = None
    state: State | None = None
    phase: Phase | None = None
    cause: Cause | None = None
    search: str | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page, ordered by address; `next_after` is the key of the next page, None at the end."""

    accounts: Sequence[Account]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over accounts, for the overview."""

    accounts: int
    messages: int
    copied: int
    skipped: int
    bytes_total: int
    bytes_copied: int


def _conditions(wanted: AccountFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.domain is not None:
        found.append(accounts.c.domain == wanted.domain)
    if wanted.state is not None:
        phases = [phase.value for phase, state in STATES.items() if state is wanted.state]
        found.append(accounts.c.phase.in_(phases))
    if wanted.phase is not None:
        found.append(accounts.c.phase == wanted.phase.value)
    if wanted.cause is not None:
        found.append(accounts.c.cause == wanted.cause.value)
    if wanted.search:
        found.append(accounts.c.address.contains(wanted.search.lower(), autoescape=True))
    if wanted.paused is not None:
        found.append(accounts.c.paused.is_(wanted.paused))
    return found


def listing(
    conn: Connection, wanted: AccountFilter | None = None, *, after: str | None = None, limit: int = PAGE
) -> Page:
    """Return the page of accounts whose addresses follow `after`."""
    query: Select[Any] = select(*columns()).where(*_conditions(wanted or AccountFilter()))
    if after is not None:
        query = query.where(accounts.c.address > after)
    rows = conn.execute(query.order_by(accounts.c.address).limit(limit + 1)).mappings()
    found = [account_of(row) for row in rows]
    more = len(found) > limit
    return Page(accounts=found[:limit], next_after=found[limit - 1].address if more else None)


def count(conn: Connection, wanted: AccountFilter | None = None) -> int:
    """Return how many accounts fit."""
    query = select(func.count()).select_from(accounts).where(*_conditions(wanted or AccountFilter()))
    return conn.execute(query).scalar_one()


def counts_by_state(conn: Connection, domain: str | None = None) -> Mapping[State, int]:
    """Return the number of accounts in each state, zeroes included."""
    counts = dict.fromkeys(State, 0)
    for phase, number in counts_by_phase(conn, domain).items():
        counts[STATES[phase]] += number
    return counts


def counts_by_phase(conn: Connection, domain: str | None = None) -> Mapping[Phase, int]:
    """Return the number of accounts in each phase that occurs."""
    query = select(accounts.c.phase, func.count()).group_by(accounts.c.phase)
    if domain is not None:
        query = query.where(accounts.c.domain == domain)
    return {Phase(phase): number for phase, number in conn.execute(query)}


def counts_by_cause(conn: Connection, domain: str | None = None) -> Mapping[Cause, int]:
    """Return the number of failed accounts by cause, for those that occur."""
    failed = [phase.value for phase, state in STATES.items() if state is State.FAILED]
    query = (
        select(accounts.c.cause, func.count())
        .where(accounts.c.cause.is_not(None), accounts.c.phase.in_(failed))
        .group_by(accounts.c.cause)
    )
    if domain is not None:
        query = query.where(accounts.c.domain == domain)
    return {Cause(cause): number for cause, number in conn.execute(query)}


def totals(conn: Connection, domain: str | None = None) -> Totals:
    """Return the sums over all accounts, or over those of one domain."""
    summed = ("total", "copied", "skipped", "bytes_total", "bytes_copied")
    query = select(func.count(), *(func.coalesce(func.sum(accounts.c[name]), 0) for name in summed))
    query = query.select_from(accounts)
    if domain is not None:
        query = query.where(accounts.c.domain == domain)
    return Totals(*(int(value) for value in conn.execute(query).one()))


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
