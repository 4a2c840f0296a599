"""How old the mail of each mailbox was when it was listed for the first time, until the first whole pass judges it.

The first look at a large account takes many passes, and what the earlier ones saw must count in the end
(`plan/visible_days`). The rows stand among the remarks, for which nobody takes them (`remarks.of_account`).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from mailferry.store.database import db_now
from mailferry.store.schema_copy import remarks
from mailferry.store.upsert import upsert

Sight = tuple[int, int | None, bool]
"""The fields of `plan.visible_days.FirstSight`: messages, the oldest one's second of arrival, gaps."""
_KIND = "first_sight"
_NO_OLDEST = -(1 << 62)
_GAPS = "gaps"


def keep(conn: Connection, account_id: int, mailbox: bytes, sight: Sight) -> None:
    """Keep what the first listing of a mailbox showed; a later one that is the first again takes its place."""
    at = db_now(conn)
    messages, oldest, gaps = sight
    values = {
        "number": _NO_OLDEST if oldest is None else oldest,
        "detail": f"{messages} {_GAPS if gaps else ''}",
        "at": at,
    }
    conn.execute(
        upsert(conn, remarks)
        .values(account_id=account_id, kind=_KIND, subject=mailbox, first_at=at, **values)
        .on_conflict_do_update(index_elements=["account_id", "kind", "subject"], set_=values)
    )


def of_account(conn: Connection, account_id: int) -> Mapping[bytes, Sight]:
    """Return source mailbox to its first sight, as far as nothing was judged yet."""
    rows = conn.execute(
        select(remarks.c.subject, remarks.c.number, remarks.c.detail).where(
            remarks.c.account_id == account_id, remarks.c.kind == _KIND
        )
    )
    found: dict[bytes, Sight] = {}
    for row in rows:
        messages, _, gaps = (row.detail or "0 ").partition(" ")
        oldest = None if row.number == _NO_OLDEST else row.number
        found[row.subject] = (int(messages), oldest, gaps == _GAPS)
    return found


def forget(conn: Connection, account_id: int) -> None:
    """They have been judged."""
    conn.execute(delete(remarks).where(remarks.c.account_id == account_id, remarks.c.kind == _KIND))
