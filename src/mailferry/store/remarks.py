"""What an administrator should know of an account's copy: losses that are nobody's fault, oddities, servers' refusals.

A remark is a kind, a subject (a keyword, a mailbox's raw name, or nothing) and a number; it is made again
rather than repeated. None of them stops a copy: what does is a cause or a skipped message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, select

from mailferry.store.database import db_now
from mailferry.store.schema_copy import remarks
from mailferry.store.upsert import upsert


class RemarkKind(StrEnum):
    """What a remark is about."""

    KEYWORD = "keyword_not_permitted"
    """The target does not permit a keyword; so many messages came without it."""
    DATE = "arrival_date_lost"
    """The target keeps so many messages with another date of arrival than the source's."""
    ALTERED = "altered_by_target"
    """So many of the copies that were read back are not what was sent."""
    DOUBLED = "doubled"
    """So many messages stand twice at the target after a broken connection."""
    RENAMED = "mailbox_renamed"
    """The target has no mailbox of that name; the detail says which it became."""
    ROLE = "role_not_marked"
    """The target's mailbox does not bear the role that the source's has."""
    REFUSED = "mailbox_refused"
    """The source lists a mailbox and refuses to open it; so many passes asked."""
    UNREADABLE = "mailbox_unreadable"
    """The source lists something that cannot be understood."""
    WITHHELD = "messages_withheld"
    """The source announces so many more messages than it lists."""
    ENDS_AT_WINDOW = "ends_at_window"
    """All mail ends where the provider's view does by default; the number is the oldest's second of arrival."""
    SLIPPED_OUT = "slipped_out_of_view"
    """So many messages went out of view as they became old; their copies stay."""
    RIGHTS = "shared_rights"
    """The mailbox is open to others at the source; rights are not moved."""
    NOT_UTF8 = "password_not_utf8"
    """The password is in another encoding: a device that sends it in UTF-8 has to have it typed again."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark; `subject` is as on the wire. Times are the database's."""

    kind: RemarkKind
    subject: bytes
    number: int
    detail: str | None
    first_at: float
    at: float


def note(
    conn: Connection,
    account_id: int,
    kind: RemarkKind,
    subject: bytes = b"",
    *,
    number: int,
    detail: str | None = None,
    add: bool = False,
    now: float | None = None,
) -> None:
    """Make a remark, or make it anew; with `add` the number is added to what was remarked before."""
    at = db_now(conn) if now is None else now
    changed = {"number": remarks.c.number + number if add else number, "detail": detail, "at": at}
    conn.execute(
        upsert(conn, remarks)
        .values(
            account_id=account_id,
            kind=kind.value,
            subject=subject,
            number=number,
            detail=detail,
            first_at=at,
            at=at,
        )
        .on_conflict_do_update(index_elements=["account_id", "kind", "subject"], set_=changed)
    )


def forget(conn: Connection, account_id: int, kind: RemarkKind, subject: bytes = b"") -> None:
    """Take a remark back: it is no longer so."""
    conn.execute(
        delete(remarks).where(
            remarks.c.account_id == account_id, remarks.c.kind == kind.value, remarks.c.subject == subject
        )
    )


def of_account(conn: Connection, account_id: int) -> Sequence[Remark]:
    """Return the account's remarks, by kind and subject; what else stands in their table is no remark."""
    kinds = [kind.value for kind in RemarkKind]
    rows = conn.execute(
        select(remarks)
        .where(remarks.c.account_id == account_id, remarks.c.kind.in_(kinds))
        .order_by(remarks.c.kind, remarks.c.subject)
    )
    return [
        Remark(RemarkKind(row.kind), row.subject, row.number, row.detail, row.first_at, row.at)
        for row in rows
    ]
