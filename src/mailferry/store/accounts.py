"""Accounts: one row each, changed by compare-and-set on its epoch together with a history row.

The account's row is the lock of everything that belongs to the account: a transaction that decides
by more than this row locks it first (`locked`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from mailferry.model.account import BEFORE_FLIP, ON_TARGET, Event, Phase, State, Trigger, next_phase, state_of
from mailferry.model.causes import Cause
from mailferry.store import notices
from mailferry.store.database import db_now
from mailferry.store.faults import Conflict, NotAllowed, Unknown
from mailferry.store.prepared import Prepared, Row
from mailferry.store.schema import accounts, flips, history
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class Account:
    """One account as stored; times in seconds since 1970, None for what has not happened."""

    id: int
    address: str
    domain: str
    source_login: str | None
    """Login name at the source where it differs from the address."""
    phase: Phase
    epoch: int
    """Counts the changes of phase; who saw another number decides anew."""
    added_at: float
    trigger: Trigger | None
    first_trigger_at: float | None
    started_at: float | None
    finished_at: float | None
    last_result: str | None
    """`done`, `more`, `failed`: how the last run ended."""
    last_run_ended_at: float | None
    cause: Cause | None
    cause_text: str | None
    """The server's own words, for the administrator only."""
    next_retry_at: float | None
    failed_runs: int
    """Runs that failed since the last one that did not."""
    total: int
    copied: int
    skipped: int
    bytes_total: int
    bytes_copied: int
    completeness: str | None
    """`good`, `suspect`, `poor`; None before it was graded."""
    used_pop3: bool
    bypass_changes: int
    """Changes at the source that no session of ours made."""
    bypass_last_at: float | None
    paused: bool
    approved_at: float | None
    """When an administrator approved what was held: a suspect copy, held deletions."""
    cutover_wanted: bool
    drain_until: float | None
    freeze_until: float | None
    freeze_overruns: int
    sweep_asked_at: float | None
    swept_at: float | None
    next_due_at: float | None
    lease_node: int | None
    lease_number: int
    lease_until: float | None

    @property
    def state(self) -> State:
        """The state that is shown."""
        return state_of(self.phase)

    @property
    def remaining(self) -> int:
        """Messages neither copied nor skipped yet."""
        return max(0, self.total - self.copied - self.skipped)


class AccountChanges(TypedDict, total=False):
    """Columns that may change together with the phase, or by `note`."""

    source_login: str | None
    trigger: Trigger
    last_result: str | None
    last_run_ended_at: float | None
    cause: Cause | None
    cause_text: str | None
    next_retry_at: float | None
    failed_runs: int
    total: int
    copied: int
    skipped: int
    bytes_total: int
    bytes_copied: int
    completeness: str | None
    used_pop3: bool
    bypass_changes: int
    bypass_last_at: float | None
    paused: bool
    approved_at: float | None
    cutover_wanted: bool
    drain_until: float | None
    freeze_until: float | None
    freeze_overruns: int
    sweep_asked_at: float | None
    swept_at: float | None
    next_due_at: float | None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of phase."""

    id: int
    at: float
    event: str
    phase_from: Phase
    phase_to: Phase
    epoch: int
    cause: Cause | None
    detail: str | None
    who: str | None


_NAMES = [field.name for field in fields(Account)]
_COLUMNS = [accounts.c[name] for name in _NAMES]
_PHASE, _TRIGGER, _CAUSE = (_NAMES.index(name) for name in ("phase", "trigger", "cause"))
_PHASES = {phase.value: phase for phase in Phase}
_TRIGGERS = {trigger.value: trigger for trigger in Trigger}
# statements of every login and every batch are built once: building them costs more than running them
_BY_ADDRESS = select(*_COLUMNS).where(accounts.c.address == bindparam("address"))
_BY_ID = select(*_COLUMNS).where(accounts.c.id == bindparam("this"))
_LOCKED = _BY_ID.with_for_update()
_FIND, _GET, _LOCK = Prepared(_BY_ADDRESS), Prepared(_BY_ID), Prepared(_LOCKED)
_PROGRESS = Prepared(
    update(accounts)
    .where(accounts.c.id == bindparam("this"))
    .values(
        copied=accounts.c.copied + bindparam("more"),
        bytes_copied=accounts.c.bytes_copied + bindparam("octets"),
        skipped=accounts.c.skipped + bindparam("left_out"),
    )
)
_ASK_SWEEP = Prepared(
    update(accounts)
    .where(
        accounts.c.id == bindparam("this"),
        accounts.c.phase == Phase.SWITCHED.value,
        or_(
            accounts.c.sweep_asked_at.is_(None),
            accounts.c.next_due_at.is_(None),
            accounts.c.next_due_at > bindparam("at"),
        ),
    )
    .values(sweep_asked_at=bindparam("at"), next_due_at=bindparam("at"), woken_at=bindparam("at"))
)
_DUE_AT_ONCE = frozenset({Phase.PRECOPY, Phase.BACKFILL})
_FROM_OUTSIDE = frozenset(
    {
        Event.SOURCE_ACCEPTED,
        Event.SOURCE_ACCEPTED_AT_ONCE,
        Event.OLD_PASSWORD_ENTERED,
        Event.EARLY_SWITCH,
        Event.TARGET_ACCEPTED_FOREIGN,
    }
)
"""Events that come from a login or an administrator while a copier may still be at the account."""
_ENDS_CUTOVER: AccountChanges = {"cutover_wanted": False, "drain_until": None, "freeze_until": None}


def account_of(row: RowMapping) -> Account:
    """Return the account in `row`, which holds exactly the columns of `columns()`."""
    return account_of_row([row[column] for column in _COLUMNS])


def account_of_row(row: Row) -> Account:
    """Return the account whose columns stand in `row` in the order of `columns()`."""
    values = list(row)
    values[_PHASE] = _PHASES[values[_PHASE]]
    values[_TRIGGER] = None if values[_TRIGGER] is None else _TRIGGERS[values[_TRIGGER]]
    values[_CAUSE] = None if values[_CAUSE] is None else Cause(values[_CAUSE])
    return Account(*values)


def columns() -> list[Any]:
    """Return the columns that make an `Account`."""
    return list(_COLUMNS)


def find(conn: Connection, address: str) -> Account | None:
    """Return the account of the canonical address, or None."""
    rows = _FIND.on(conn, {"address": address})
    return account_of_row(rows[0]) if rows else None


def get(conn: Connection, account_id: int) -> Account:
    """Return the account; raises Unknown."""
    rows = _GET.on(conn, {"this": account_id})
    if not rows:
        raise Unknown(f"there is no account number {account_id}")
    return account_of_row(rows[0])


def locked(conn: Connection, account_id: int) -> Account:
    """Return the account and keep its row from all other writers until the transaction ends; raises Unknown."""
    rows = _LOCK.on(conn, {"this": account_id})
    if not rows:
        raise Unknown(f"there is no account number {account_id}")
    return account_of_row(rows[0])


def ensure(
    conn: Connection, address: str, domain: str, *, source_login: str | None = None, now: float | None = None
) -> Account:
    """Return the account of the canonical address, made in phase IDLE when it is new; safe under races."""
    found = find(conn, address)
    if found is not None:
        return found
    values = {
        "address": address,
        "domain": domain,
        "source_login": source_login,
        "phase": Phase.IDLE.value,
        "epoch": 0,
        "added_at": db_now(conn) if now is None else now,
    }
    conn.execute(upsert(conn, accounts).values(values).on_conflict_do_nothing(index_elements=["address"]))
    found = find(conn, address)
    assert found is not None
    return found


def apply(
    conn: Connection,
    account_id: int,
    event: Event,
    *,
    epoch: int,
    now: float | None = None,
    who: str | None = None,
    detail: str | None = None,
    because: Cause | None = None,
    **changes: Unpack[AccountChanges],
) -> Account:
    """Move the account to the phase that `event` leads to and return it as it is then.

    Raises Conflict when the epoch is no longer `epoch`, NotAllowed when the event does not apply in
    the present phase. `who` is the administrator's name where one said so; `because` is for the history of
    an account that does not wait for it. A trigger once set stays.
    A change of side is noted in `flips` for the log that outlives a restored back-up.
    """
    before = locked(conn, account_id)
    if before.epoch != epoch:
        raise Conflict(f"{before.address}: epoch {before.epoch} in the store, {epoch} seen")
    after = next_phase(before.phase, event)
    if after is None:
        raise NotAllowed(before.phase, event)
    at = db_now(conn) if now is None else now
    values: dict[str, Any] = {**_consequences(before, after, at), **changes}
    if after in _DUE_AT_ONCE and (who is not None or event in _FROM_OUTSIDE):
        values["woken_at"] = at
    if "trigger" in changes:
        fixed = before.trigger is not None
        values.pop("trigger")
        if not fixed:
            values |= {"trigger": changes["trigger"].value, "first_trigger_at": at}
    conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(**values, phase=after.value, epoch=epoch + 1)
    )
    cause = changes.get("cause", because)
    _remember(conn, before, after, event.value, at=at, cause=cause, detail=detail, who=who)
    if event in notices.TOLD:
        notices.note_event(conn, before.domain, account_id, event, epoch=epoch + 1, now=at)
    return get(conn, account_id)


def _consequences(before: Account, after: Phase, at: float) -> dict[str, Any]:
    """What a change of phase brings with it unless the caller says otherwise."""
    values: dict[str, Any] = {"next_due_at": at if after in _DUE_AT_ONCE else None}
    if after in {Phase.PRECOPY, Phase.BACKFILL}:
        values |= {"next_retry_at": None, "cause": None, "cause_text": None}
        if before.started_at is None:
            values["started_at"] = at
        if before.phase is Phase.BLOCKED:
            values["freeze_overruns"] = 0  # who gave up by these would give up at once again
    if after is Phase.SWITCHED and before.phase is not Phase.CLOSED:
        values |= {"finished_at": at, "cause": None, "cause_text": None, "next_retry_at": None}
    if before.phase is Phase.FREEZE or after in ON_TARGET:
        values |= _ENDS_CUTOVER
    return values


def _remember(
    conn: Connection,
    before: Account,
    after: Phase,
    event: str,
    *,
    at: float,
    cause: Cause | None,
    detail: str | None,
    who: str | None,
) -> None:
    conn.execute(
        insert(history).values(
            account_id=before.id,
            at=at,
            event=event,
            phase_from=before.phase.value,
            phase_to=after.value,
            epoch=before.epoch + 1,
            cause=cause,
            detail=detail,
            who=who,
        )
    )
    if before.phase in BEFORE_FLIP and after in ON_TARGET and after is not Phase.LOCAL:
        conn.execute(
            insert(flips).values(address=before.address, epoch=before.epoch + 1, phase=after.value, at=at)
        )


def place_on_target(conn: Connection, account_id: int, phase: Phase, *, epoch: int, detail: str) -> Account:
    """Set an account that a restored back-up shows before its flip to where the log of flips saw it.

    The one change that no event makes; `epoch` is the log's. For `db reconcile` only.
    """
    before = locked(conn, account_id)
    at = db_now(conn)
    after_epoch = max(before.epoch, epoch) + 1
    values = _consequences(before, phase, at)
    conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(**values, phase=phase.value, epoch=after_epoch, lease_node=None, lease_until=None)
    )
    conn.execute(
        insert(history).values(
            account_id=account_id,
            at=at,
            event="reconciled",
            phase_from=before.phase.value,
            phase_to=phase.value,
            epoch=after_epoch,
            detail=detail,
        )
    )
    return get(conn, account_id)


def note(conn: Connection, account_id: int, **changes: Unpack[AccountChanges]) -> None:
    """Change columns that are no phase (counts, causes, requests); the epoch stays. Raises Unknown."""
    values: dict[str, Any] = dict(changes)
    assert "trigger" not in values, "a trigger comes with the event that it caused"
    if (
        values
        and not conn.execute(update(accounts).where(accounts.c.id == account_id).values(**values)).rowcount
    ):
        raise Unknown(f"there is no account number {account_id}")


def progress(
    conn: Connection, account_id: int, *, copied: int = 0, octets: int = 0, skipped: int = 0
) -> None:
    """Add to the counts of the copy; the transaction that commits the ledger calls it."""
    more = {"this": account_id, "more": copied, "octets": octets, "left_out": skipped}
    _PROGRESS.on(conn, more)


def bypass_seen(conn: Connection, account_id: int, changes: int, *, now: float | None = None) -> None:
    """Count changes at the source that no session of ours made."""
    at = db_now(conn) if now is None else now
    conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(bypass_changes=accounts.c.bypass_changes + changes, bypass_last_at=at)
    )


def ask_sweep(conn: Connection, account_id: int, *, now: float | None = None) -> None:
    """Have late mail fetched now (a login inside the window does so); one that is due already is enough."""
    at = db_now(conn) if now is None else now
    _ASK_SWEEP.on(conn, {"this": account_id, "at": at})


def wake(conn: Connection, account_id: int, *, now: float | None = None) -> None:
    """Make the account due now; a copier that is at it just now comes back to it at once."""
    at = db_now(conn) if now is None else now
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(next_due_at=at, woken_at=at))


def log(conn: Connection, account_id: int, *, limit: int = 100) -> Sequence[HistoryRow]:
    """Return the newest changes of phase, newest first."""
    rows = conn.execute(
        select(history).where(history.c.account_id == account_id).order_by(history.c.id.desc()).limit(limit)
    )
    return [
        HistoryRow(
            id=row.id,
            at=row.at,
            event=row.event,
            phase_from=Phase(row.phase_from),
            phase_to=Phase(row.phase_to),
            epoch=row.epoch,
            cause=None if row.cause is None else Cause(row.cause),
            detail=row.detail,
            who=row.who,
        )
        for row in rows
    ]
