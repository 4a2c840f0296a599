"""Mailboxes that the source does not list any more: their messages vanished all at once.

Some of them may stand in another mailbox now, which was renamed. The rest is held until an administrator
approves, unless a session of ours deleted or renamed the mailbox.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import Run
from mailferry.copying.following import delete_copies, forget_copies
from mailferry.copying.incomplete import drop_incomplete
from mailferry.copying.moves import Departures, note_departures
from mailferry.copying.sides import Pair, at_target
from mailferry.model.causes import Refused
from mailferry.plan.differences import Held, excusable
from mailferry.store.mailboxes import CopiedMailbox


async def note_gone(run: Run, pair: Pair, gone: Sequence[CopiedMailbox], departures: Departures) -> None:
    """Note all their messages as departed."""
    for row in gone:
        run.check()
        book = await open_book(run.register, row)
        await note_departures(pair, book, [entry.source_uid for entry in book.entries()], departures)


async def follow_gone(run: Run, pair: Pair, gone: Sequence[CopiedMailbox]) -> None:
    """Delete what nobody took, or hold it."""
    for row in gone:
        run.check()
        book = await open_book(run.register, row)
        excused = await _excused(run, book)
        approved = run.request.approved and book.held_before > 0
        if len(book) and not excused and not approved:
            run.bypass.vanished(len(book) - row.held_deletions)
            run.result.held[row.source_name] = (Held.EMPTY, len(book))
            await book.note(held_deletions=len(book))
            continue
        if len(book):
            await _delete_all(run, pair, book)
        await drop_incomplete(run, pair, row)
        await book.drop_skips(())
        await book.note(gone=True, held_deletions=0)


async def _excused(run: Run, book: MailboxBook) -> bool:
    """Whether our own sessions saw all these deletions acknowledged."""
    acknowledged, name = run.acknowledged, book.source_name
    uids = [entry.source_uid for entry in book.entries()]
    wanted = 0 if book.row.held_deletions else excusable(uids)
    if wanted > acknowledged.free_for(name):
        await acknowledged.read_again(wait=not run.request.last)
    taken = min(wanted, acknowledged.free_for(name))
    acknowledged.take(name, taken)
    return taken == len(uids)


async def _delete_all(run: Run, pair: Pair, book: MailboxBook) -> None:
    """Delete the copies of a mailbox that is gone; where the target's is gone too, forget them."""
    uids = [entry.source_uid for entry in book.entries()]
    try:
        with at_target():
            status = await pair.target.select(book.target_name)
    except Refused:
        await forget_copies(run, book, uids)
        return
    if status.uidvalidity == book.row.target_uidvalidity:
        await delete_copies(run, pair.target, book, uids)
