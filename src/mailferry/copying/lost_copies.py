"""Copies that somebody removed at the target before the flip: the source wins, they are copied again."""

from __future__ import annotations

from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target


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
    await box.book.forget(box.book.without_copy(alive))
