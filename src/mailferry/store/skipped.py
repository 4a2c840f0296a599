"""Messages that were not copied, one row each with a named reason; retried and listed one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, bindparam, delete, func, select

from mailferry.store.database import db_now
from mailferry.store.prepared import Prepared, Row
from mailferry.store.schema_copy import mailboxes, skipped
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class SkippedMessage:
    """One message that lies at the source only; `source_name` is its mailbox there, as on the wire."""

    id: int
    mailbox_id: int
    source_name: bytes
    source_uid: int
    reason: str
    """A short name, such as `too_big`."""
    detail: str | None
    """The server's own words."""
    size: int | None
    tries: int
    at: float


_COLUMNS = [
    mailboxes.c.source_name if one.name == "source_name" else skipped.c[one.name]
    for one in fields(SkippedMessage)
]
_ROWS = select(*_COLUMNS).join(mailboxes, mailboxes.c.id == skipped.c.mailbox_id).limit(bindparam("most"))
_OF_ACCOUNT = Prepared(
    _ROWS.where(skipped.c.account_id == bindparam("this"), skipped.c.id > bindparam("after")).order_by(
        skipped.c.id
    )
)
_OF_MAILBOX = Prepared(
    _ROWS.where(
        skipped.c.mailbox_id == bindparam("this"), skipped.c.source_uid > bindparam("after")
    ).order_by(skipped.c.source_uid)
)


def note(
    conn: Connection,
    mailbox_id: int,
    source_uid: int,
    *,
    reason: str,
    detail: str | None = None,
    size: int | None = None,
    now: float | None = None,
) -> bool:
    """Record that a message was skipped (again); return whether it was not on the list before."""
    at = db_now(conn) if now is None else now
    account_id = conn.execute(select(mailboxes.c.account_id).where(mailboxes.c.id == mailbox_id)).scalar_one()
    values = {"reason": reason, "detail": detail, "size": size, "at": at}
    tries = conn.execute(
        upsert(conn, skipped)
        .values(account_id=account_id, mailbox_id=mailbox_id, source_uid=source_uid, tries=1, **values)
        .on_conflict_do_update(
            index_elements=["mailbox_id", "source_uid"], set_={**values, "tries": skipped.c.tries + 1}
        )
        .returning(skipped.c.tries)
    ).scalar_one()
    return bool(tries == 1)


def forget(conn: Connection, mailbox_id: int, source_uids: Sequence[int]) -> int:
    """Take messages off the list (they were copied after all, or are gone); return how many were on it."""
    return conn.execute(
        delete(skipped).where(skipped.c.mailbox_id == mailbox_id, skipped.c.source_uid.in_(source_uids))
    ).rowcount


def listing(
    conn: Connection, account_id: int, *, after: int = 0, limit: int = 500
) -> Sequence[SkippedMessage]:
    """Return skipped messages of an account whose ids follow `after`."""
    return _messages(_OF_ACCOUNT.on(conn, {"this": account_id, "after": after, "most": limit}))


def page_of_mailbox(
    conn: Connection, mailbox_id: int, *, after: int = -1, limit: int = 500
) -> Sequence[SkippedMessage]:
    """Return skipped messages of a mailbox whose source uids follow `after`, by source uid."""
    return _messages(_OF_MAILBOX.on(conn, {"this": mailbox_id, "after": after, "most": limit}))


def entries(conn: Connection, mailbox_id: int) -> Iterator[SkippedMessage]:
    """Yield all skipped messages of a mailbox by source uid; no more than a page is held at a time."""
    after = -1
    while found := page_of_mailbox(conn, mailbox_id, after=after):
        yield from found
        after = found[-1].source_uid


def _messages(rows: Iterable[Row]) -> list[SkippedMessage]:
    return [SkippedMessage(*row) for row in rows]


def of_mailbox(conn: Connection, mailbox_id: int) -> frozenset[int]:
    """Return the source uids of a mailbox that are on the list."""
    return frozenset(
        conn.execute(select(skipped.c.source_uid).where(skipped.c.mailbox_id == mailbox_id)).scalars()
    )


def counts(conn: Connection, account_id: int) -> Mapping[str, int]:
    """Return how many messages of the account were skipped, by reason."""
    rows = conn.execute(
        select(skipped.c.reason, func.count().label("number"))
        .where(skipped.c.account_id == account_id)
        .group_by(skipped.c.reason)
    )
    return {row.reason: row.number for row in rows}
