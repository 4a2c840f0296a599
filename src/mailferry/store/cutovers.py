"""The way of one account from the source to the target: want, drain, freeze, flip, or back out.

A freeze is set only when no session row is left, and carries a deadline on the database's clock;
whoever meets it expired sets the account back to PRECOPY.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from mailferry.model.access import Protocol
from mailferry.model.account import Event, Phase
from mailferry.store.accounts import Account, account_of, apply, columns, locked
from mailferry.store.database import db_now
from mailferry.store.faults import Conflict, NotAllowed, StillOpen
from mailferry.store.schema import accounts, sessions


def want(conn: Connection, account_id: int, wanted: bool) -> None:
    """Say that the account waits for a quiet moment (or no longer): its nodes then report which sessions rest."""
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(cutover_wanted=wanted))


def quiet(conn: Connection, account_id: int) -> bool:
    """Whether the account has no POP3 session and each of its IMAP sessions rests."""
    disturbing = (sessions.c.protocol == Protocol.POP3.value) | sessions.c.resting.is_(False)
    row = conn.execute(select(sessions.c.id).where(sessions.c.account_id == account_id, disturbing).limit(1))
    return row.first() is None


def open_count(conn: Connection, account_id: int) -> int:
    """Return how many session rows the account has."""
    query = select(func.count()).select_from(sessions).where(sessions.c.account_id == account_id)
    return conn.execute(query).scalar_one()


def start_drain(conn: Connection, account_id: int, epoch: int, until: float) -> Account:
    """Let no new session open before `until` (database clock) and have the nodes end those that are open.

    Raises Conflict when the epoch changed, NotAllowed outside PRECOPY and BLOCKED.
    """
    account = _seen(conn, account_id, epoch)
    if account.phase not in {Phase.PRECOPY, Phase.BLOCKED}:
        raise NotAllowed(account.phase, Event.FREEZE_SET)
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(drain_until=until))
    return locked(conn, account_id)


def end_drain(conn: Connection, account_id: int) -> None:
    """Drop a drain that did not succeed in time; the account waits for another moment."""
    conn.execute(
        update(accounts).where(accounts.c.id == account_id).values(drain_until=None, cutover_wanted=False)
    )


def freeze(
    conn: Connection, account_id: int, epoch: int, deadline: float, *, now: float | None = None
) -> Account:
    """Freeze the account until `deadline` (database clock) for its last pass.

    Raises StillOpen while a session row is left, Conflict and NotAllowed as `apply` does.
    """
    account = _seen(conn, account_id, epoch)
    left = open_count(conn, account.id)
    if left:
        raise StillOpen(left)
    return apply(conn, account_id, Event.FREEZE_SET, epoch=epoch, now=now, freeze_until=deadline)


def flip(
    conn: Connection, account_id: int, epoch: int, *, now: float | None = None, detail: str | None = None
) -> Account:
    """Move the account to the target for good; the last pass was clean.

    Raises Conflict when the freeze was ended by somebody else or its deadline has passed (then it is
    the caller's to back out), StillOpen when a session row exists against all rules.
    """
    account = _seen(conn, account_id, epoch)
    at = db_now(conn) if now is None else now
    if account.phase is Phase.FREEZE and (account.freeze_until is None or account.freeze_until <= at):
        raise Conflict(f"{account.address}: the deadline of its freeze has passed")
    left = open_count(conn, account_id)
    if left:
        raise StillOpen(left)
    # due at once: late mail is looked for even when the copier does not outlive this commit
    return apply(
        conn, account_id, Event.FLIPPED, epoch=epoch, now=at, detail=detail, freeze_overruns=0, next_due_at=at
    )


def back_out(
    conn: Connection,
    account_id: int,
    epoch: int,
    *,
    overrun: bool = False,
    detail: str | None = None,
    next_due_at: float | None = None,
    now: float | None = None,
) -> Account:
    """End a freeze without a flip: back to PRECOPY, tried again at `next_due_at` (None: at once).

    `overrun` counts it as a freeze that was too long. Raises Conflict and NotAllowed as `apply` does.
    """
    account = _seen(conn, account_id, epoch)
    at = db_now(conn) if now is None else now
    return apply(
        conn,
        account_id,
        Event.BACKED_OUT,
        epoch=epoch,
        now=at,
        detail=detail,
        freeze_overruns=account.freeze_overruns + int(overrun),
        next_due_at=at if next_due_at is None else next_due_at,
    )


def back_out_expired(conn: Connection, account: Account, *, now: float) -> Account:
    """Set back a freeze whose deadline has passed; `account` was read under its lock."""
    return back_out(
        conn, account.id, account.epoch, overrun=True, detail="the freeze passed its deadline", now=now
    )


def expire_freezes(conn: Connection, now: float | None = None) -> Sequence[Account]:
    """Set back all freezes whose deadline has passed and return their accounts."""
    at = db_now(conn) if now is None else now
    query = (
        select(*columns())
        .where(accounts.c.freeze_until <= at, accounts.c.phase == Phase.FREEZE.value)
        .order_by(accounts.c.id)
        .with_for_update(skip_locked=True)
    )
    expired = [account_of(row) for row in conn.execute(query).mappings()]
    return [back_out_expired(conn, account, now=at) for account in expired]


def leave_early(
    conn: Connection,
    account_id: int,
    event: Event,
    *,
    epoch: int,
    now: float | None = None,
    who: str | None = None,
    detail: str | None = None,
) -> Account:
    """Move an account to the target before its copy is complete (EARLY_SWITCH, TARGET_ACCEPTED_FOREIGN).

    Raises StillOpen while a session row is left: at most one side is open to the user at any time.
    """
    account = _seen(conn, account_id, epoch)
    left = open_count(conn, account.id)
    if left:
        raise StillOpen(left)
    return apply(conn, account_id, event, epoch=epoch, now=now, who=who, detail=detail)


def _seen(conn: Connection, account_id: int, epoch: int) -> Account:
    account = locked(conn, account_id)
    if account.epoch != epoch:
        raise Conflict(f"{account.address}: epoch {account.epoch} in the store, {epoch} seen")
    return account
