"""Which copier works on which account: a lease in the account's row, with a number that only grows.

A lease that ran out may be taken by another node; its number then differs, and the first holder's
next write finds out (`hold`) and writes nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Double, bindparam, func, literal, or_, select, update

from mailferry.store.accounts import Account, account_of, columns
from mailferry.store.database import db_now
from mailferry.store.domains import DAY, GRACE_DAYS
from mailferry.store.faults import LeaseLost
from mailferry.store.schema import accounts, domains, nodes

_HELD = (
    select(*columns())
    .where(
        accounts.c.id == bindparam("this"),
        accounts.c.lease_node == bindparam("node"),
        accounts.c.lease_number == bindparam("number"),
        accounts.c.lease_until > bindparam("at"),
    )
    .with_for_update()
)


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


def take(
    conn: Connection,
    node_id: int,
    *,
    limit: int,
    lease_seconds: float,
    now: float | None = None,
    except_domains: Collection[str] = (),
) -> Sequence[LeasedAccount]:
    """Take at most `limit` accounts that are due and return them, longest due first.

    Due are passes of PRECOPY and BACKFILL, sweeps asked for, retries of BLOCKED and STALLED; not
    accounts or domains that are paused, nor copies whose domain's window has been over for 30 days.
    """
    at = db_now(conn) if now is None else now
    alive = select(nodes.c.id).where(nodes.c.id == node_id).with_for_update(read=True)
    if limit <= 0 or conn.execute(alive).first() is None:
        return []
    query = (
        select(accounts.c.id)
        .join(domains, domains.c.name == accounts.c.domain)
        .where(
            accounts.c.next_due_at <= at,
            or_(accounts.c.lease_until.is_(None), accounts.c.lease_until <= at),
            accounts.c.paused.is_(False),
            domains.c.paused.is_(False),
            domains.c.window_ends_at > at - GRACE_DAYS * DAY,
        )
        .order_by(accounts.c.next_due_at, accounts.c.id)
        .limit(limit)
        .with_for_update(of=accounts, skip_locked=True)
    )
    if except_domains:
        query = query.where(accounts.c.domain.not_in(list(except_domains)))
    ids = list(conn.execute(query).scalars())
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


def queue_length(conn: Connection, *, now: float | None = None) -> int:
    """Return how many accounts are due and have no holder."""
    at = db_now(conn) if now is None else now
    query = select(func.count()).where(
        accounts.c.next_due_at <= at, or_(accounts.c.lease_until.is_(None), accounts.c.lease_until <= at)
    )
    return conn.execute(query).scalar_one()
