"""Remarks that one pass makes, written together at its end, and what earlier passes remarked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from mailferry.copying.register import Register
from mailferry.store import remarks
from mailferry.store.database import db_now
from mailferry.store.remarks import RemarkKind

_MANY = 200
"""Remarks of one kind that one pass makes: a hostile source invents mailboxes and keywords."""


class Known(NamedTuple):
    """What earlier passes remarked: the number, and seconds since the first time."""

    number: int
    age: float


@dataclass(slots=True)
class _Note:
    number: int
    detail: str | None
    add: bool


class Remarks:
    """The account's remarks for the length of one pass."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._new: dict[tuple[RemarkKind, bytes], _Note] = {}
        self._over: set[tuple[RemarkKind, bytes]] = set()
        self._known: Mapping[tuple[RemarkKind, bytes], Known] = {}

    async def read(self) -> None:
        """Take what earlier passes remarked."""
        account_id = self._register.account_id

        def work(conn: Connection) -> dict[tuple[RemarkKind, bytes], Known]:
            now = db_now(conn)
            return {
                (remark.kind, remark.subject): Known(remark.number, now - remark.first_at)
                for remark in remarks.of_account(conn, account_id)
            }

        self._known = await self._register.read("remarks", work)

    def known(self, kind: RemarkKind, subject: bytes = b"") -> Known | None:
        """Return what earlier passes remarked."""
        return self._known.get((kind, subject))

    def subjects(self, kind: RemarkKind) -> list[bytes]:
        """Return what earlier passes made remarks of a kind about."""
        return [subject for known, subject in self._known if known is kind]

    def note(
        self,
        kind: RemarkKind,
        subject: bytes = b"",
        *,
        number: int = 1,
        detail: str | None = None,
        add: bool = False,
    ) -> None:
        """Make a remark at the pass's end; with `add` the number is added to what was remarked before."""
        before = self._new.get((kind, subject))
        if before is not None:
            before.number = before.number + number if add else number
            before.detail = detail
        elif sum(known is kind for known, _ in self._new) < _MANY:
            self._new[kind, subject] = _Note(number, None if detail is None else detail[:500], add)

    def over(self, kind: RemarkKind, subject: bytes = b"") -> None:
        """Take a remark back at the pass's end."""
        if (kind, subject) in self._known:
            self._over.add((kind, subject))

    def is_over(self, kind: RemarkKind, subject: bytes = b"") -> bool:
        """Whether this pass takes the remark back."""
        return (kind, subject) in self._over and (kind, subject) not in self._new

    def now(self, kind: RemarkKind) -> list[int]:
        """Return the numbers of all remarks of a kind, as they stand after this pass."""
        standing = {key: known.number for key, known in self._known.items() if key not in self._over}
        standing |= {key: note.number for key, note in self._new.items() if not note.add}
        return [number for (known, _), number in standing.items() if known is kind]

    async def write(self) -> None:
        """Write what this pass remarked. Raises LeaseLost and StoreUnavailable."""
        account_id, new, over = self._register.account_id, dict(self._new), self._over - set(self._new)

        def work(conn: Connection) -> None:
            for kind, subject in sorted(over):
                remarks.forget(conn, account_id, kind, subject)
            for (kind, subject), one in sorted(new.items(), key=lambda item: item[0]):
                remarks.note(
                    conn, account_id, kind, subject, number=one.number, detail=one.detail, add=one.add
                )

        if new or over:
            await self._register.write("remarks", work)
        self._new.clear()
        self._over.clear()
