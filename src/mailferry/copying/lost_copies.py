"""Copies that somebody removed at the target before the flip: the source wins, they are copied again."""

from __future__ import annotations

from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target
from mailferry.model.mail import MailboxStatus


async def forget_lost_copies(box: OpenMailbox) -> None:
    """Forget entries whose copies are not at the target any more; looked for only when something changed there."""
    row, there = box.book.row, box.status
    as_left = there.uidnext is not None and (row.target_exists, row.target_uidnext) == (
        there.exists,
        there.uidnext,
    )
    if as_left or not len(box.book):
        return
    alive: set[int] = set()
    if there.exists:
        with at_target():
            await box.target.fetch_flags(b"1:*", lambda uid, _flags: alive.add(uid))
            if missed := box.book.without_copy(alive):  # omission is not absence
                copies = {box.book.entry(uid).target_uid for uid in missed}
                await box.target.fetch_flags(copies, lambda uid, _flags: alive.add(uid))
    await box.book.forget(box.book.without_copy(alive))


class Count:
    """Tells by numbers alone whether copies went while a pass runs; made behind the look for lost ones."""

    def __init__(self, box: OpenMailbox) -> None:
        self._book = box.book
        self._strangers = box.status.exists - len(box.book)
        """Messages of the target that no entry explains."""
        self._first = box.book.row.target_uidnext is None

    def to_remember(self, after: MailboxStatus, new: int) -> int | None:
        """Return the number to find unchanged by the next pass; None when that one has to look for lost copies.

        After the first pass, the longest, any gap counts. Later on only one that the `new` messages do not
        explain: a target may file away what it is given (imapsieve), and would be given it once in each pass.
        """
        gap = self._strangers - (after.exists - len(self._book))
        return after.exists if gap <= (0 if self._first else new) else None
