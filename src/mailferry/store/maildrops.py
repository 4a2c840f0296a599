"""What is known of an account's POP3 maildrop between two looks at it.

A look costs a login, which some sources ration and which locks the user out meanwhile: it is left
out while the `fingerprint` of what it depends on is the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypedDict, Unpack

from sqlalchemy import Connection, insert, select, update

from mailferry.store.schema_copy import maildrops


@dataclass(frozen=True, slots=True)
class Maildrop:
    """The row of one account; the counts are those of the last look (`copying.uidls.UidlState`)."""

    fingerprint: bytes | None = None
    lonely: bytes | None = None
    """UIDs of the source's INBOX, packed, that POP3 does not show."""
    looked_at: float | None = None
    """When it was opened last."""
    shown: int = 0
    paired: int = 0
    waiting: int = 0
    left_out: int = 0
    unpaired: int = 0
    hidden: int = 0
    renumbered: int = 0
    """How often all UIDLs had changed."""
    login_delay: float = 0.0
    """Seconds that the source wants between two logins."""
    next_login_at: float | None = None
    """On the database's clock."""


class MaildropChanges(TypedDict, total=False):
    """What may be noted of a maildrop."""

    fingerprint: bytes | None
    lonely: bytes | None
    looked_at: float | None
    shown: int
    paired: int
    waiting: int
    left_out: int
    unpaired: int
    hidden: int
    renumbered: int
    login_delay: float
    next_login_at: float | None


_COLUMNS = [column for column in maildrops.c if column.name != "account_id"]


def get(conn: Connection, account_id: int) -> Maildrop:
    """Return what is known; the defaults when nobody looked yet."""
    row = conn.execute(select(*_COLUMNS).where(maildrops.c.account_id == account_id)).mappings().first()
    return Maildrop() if row is None else Maildrop(**row)


def note(conn: Connection, account_id: int, **changes: Unpack[MaildropChanges]) -> None:
    """Change what is given, leave the rest."""
    changed = conn.execute(update(maildrops).where(maildrops.c.account_id == account_id).values(**changes))
    if not changed.rowcount:
        values = {**asdict(Maildrop()), **changes}
        conn.execute(insert(maildrops).values(account_id=account_id, **values))
