"""A mailbox whose UIDs lost their meaning: its messages and copies are found again by digests.

That is so when UIDVALIDITY changed, and when UIDs are given out a second time under the same one: a
server that was set back to an older state counts on from there, so that its UIDNEXT is lower than the
UIDs we know.
"""

from __future__ import annotations

from collections.abc import Collection

from mailferry.copying.book import MailboxBook
from mailferry.copying.digests import body_digests
from mailferry.copying.learning import facts_from, match_digests
from mailferry.copying.likeness import likenesses, match_alike
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.settle import first_uid, unexplained
from mailferry.copying.sides import at_target
from mailferry.copying.sources import BodySource, ImapBodies
from mailferry.model.mail import MailboxStatus
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import FLAGS_UNKNOWN, NO_SERVER_UID
from mailferry.remote.imap_client import ImapClient
from mailferry.store.ledger_blocks import LedgerEntry

LOOKS = 8
"""Messages that are read to see whether their UIDs still mean them: those that were given out last."""


async def source_counts_anew(box: OpenMailbox, status: MailboxStatus) -> bool:
    """Whether the source gives out UIDs again that the ledger knows."""
    known = [uid for uid in box.book.source_uids() if uid < NO_SERVER_UID]
    if status.uidnext is None or not known or max(known) < status.uidnext or not status.exists:
        return False
    likely = sorted(uid for uid in known if uid < status.uidnext)[-LOOKS:]
    found = (await body_digests(box.source, likely)).by_uid
    return any(digest != box.book.entry(uid).digest for uid, digest in found.items())


async def target_counts_anew(box: OpenMailbox) -> bool:
    """Whether the target gives out UIDs again that the ledger knows as copies."""
    status = box.status
    highest = max(box.book.target_uids(), default=0)
    if status.uidnext is None or highest < status.uidnext or not status.exists:
        return False
    copies = {entry.target_uid: entry for entry in box.book.entries() if entry.target_uid}
    likely = sorted(uid for uid in copies if uid < status.uidnext)[-LOOKS:]
    with at_target():
        found = await likenesses(ImapBodies(box.target), likely)
    odd = [uid for uid, one in found.items() if one.exact != copies[uid].digest]
    originals = await likenesses(box.source, [copies[uid].source_uid for uid in odd])
    return any(
        copies[uid].source_uid in originals and originals[copies[uid].source_uid].loose != found[uid].loose
        for uid in odd
    )


async def rematch_source(box: OpenMailbox, uidvalidity: int, listed: Collection[int]) -> None:
    """The source's UIDs are others: find the ledgered messages again by their digests.

    Entries without a message keep their copy under a UID that no server gives, so that the brake counts
    them. Copies that an open intent left at the target are recognised here as well.
    """
    book = box.book
    mine = await likenesses(box.source, listed)
    old = {entry.source_uid: entry.digest for entry in book.entries()}
    kept = match_digests({uid: one.exact for uid, one in mine.items()}, old)
    entries = [
        book.entry(before)._replace(source_uid=uid, digest=mine[uid].exact) for uid, before in kept.items()
    ]
    first = min((first_uid(box, intent) for intent in book.pending), default=None)
    found: dict[int, int] = {}
    if first is not None:
        with at_target():
            strays = await likenesses(ImapBodies(box.target), await unexplained(box, first))
        found = match_alike({uid: one for uid, one in mine.items() if uid not in kept}, strays)
    entries += [LedgerEntry(uid, there, mine[uid].exact, FLAGS_UNKNOWN) for uid, there in found.items()]
    orphans = sorted(set(old) - set(kept.values()))
    for place, before in enumerate(orphans):
        entries.append(book.entry(before)._replace(source_uid=book.no_server_uid(place)))
    crash_point("matched-again")
    await book.replace(entries, source_uidvalidity=uidvalidity)
    box.run.already(box.work, len(kept) + len(found))


async def rematch_target(
    target: ImapClient,
    book: MailboxBook,
    status: MailboxStatus,
    *,
    copies_wanted: bool,
    source: BodySource | None = None,
) -> None:
    """The target's UIDs are others: find the copies again by their digests.

    What the target alters is compared with what `source` gives. An entry without a copy is forgotten
    when `copies_wanted` (the source wins); from the flip on it stays, because what is missing at the
    target is the user's will.
    """
    mine = {entry.source_uid: entry.digest for entry in book.entries()}
    pairs: dict[int, int] = {}
    if status.exists:
        with at_target():
            uids = [facts.uid for facts in await facts_from(target, 1)]
            there = await likenesses(ImapBodies(target), uids)
        pairs = match_digests(mine, {uid: one.exact for uid, one in there.items()})
        others = [uid for uid in mine if uid not in pairs]
        taken = set(pairs.values())
        free = {uid: one for uid, one in there.items() if uid not in taken}
        if source is not None and others and free:
            pairs |= match_alike(await likenesses(source, others), free)
    entries = [
        entry._replace(target_uid=pairs.get(entry.source_uid, 0), flags_key=FLAGS_UNKNOWN)
        for entry in book.entries()
        if entry.source_uid in pairs or not copies_wanted
    ]
    crash_point("matched-again")
    await book.replace(entries, target_uidvalidity=status.uidvalidity)
