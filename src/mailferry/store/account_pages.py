"""Pages of accounts, by key: whatever they are sorted by, a page costs about as much as what it shows.

By address and by phase a page is a walk along an index, one for each domain and phase that is asked for,
and the database puts the walks together. By percent and by time, which change with each batch that is
copied, it is one look over the accounts that keeps the best of them; no index is kept up to date for it.
Where the database would take a dearer way than that one look, it is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)

from mailferry.model.account import STATES, Phase, State
from mailferry.store.account_listing import AccountFilter, conditions
from mailferry.store.accounts import Account, account_of, columns
from mailferry.store.schema import accounts

PAGE = 100
MOST_WALKS = 60
"""Beyond so many walks (many domains at once) the database sorts by itself."""

_DONE = [phase.value for phase, state in STATES.items() if state is State.DONE]
_ORDER = tuple(Phase)


class Sort(StrEnum):
    """What pages are sorted by; addresses decide between equals."""

    ADDRESS = "address"
    STATE = "state"
    PERCENT = "percent"
    ACTIVITY = "activity"
    """When its last run ended, or else when it began or was added."""


class BadKey(ValueError):
    """The key of a page that no page gave."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `next_after` is the key of the next one, None at the end."""

    accounts: Sequence[Account]
    next_after: str | None


def listing(
    conn: Connection,
    wanted: AccountFilter | None = None,
    *,
    after: str | None = None,
    limit: int = PAGE,
    sort: Sort = Sort.ADDRESS,
    descending: bool = False,
) -> Page:
    """Return the page that follows the key `after`; raises BadKey for a key of another order."""
    only = wanted or AccountFilter()
    match sort:
        case Sort.ADDRESS:
            keys = [(address, address) for address in _by_address(conn, only, after, limit + 1, descending)]
        case Sort.STATE:
            keys = _by_phase(conn, only, after, limit + 1, descending)
        case Sort.PERCENT | Sort.ACTIVITY:
            measure = _percent(conn) if sort is Sort.PERCENT else _activity()
            keys = _by_measure(conn, only, measure, after, limit + 1, descending)
    shown = keys[:limit]
    next_after = shown[-1][1] if len(keys) > limit else None
    return Page(accounts=_whole(conn, [address for address, _ in shown]), next_after=next_after)


def _whole(conn: Connection, addresses: Sequence[str]) -> list[Account]:
    """Return the accounts in the order of their addresses here."""
    rows = conn.execute(select(*columns()).where(accounts.c.address.in_(addresses))).mappings()
    found = {account.address: account for account in map(account_of, rows)}
    return [found[address] for address in addresses if address in found]


def _by_address(
    conn: Connection, only: AccountFilter, after: str | None, limit: int, descending: bool
) -> list[str]:
    begin = [] if after is None else [_beyond(accounts.c.address, after, descending)]
    if only.search and conn.dialect.name == "postgresql":
        return _looked_through(conn, [*conditions(only), *begin], limit, descending)
    order = accounts.c.address.desc() if descending else accounts.c.address
    walks = [[*walk, *begin] for walk in _walks(only)]
    queries = [select(accounts.c.address).where(*walk).order_by(order).limit(limit) for walk in walks]
    return _together(conn, queries, limit, descending)


def _looked_through(
    conn: Connection, wanted: Sequence[ColumnElement[bool]], limit: int, descending: bool
) -> list[str]:
    """Find all that fit by one look over the table, and sort those.

    PostgreSQL cannot know how rare a part of an address is. It would walk along the index in the hope of
    a full page soon, and where few fit read every row by it, at five times the price.
    """
    found = select(accounts.c.address).where(*wanted).cte("found").prefix_with("MATERIALIZED")
    order = found.c.address.desc() if descending else found.c.address
    return list(conn.execute(select(found.c.address).order_by(order).limit(limit)).scalars())


def _together(conn: Connection, queries: Sequence[Select[Any]], limit: int, descending: bool) -> list[str]:
    """Run walks in one statement; the database compares addresses, in whose order the indexes are."""
    if len(queries) == 1:
        return list(conn.execute(queries[0]).scalars())
    parts = [select(query.subquery().c.address) for query in queries]
    both = union_all(*parts).subquery()
    order = both.c.address.desc() if descending else both.c.address
    return list(conn.execute(select(both.c.address).order_by(order).limit(limit)).scalars())


def _walks(only: AccountFilter) -> list[list[ColumnElement[bool]]]:
    """Return what each walk along an index asks for; all together are what the filter wants."""
    rest = conditions(only)
    if only.cause is not None or only.actor is not None:
        return [rest]  # few fail, and there is an index of those who did
    names = [only.domain] if only.domain is not None else sorted(only.within or ())
    phases = wanted_phases(only)
    some = phases if len(phases) < len(_ORDER) or names else ()
    places = [accounts.c.domain == name for name in names]
    stages = [accounts.c.phase == phase.value for phase in some]
    if not stages or len(stages) * max(1, len(places)) > MOST_WALKS:
        return [rest]
    if not places:
        return [[stage, *rest] for stage in stages]
    return [[place, stage, *rest] for place in places for stage in stages]


def wanted_phases(only: AccountFilter) -> list[Phase]:
    """Return the phases that the filter lets through, in the order of a move."""
    return [
        phase
        for phase in _ORDER
        if (only.state is None or STATES[phase] is only.state) and (only.phase is None or phase is only.phase)
    ]


def _by_phase(
    conn: Connection, only: AccountFilter, after: str | None, limit: int, descending: bool
) -> list[tuple[str, str]]:
    phases = wanted_phases(only)
    if descending:
        phases.reverse()
    address_after = None
    if after is not None:
        name, _, address_after = after.partition(" ")
        if name not in set(Phase):
            raise BadKey("the page's key is none of a list by state")
        phases = phases[phases.index(Phase(name)) :] if Phase(name) in phases else []
    found: list[tuple[str, str]] = []
    for phase in phases:
        begin = None if found else address_after
        walk = [accounts.c.phase == phase.value, *conditions(only)]
        if begin is not None:
            walk.append(_beyond(accounts.c.address, begin, descending))
            address_after = None
        order = accounts.c.address.desc() if descending else accounts.c.address
        query = select(accounts.c.address).where(*walk).order_by(order).limit(limit - len(found))
        found += [(address, f"{phase.value} {address}") for address in conn.execute(query).scalars()]
        if len(found) >= limit:
            break
    return found


def _by_measure(
    conn: Connection,
    only: AccountFilter,
    measure: ColumnElement[float],
    after: str | None,
    limit: int,
    descending: bool,
) -> list[tuple[str, str]]:
    """Only keys and addresses are sorted: whole rows would be carried through the sorting."""
    key = measure.label("measure")
    query: Select[Any] = select(accounts.c.address, key).where(*_as_one_look(conn, only))
    if after is not None:
        number, _, address = after.partition(" ")
        try:
            begin = float(number)
        except ValueError:
            raise BadKey("the page's key is none of this order") from None
        beyond = measure < begin if descending else measure > begin
        query = query.where(or_(beyond, and_(measure == begin, accounts.c.address > address)))
    order = key.desc() if descending else key
    rows = conn.execute(query.order_by(order, accounts.c.address).limit(limit))
    return [(address, f"{float(value)!r} {address}") for address, value in rows]


def _as_one_look(conn: Connection, only: AccountFilter) -> list[ColumnElement[bool]]:
    """Return the conditions so that SQLite reads the table in its own order.

    A third of all accounts by the index of their phases are a third of all accounts in random order,
    which takes it three times as long as reading all of them.
    """
    few = only.domain is not None or only.cause is not None or only.actor is not None
    if conn.dialect.name != "sqlite" or few:
        return conditions(only)
    phases = [phase.value for phase in wanted_phases(only)]
    rest = conditions(replace(only, state=None, phase=None, within=None))
    if len(phases) < len(_ORDER):
        rest.append(func.coalesce(accounts.c.phase, "").in_(phases))
    if only.within is not None:
        rest.append(func.coalesce(accounts.c.domain, "").in_(sorted(only.within)))
    return rest


def _beyond(column: ColumnElement[str], key: str, descending: bool) -> ColumnElement[bool]:
    return column < key if descending else column > key


def _percent(conn: Connection) -> ColumnElement[float]:
    """How much is copied, as `roster/account_views` counts it but not rounded; each row is asked little for it."""
    c = accounts.c
    settled = c.copied + c.skipped
    share = _share if conn.dialect.name == "postgresql" else _ratio
    measure = case(
        (c.phase.in_(_DONE), literal(100.0, Double)),
        (c.total <= 0, literal(0.0, Double)),
        (settled >= c.total, literal(99.9, Double)),
        (c.bytes_total > 0, share(c.bytes_copied, c.bytes_total)),
        else_=share(settled, c.total),
    )
    return cast(measure, Double)


def _ratio(part: ColumnElement[int], whole: ColumnElement[int]) -> ColumnElement[float]:
    """As SQLite divides: one side is floating. Each `CAST` would be a step more for each row."""
    return type_coerce((literal(100.0, Double) * part).op("/")(whole), Double)


def _share(part: ColumnElement[int], whole: ColumnElement[int]) -> ColumnElement[float]:
    """In floating numbers on both sides: PostgreSQL's exact ones take twice as long over all accounts."""
    ratio: Any = literal(100.0, Double) * cast(part, Double) / cast(whole, Double)
    return cast(ratio, Double)


def _activity() -> ColumnElement[float]:
    c = accounts.c
    return func.coalesce(c.last_run_ended_at, c.finished_at, c.started_at, c.added_at)
