"""What is to be told to somebody, and what was: a queue that outlives crashes and restarts.

A change of phase that somebody may want to hear of leaves an *event* here in its own transaction; the
copiers make notices of it for users and administrators. A notice is known by audience, kind and subject,
so that it is made once. Whoever takes one holds it for a while: two copiers never send the same at the
same time, and one that dies leaves it to the other. Times are on the database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.store.database import db_now
from mailferry.store.schema import accounts, history, notices
from mailferry.store.upsert import upsert


class Audience(StrEnum):
    """Who a notice is for, and by which way it goes."""

    UNDECIDED = "undecided"
    """An event of which nobody has made notices yet."""
    USER = "user"
    WEBHOOK = "webhook"
    MAIL = "mail"


class Standing(StrEnum):
    """What became of a notice."""

    DUE = "due"
    """It is to be sent, or sent again, at `due_at`."""
    SENT = "sent"
    DROPPED = "dropped"
    """Never sent: it was no longer so when its turn came, or it was given up after many tries."""


TOLD = frozenset(
    {
        Event.SOURCE_ACCEPTED_AT_ONCE,
        Event.EARLY_SWITCH,
        Event.TARGET_ACCEPTED_FOREIGN,
        Event.OLD_PASSWORD_ENTERED,
        Event.GAVE_UP,
        Event.FLIPPED,
        Event.HISTORY_COMPLETE,
    }
)
"""Changes of phase that somebody may be told of: what the user is served by, or what needs somebody, changed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, or an event. `tries` counts the times it was taken; `due_at` is None when it rests."""

    id: int
    domain: str
    account_id: int | None
    audience: Audience
    kind: str
    subject: str
    detail: str | None
    made_at: float
    due_at: float | None
    tries: int
    sent_at: float | None

    @property
    def standing(self) -> Standing:
        """What became of it."""
        if self.due_at is not None:
            return Standing.DUE
        return Standing.DROPPED if self.sent_at is None else Standing.SENT


_STANDINGS = {
    Standing.DUE: (notices.c.due_at.is_not(None),),
    Standing.SENT: (notices.c.due_at.is_(None), notices.c.sent_at.is_not(None)),
    Standing.DROPPED: (notices.c.due_at.is_(None), notices.c.sent_at.is_(None)),
}


def note_event(
    conn: Connection,
    domain: str,
    account_id: int,
    event: Event,
    *,
    epoch: int,
    now: float,
) -> None:
    """Leave an event behind; the transaction that changes the account's phase calls it."""
    conn.execute(
        insert(notices).values(
            domain=domain,
            account_id=account_id,
            audience=Audience.UNDECIDED.value,
            kind=event.value,
            subject=f"{account_id}/{epoch}",
            made_at=now,
            due_at=now,
        )
    )


def want(
    conn: Connection,
    audience: Audience,
    kind: str,
    subject: str,
    *,
    domain: str,
    due_at: float,
    account_id: int | None = None,
    again_after: float | None = None,
    now: float | None = None,
) -> None:
    """Make the notice unless it was made before.

    With `again_after` one that rests is made due again, so many seconds after it was last sent at the
    earliest; one that waits to be sent stays as it is, and so gathers what comes meanwhile.
    """
    at = db_now(conn) if now is None else now
    made = upsert(conn, notices).values(
        domain=domain,
        account_id=account_id,
        audience=audience.value,
        kind=kind,
        subject=subject,
        made_at=at,
        due_at=due_at,
    )
    key = ["audience", "kind", "subject"]
    inserted = conn.execute(made.on_conflict_do_nothing(index_elements=key).returning(notices.c.id)).first()
    if inserted is not None or again_after is None:
        return
    this = (notices.c.audience == audience.value, notices.c.kind == kind, notices.c.subject == subject)
    sent_at = conn.execute(select(notices.c.sent_at).where(*this)).scalar_one()
    later = due_at if sent_at is None else max(due_at, sent_at + again_after)
    conn.execute(
        update(notices)
        .where(*this, notices.c.due_at.is_(None))
        .values(made_at=at, due_at=later, tries=0, detail=None)
    )


def take(
    conn: Connection,
    audiences: Collection[Audience],
    *,
    limit: int,
    hold_seconds: float,
    now: float | None = None,
) -> Sequence[Notice]:
    """Return notices that are due, longest due first, held for so many seconds and counted as tried."""
    at = db_now(conn) if now is None else now
    due = (
        select(notices.c.id)
        .where(notices.c.due_at <= at, notices.c.audience.in_([one.value for one in audiences]))
        .order_by(notices.c.due_at, notices.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.execute(due).scalars())
    if not ids:
        return []
    conn.execute(
        update(notices)
        .where(notices.c.id.in_(ids))
        .values(due_at=at + hold_seconds, tries=notices.c.tries + 1)
    )
    rows = conn.execute(select(notices).where(notices.c.id.in_(ids))).mappings()
    taken = {row["id"]: _notice(row) for row in rows}
    return [taken[number] for number in ids]


def any_event(conn: Connection) -> bool:
    """Whether an event waits; a look that costs nobody a transaction that writes."""
    return any_due(conn, [Audience.UNDECIDED])


def any_due(conn: Connection, audiences: Collection[Audience], *, now: float | None = None) -> bool:
    """Whether a notice to one of these is due."""
    at = db_now(conn) if now is None else now
    names = [one.value for one in audiences]
    query = select(notices.c.id).where(notices.c.due_at <= at, notices.c.audience.in_(names)).limit(1)
    return conn.execute(query).first() is not None


def compose(conn: Connection, notice: Notice, detail: str) -> bool:
    """Keep what is about to be sent, so that a repeat says the same; False when another holds the notice now."""
    return _settle(conn, notice, detail=detail)


def sent(conn: Connection, notice: Notice, *, now: float | None = None) -> bool:
    """Let the notice rest as sent; False when another holds it now."""
    return _settle(conn, notice, due_at=None, sent_at=db_now(conn) if now is None else now)


def put_off(conn: Connection, notice: Notice, *, due_at: float | None) -> bool:
    """Have it tried again at `due_at`, or never with None; False when another holds it now."""
    return _settle(conn, notice, due_at=due_at)


def forget(conn: Connection, notice: Notice) -> None:
    """Take an event away of which everything was made."""
    conn.execute(delete(notices).where(notices.c.id == notice.id, notices.c.tries == notice.tries))


def gave_up_lately(
    conn: Connection, account_id: int, cause: Cause, *, seconds: float, now: float | None = None
) -> bool:
    """Whether the account's copy had ended by the same cause before its last time, within so many seconds."""
    at = db_now(conn) if now is None else now
    rows = conn.execute(
        select(history.c.at)
        .where(
            history.c.account_id == account_id,
            history.c.event == Event.GAVE_UP.value,
            history.c.cause == cause.value,
        )
        .order_by(history.c.id.desc())
        .limit(2)
    ).all()
    return len(rows) == 2 and rows[1].at > at - seconds


def failing(conn: Connection, domain: str, cause: Cause, *, some: int) -> tuple[int, list[str]]:
    """Return how many accounts of the domain have failed by the cause, and the first addresses of them."""
    these = (
        accounts.c.domain == domain,
        accounts.c.cause == cause.value,
        accounts.c.phase.in_([Phase.BLOCKED.value, Phase.STALLED.value]),
    )
    count = conn.execute(select(func.count()).select_from(accounts).where(*these)).scalar_one()
    named = select(accounts.c.address).where(*these).order_by(accounts.c.address).limit(some)
    return count, list(conn.execute(named).scalars())


def of_account(conn: Connection, account_id: int) -> Sequence[Notice]:
    """Return all notices about the account, oldest first."""
    query = select(notices).where(notices.c.account_id == account_id).order_by(notices.c.id)
    return [_notice(row) for row in conn.execute(query).mappings()]


def of_domain(conn: Connection, domain: str) -> Sequence[Notice]:
    """Return all notices of the domain and its accounts, oldest first."""
    query = select(notices).where(notices.c.domain == domain).order_by(notices.c.id)
    return [_notice(row) for row in conn.execute(query).mappings()]


def listing(
    conn: Connection,
    *,
    domain: str | None = None,
    account_id: int | None = None,
    audience: Audience | None = None,
    standing: Standing | None = None,
    before: int | None = None,
    within: frozenset[str] | None = None,
    limit: int = 100,
) -> Sequence[tuple[Notice, str | None]]:
    """Return notices newest first, those below the id `before`, each with its account's address; no events."""
    query = (
        select(notices, accounts.c.address)
        .outerjoin(accounts, accounts.c.id == notices.c.account_id)
        .where(notices.c.audience != Audience.UNDECIDED.value)
        .order_by(notices.c.id.desc())
        .limit(limit)
    )
    if domain is not None:
        query = query.where(notices.c.domain == domain)
    if within is not None:
        query = query.where(notices.c.domain.in_(sorted(within)))
    if account_id is not None:
        query = query.where(notices.c.account_id == account_id)
    if audience is not None:
        query = query.where(notices.c.audience == audience.value)
    if standing is not None:
        query = query.where(*_STANDINGS[standing])
    if before is not None:
        query = query.where(notices.c.id < before)
    found = []
    for row in conn.execute(query).mappings():
        values = dict(row)
        address = values.pop("address")
        found.append((_notice(values), address))
    return found


def prune(conn: Connection, *, before: float) -> int:
    """Remove notices to administrators that rest since then; those to users stay, so that none comes twice."""
    resting = (
        notices.c.due_at.is_(None),
        notices.c.audience.not_in([Audience.USER.value]),
        notices.c.made_at < before,
        or_(notices.c.sent_at.is_(None), notices.c.sent_at < before),
    )
    return conn.execute(delete(notices).where(*resting)).rowcount


def _settle(conn: Connection, notice: Notice, **values: Any) -> bool:
    """Change the notice while it is ours: whoever took it later counted one more try."""
    ours = (notices.c.id == notice.id, notices.c.tries == notice.tries, notices.c.due_at.is_not(None))
    return conn.execute(update(notices).where(*ours).values(**values)).rowcount == 1


def _notice(row: Any) -> Notice:
    return Notice(**{**row, "audience": Audience(row["audience"])})
