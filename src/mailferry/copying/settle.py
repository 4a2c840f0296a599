"""What an earlier run left open: its intents, settled by reading both servers.

The target is read from the intent's UIDNEXT on; what no ledger entry explains is paired by digest with
the intent's source messages, never more than the source has. What has no copy is simply copied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from twisted.internet.task import deferLater

from mailferry.copying.book import MailboxBook, PendingIntent
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import facts_from, match_digests
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.sides import at_target
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MailboxStatus
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import FLAGS_KEY_OCTETS
from mailferry.remote.imap_client import ImapClient
from mailferry.store.ledger_blocks import LedgerEntry

FLAGS_UNKNOWN = bytes(FLAGS_KEY_OCTETS)
"""Nobody knows with which flags the copy was sent: the next comparison finds it re-flagged."""


async def settle_intents(box: OpenMailbox) -> None:
    """Settle the mailbox's intents; it is selected on both sides and keeps its UIDVALIDITY there."""
    book, status = box.book, box.status
    for intent in list(book.pending):
        box.run.check()
        open_uids = [uid for uid in intent.source_uids if not book.has(uid)]
        same_target = intent.target_uidvalidity == status.uidvalidity
        first = intent.target_uidnext if same_target else 1
        entries: list[LedgerEntry] = []
        if open_uids and status.exists:
            entries = await _recognise(box, intent, open_uids, first)
        crash_point("intent-examined")
        await book.commit(entries, settles=intent.id)
        box.run.already(box.work, len(entries))


async def _recognise(
    box: OpenMailbox, intent: PendingIntent, open_uids: Sequence[int], first: int
) -> list[LedgerEntry]:
    """Return entries for those source messages whose copies lie at the target."""
    patience = box.run.desk.limits.settle_patience - intent.age
    there = await unexplained_digests(box.target, box.book, first)
    if len(there) < len(open_uids) and patience > 0:
        # The killed run's connection may still be worked on at the target: look again a little later.
        await deferLater(box.run.desk.reactor, patience)
        there = await unexplained_digests(box.target, box.book, first)
    if not there:
        return []
    mine = (await body_digests(box.source, open_uids)).by_uid
    pairs = match_digests(mine, there)
    return [LedgerEntry(uid, pairs[uid], mine[uid], FLAGS_UNKNOWN) for uid in sorted(pairs)]


async def unexplained_digests(target: ImapClient, book: MailboxBook, first: int) -> dict[int, bytes]:
    """Return the digests of the selected target mailbox's messages from a UID on that no entry explains."""
    known = book.target_uids()
    with at_target():
        fresh = [facts.uid for facts in await facts_from(target, first) if facts.uid not in known]
        return dict((await body_digests(ImapBodies(target), fresh)).by_uid)


async def rematch_source(box: OpenMailbox, uidvalidity: int, listed: Collection[int]) -> None:
    """The source's UIDVALIDITY changed: find the ledgered messages again by their digests.

    Entries without a message keep their copy under a UID that no server gives, so that the brake counts
    them. Copies that an open intent left at the target are recognised here as well.
    """
    book = box.book
    digests = (await body_digests(box.source, listed)).by_uid
    first = min((intent.target_uidnext for intent in book.pending), default=None)
    strays: dict[int, bytes] = {}
    if first is not None:
        strays = await unexplained_digests(box.target, book, first)
    old = {entry.source_uid: entry.digest for entry in book.entries()}
    kept = match_digests(digests, old)
    entries = [
        LedgerEntry(uid, book.entry(before).target_uid, digests[uid], book.entry(before).flags_key)
        for uid, before in kept.items()
    ]
    found = match_digests({uid: digests[uid] for uid in digests if uid not in kept}, strays)
    entries += [LedgerEntry(uid, there, digests[uid], FLAGS_UNKNOWN) for uid, there in found.items()]
    orphans = sorted(set(old) - set(kept.values()))
    for place, before in enumerate(orphans):
        entry = book.entry(before)
        entries.append(
            LedgerEntry(book.no_server_uid(place), entry.target_uid, entry.digest, entry.flags_key)
        )
    await book.replace(entries, source_uidvalidity=uidvalidity)
    box.run.already(box.work, len(kept) + len(found))


async def rematch_target(
    target: ImapClient, book: MailboxBook, status: MailboxStatus, *, copies_wanted: bool
) -> None:
    """The target's UIDVALIDITY changed: find the copies again by their digests.

    An entry without a copy is forgotten when `copies_wanted` (the source wins); from the flip on it
    stays, because what is missing at the target is the user's will.
    """
    there: dict[int, bytes] = {}
    if status.exists:
        with at_target():
            uids = [facts.uid for facts in await facts_from(target, 1)]
            there = dict((await body_digests(ImapBodies(target), uids)).by_uid)
    pairs = match_digests({entry.source_uid: entry.digest for entry in book.entries()}, there)
    entries = [
        LedgerEntry(entry.source_uid, pairs.get(entry.source_uid, 0), entry.digest, FLAGS_UNKNOWN)
        for entry in book.entries()
        if entry.source_uid in pairs or not copies_wanted
    ]
    await book.replace(entries, target_uidvalidity=status.uidvalidity)
