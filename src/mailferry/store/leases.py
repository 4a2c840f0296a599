"""Which copier works on which account: a lease in the account's row, with a number that only grows.

A lease that ran out may be taken by another node; its number then differs, and the first holder's
next write finds out (`hold`) and writes nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Double, bindparam, func, literal, or_, select, update

from mailferry.store.accounts import Account, account_of, columns
from mailferry.store.database import db_now
from mailferry.store.domains import DAY, GRACE_DAYS
from mailferry.store.faults import LeaseLost
from mailferry.store.prepared import Prepared
from mailferry.store.schema import accounts, domains, nodes

_OURS = (
    accounts.c.id == bindparam("this"),
    accounts.c.lease_node == bindparam("node"),
    accounts.c.lease_number == bindparam("number"),
    accounts.c.lease_until > bindparam("at"),
)
_HELD = select(*columns()).where(*_OURS).with_for_update()
_STANDS = Prepared(select(accounts.c.id).where(*_OURS).with_for_update())


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to copy one account until `until` (database clock)."""

    account_id: int
    node_id: int
    number: int
    until: float


@dataclass(frozen=True, slots=True)
class LeasedAccount:
    """An account that is due, with the lease on it. What is to be done follows from its phase."""

    account: Account
    lease: Lease


@dataclass(frozen=True, slots=True)
class DueDomain:
    """Due accounts of one domain that nobody holds: how many (no more than were asked about), and since when."""

    domain: str
    accounts: int
    due_at: float


def take(
    conn: Connection,
    node_id: int,
    *,
    limit: int,
    lease_seconds: float,
    now: float | None = None,
    shares: Mapping[str, int] | None = None,
) -> Sequence[LeasedAccount]:
    """Take at most `limit` accounts that are due and return them, longest due first.

    With `shares`, domain to number, so many of these domains alone. Due are passes of PRECOPY and
    BACKFILL, sweeps asked for, retries of BLOCKED and STALLED; not accounts or domains that are paused,
    domains whose source takes any password, nor copies whose domain's window has been over for 30 days.
    """
    at = db_now(conn) if now is None else now
    alive = select(nodes.c.id).where(nodes.c.id == node_id).with_for_update(read=True)
    if limit <= 0 or conn.execute(alive).first() is None:
        return []
    query = (
        select(accounts.c.id)
        .join(domains, domains.c.name == accounts.c.domain)
        .where(*_due(at))
        .order_by(accounts.c.next_due_at, accounts.c.id)
        .with_for_update(of=accounts, skip_locked=True)
    )
    ids: list[int] = []
    if shares is None:
        ids += conn.execute(query.limit(limit)).scalars()
    for domain, number in (shares or {}).items():
        ids += conn.execute(query.where(accounts.c.domain == domain).limit(number)).scalars()
    if not ids:
        return []
    until = at + lease_seconds
    conn.execute(
        update(accounts)
        .where(accounts.c.id.in_(ids))
        .values(
            lease_node=node_id,
            lease_number=accounts.c.lease_number + 1,
            lease_until=until,
            woken_at=None,
        )
    )
    rows = conn.execute(select(*columns()).where(accounts.c.id.in_(ids))).mappings()
    taken = {account.id: account for account in map(account_of, rows)}
    return [
        LeasedAccount(taken[account_id], Lease(account_id, node_id, taken[account_id].lease_number, until))
        for account_id in ids
    ]


def _due(at: float) -> tuple[ColumnElement[bool], ...]:
    """Return what is so of an account that may be taken; its domain's row is joined."""
    return (
        accounts.c.next_due_at <= at,
        or_(accounts.c.lease_until.is_(None), accounts.c.lease_until <= at),
        accounts.c.paused.is_(False),
        domains.c.paused.is_(False),
        domains.c.source_blocked_at.is_(None),
        domains.c.window_ends_at > at - GRACE_DAYS * DAY,
    )


def due_domains(conn: Connection, *, enough: int, now: float | None = None) -> Sequence[DueDomain]:
    """Return the domains that have due accounts, with at most `enough` of each.

    While no more than `enough` accounts are due in all, only these are looked at; else each domain is.
    """
    at = db_now(conn) if now is None else now
    due = select(accounts.c.domain, accounts.c.next_due_at).join(domains, domains.c.name == accounts.c.domain)
    first = conn.execute(due.where(*_due(at)).order_by(accounts.c.next_due_at).limit(enough + 1)).all()
    if len(first) <= enough:
        found: dict[str, DueDomain] = {}
        for domain, due_at in first:
            before = found.get(domain, DueDomain(domain, 0, due_at))
            found[domain] = DueDomain(domain, before.accounts + 1, before.due_at)
        return list(found.values())
    own = (
        select(accounts.c.next_due_at)
        .where(accounts.c.domain == domains.c.name, *_due(at))
        .order_by(accounts.c.next_due_at)
        .limit(enough)
        .correlate(domains)
        .subquery()
    )
    number = select(func.count()).select_from(own).scalar_subquery()
    since = select(func.min(own.c.next_due_at)).scalar_subquery()
    rows = conn.execute(select(domains.c.name, number.label("number"), since.label("since")))
    return [DueDomain(row.name, row.number, row.since) for row in rows if row.number]


def held_by_domain(conn: Connection, *, now: float | None = None) -> Mapping[str, int]:
    """Return how many accounts of each domain are worked on now, in whichever process."""
    at = db_now(conn) if now is None else now
    rows = conn.execute(
        select(accounts.c.domain, func.count())
        .where(accounts.c.lease_node.is_not(None), accounts.c.lease_until > at)
        .group_by(accounts.c.domain)
    )
    return {row[0]: row[1] for row in rows}


def renew(conn: Connection, lease: Lease, *, lease_seconds: float, now: float | None = None) -> Lease:
    """Prolong the lease and return it; raises LeaseLost."""
    at = db_now(conn) if now is None else now
    until = at + lease_seconds
    changed = conn.execute(
        update(accounts)
        .where(
            accounts.c.id == lease.account_id,
            accounts.c.lease_node == lease.node_id,
            accounts.c.lease_number == lease.number,
            accounts.c.lease_until > at,
        )
        .values(lease_until=until)
    )
    if not changed.rowcount:
        raise LeaseLost(f"account number {lease.account_id}: another copier has it")
    return Lease(lease.account_id, lease.node_id, lease.number, until)


def hold(conn: Connection, lease: Lease, *, now: float | None = None) -> Account:
    """Return the account, locked, when the lease still stands; raises LeaseLost.

    The first line of every transaction in which a copier writes: the loser of a lease writes nothing more.
    """
    at = db_now(conn) if now is None else now
    asked = {"this": lease.account_id, "node": lease.node_id, "number": lease.number, "at": at}
    row = conn.execute(_HELD, asked).mappings().first()
    if row is None:
        raise LeaseLost(f"account number {lease.account_id}: another copier has it")
    return account_of(row)


def require(conn: Connection, lease: Lease, *, now: float | None = None) -> None:
    """Do as `hold` does, without reading the account: for the many transactions of a copy."""
    at = db_now(conn) if now is None else now
    asked = {"this": lease.account_id, "node": lease.node_id, "number": lease.number, "at": at}
    if not _STANDS.on(conn, asked):
        raise LeaseLost(f"account number {lease.account_id}: another copier has it")


def release(conn: Connection, lease: Lease, *, next_due_at: float | None) -> None:
    """Give the account back; it is due again at `next_due_at` (None: not by itself), or at once when woken meanwhile.

    Silent when the lease was lost.
    """
    conn.execute(
        update(accounts)
        .where(
            accounts.c.id == lease.account_id,
            accounts.c.lease_node == lease.node_id,
            accounts.c.lease_number == lease.number,
        )
        .values(
            lease_node=None,
            lease_until=None,
            next_due_at=func.coalesce(accounts.c.woken_at, literal(next_due_at, Double)),
        )
    )


def queue_length(conn: Connection, *, within: frozenset[str] | None = None, now: float | None = None) -> int:
    """Return how many accounts (of the domains `within`) are due and have no holder."""
    at = db_now(conn) if now is None else now
    query = select(func.count()).where(
        accounts.c.next_due_at <= at, or_(accounts.c.lease_until.is_(None), accounts.c.lease_until <= at)
    )
    if within is not None:
        query = query.where(accounts.c.domain.in_(sorted(within)))
    return conn.execute(query).scalar_one()
