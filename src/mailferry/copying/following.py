"""Before the flip the source wins: flags that changed and messages that went follow at the target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mailferry.copying.book import MailboxBook
from mailferry.copying.desk import Run
from mailferry.copying.keywords import add_keywords, keywords_of
from mailferry.copying.learning import UNKNOWN_UID
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.results import Mode
from mailferry.copying.sides import at_target
from mailferry.copying.view_window import without_slipped
from mailferry.copying.waiting_copies import without_waiting
from mailferry.model.causes import Cause, Refused
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import FLAGS_UNKNOWN, Comparison, Differences, excusable, flags_key
from mailferry.remote.imap_client import FlagChange, ImapClient
from mailferry.remote.sendable import sendable_flags
from mailferry.store.remarks import RemarkKind


async def follow_flags(box: OpenMailbox, reflagged: Sequence[MessageFacts]) -> None:
    """Give the copies the flags that the source shows now, as far as the target permits them."""
    run, book = box.run, box.book
    groups: dict[frozenset[bytes], list[MessageFacts]] = defaultdict(list)
    for facts in reflagged:
        kept, refused = sendable_flags(facts.flags, box.status.permanent_flags)
        run.keywords_refused(book.source_name, facts.uid, refused)
        groups[kept].append(facts)
    for flags, messages in groups.items():
        run.check()
        uids = [book.entry(facts.uid).target_uid for facts in messages]
        stored = await _store(box.target, [uid for uid in uids if uid != UNKNOWN_UID], flags)
        if stored != flags:
            for facts in messages:
                run.keywords_refused(book.source_name, facts.uid, flags - (stored or frozenset()))
        if stored is None:
            continue
        crash_point("flags-stored")
        run.bypass.changed(sum(book.entry(facts.uid).flags_key != FLAGS_UNKNOWN for facts in messages))
        await book.update_flags({facts.uid: flags_key(facts.flags) for facts in messages})
        run.result.reflagged += len(messages)


async def _store(target: ImapClient, uids: Sequence[int], flags: frozenset[bytes]) -> frozenset[bytes] | None:
    """Replace the flags; where the target refuses a keyword, by the system flags and the other keywords.

    Returns what was stored, None when it was nothing.
    """
    system = flags - keywords_of(flags)
    for attempt in dict.fromkeys((flags, system)):
        if not uids:
            return flags
        try:
            with at_target():
                await target.store_flags(uids, attempt, FlagChange.REPLACE)
        except Refused as refusal:
            if refusal.cause is Cause.TARGET_OVER_QUOTA:
                raise
            continue
        return attempt if attempt == flags else flags - await add_keywords(target, uids, flags - system)
    return None


async def compared_with_brake(run: Run, book: MailboxBook, listing: Comparison) -> Differences:
    """Return what a whole listing says, with the deletions excused that our own sessions saw acknowledged.

    A session that is open tells within a second or two: it is waited for, once a pass, before anything is
    held or counted as done past us.
    """

    def result() -> Differences:
        found = listing.result(
            acknowledged=run.acknowledged.free_for(book.source_name),
            approved=run.request.approved and book.held_before > 0,
            held_before=book.row.held_deletions,
        )
        run.acknowledged.take(book.source_name, found.excused)
        return found

    compared = result()
    if run.request.mode is not Mode.MIRROR or book.row.held_deletions:
        return compared
    if compared.held is None and not (_unexplained(compared) and run.bypass.sessions_about):
        return compared
    await run.acknowledged.read_again(wait=not run.request.last)
    return result()


def _unexplained(compared: Differences) -> int:
    return excusable(compared.vanished) - compared.excused


def note_held(run: Run, book: MailboxBook, compared: Differences) -> None:
    """Count what vanished at the source past us and is held; what was held before was counted then."""
    run.bypass.vanished(_unexplained(compared) - book.row.held_deletions)


async def follow_deletions(box: OpenMailbox, compared: Differences) -> None:
    """Delete the copies of messages that the source does not list any more, after a second look.

    Those that only went out of its view stay; what POP3 may show still waits until it was asked.
    """
    vanished = compared.vanished
    if not vanished:
        box.run.remarks.over(RemarkKind.SLIPPED_OUT, box.book.source_name)
        return
    box.run.check()
    returned = await box.source.listed(vanished)
    # one that came back under another UID while this pass ran has taken its copy along
    gone = [uid for uid in vanished if uid not in returned and box.book.has(uid)]
    follow = await without_slipped(box, gone, excused=compared.excused)
    follow = await without_waiting(box, follow, excused=compared.excused)
    box.run.bypass.vanished(len(follow) - compared.excused - box.book.row.held_deletions)
    await delete_copies(box.run, box.target, box.book, follow)


async def delete_copies(run: Run, target: ImapClient, book: MailboxBook, source_uids: Sequence[int]) -> None:
    """Delete these copies in the selected mailbox of the target and forget them."""
    if not source_uids:
        return
    with at_target():
        await target.delete(book.copies_of(source_uids))
    crash_point("deleted-at-target")
    await forget_copies(run, book, source_uids)
    run.result.deleted += len(source_uids)


async def forget_copies(run: Run, book: MailboxBook, source_uids: Sequence[int]) -> None:
    """Forget copies that followed their originals, and with them the excuses that let them."""
    used = run.acknowledged.use(book.source_name, len(source_uids))
    await book.forget(source_uids, acknowledged=used)
    run.acknowledged.written(used)
