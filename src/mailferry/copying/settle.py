"""What an earlier run left open: its intents, settled by reading both servers.

The target is read from the intent's UIDNEXT on. What no ledger entry explains is paired with the
intent's source messages: by digest, then by likeness, and by size and arrival where the source has them
no longer; never more than the source has. What has no copy is simply copied.

Nobody can tell when a killed run's last octets have arrived. An intent with a message that was not
found is therefore looked for again after a while, and once more in a later pass: a copy that came after
all is one too many by then and is taken away, unless the user may have made it.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import deferLater

from mailferry.copying.book_entries import PendingIntent
from mailferry.copying.learning import facts_from, match_digests
from mailferry.copying.likeness import Likeness, likenesses, match_alike
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.results import Mode
from mailferry.copying.sides import at_target
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.arrival_date import instant
from mailferry.plan.differences import FLAGS_UNKNOWN
from mailferry.store.ledger_blocks import LedgerEntry

NOTHING_UNDER_WAY = 600.0
"""Seconds after which nothing that an intent's run sent can still be on its way."""


async def settle_intents(box: OpenMailbox) -> None:
    """Settle the mailbox's intents; it is selected on both sides and keeps its UIDVALIDITY there."""
    # what is open first: its copies would look like ones too many to who looks once more
    for intent in sorted(box.book.pending, key=lambda intent: intent.examined):
        box.run.check()
        if intent.examined:
            if intent.id not in box.work.examined:
                await _look_once_more(box, intent)
            continue
        entries = await _recognise(box, intent)
        crash_point("intent-examined")
        if all(box.book.has(uid) for uid in intent.source_uids if uid not in {e.source_uid for e in entries}):
            await box.book.commit(entries, settles=intent.id)
        else:
            await box.book.examined(intent, entries)
            box.work.examined.add(intent.id)
            box.run.result.unsettled += 1
        box.run.already(box.work, len(entries))


async def _recognise(box: OpenMailbox, intent: PendingIntent) -> list[LedgerEntry]:
    """Return entries for those source messages whose copies lie at the target."""
    open_uids = [uid for uid in intent.source_uids if not box.book.has(uid)]
    if not open_uids:
        return []
    strays = await _strays(box, intent)
    if len(strays) < len(open_uids) and intent.age < NOTHING_UNDER_WAY:
        await deferLater(box.run.desk.reactor, box.run.desk.limits.settle_patience)
        with at_target():
            await box.target.select(box.book.target_name)  # only then does it show what came meanwhile
        strays = await _strays(box, intent)
    if not strays:
        return []
    with at_target():
        found = await likenesses(ImapBodies(box.target), strays)
    there = await _without_nameless(box, found)
    mine = await likenesses(box.source, open_uids)
    pairs = match_alike(mine, there)
    entries = [LedgerEntry(uid, pairs[uid], mine[uid].exact, FLAGS_UNKNOWN) for uid in sorted(pairs)]
    left = {uid: strays[uid] for uid in there if uid not in set(pairs.values())}
    return entries + await _gone_from_source(box, intent, left, there)


async def _strays(box: OpenMailbox, intent: PendingIntent) -> dict[int, MessageFacts]:
    """Return the target's messages from the intent's UIDNEXT on that no ledger entry explains."""
    return await unexplained(box, first_uid(box, intent))


def first_uid(box: OpenMailbox, intent: PendingIntent) -> int:
    """Return the UID from which on all lies that an intent brought: the lowest where the target counts anew."""
    return intent.target_uidnext if intent.target_uidvalidity == box.status.uidvalidity else 1


async def unexplained(box: OpenMailbox, first: int) -> dict[int, MessageFacts]:
    """Return the selected target mailbox's messages from a UID on that no ledger entry explains."""
    known = box.book.target_uids() | box.others
    with at_target():
        return {facts.uid: facts for facts in await facts_from(box.target, first) if facts.uid not in known}


async def _gone_from_source(
    box: OpenMailbox,
    intent: PendingIntent,
    strays: Mapping[int, MessageFacts],
    there: Mapping[int, Likeness],
) -> list[LedgerEntry]:
    """Return entries for copies whose messages the source took away before this look.

    They are recognised by size and second of arrival. With their entry they are messages that vanished.
    """
    suspects = [uid for uid in intent.source_uids if uid in intent.traits and not box.book.has(uid)]
    if not strays or not suspects:
        return []
    listed = await box.source.listed(suspects)
    free: dict[tuple[int | None, int | None], list[int]] = {}
    for uid, facts in sorted(strays.items()):
        free.setdefault((facts.size, instant(facts.internal_date)), []).append(uid)
    found: list[LedgerEntry] = []
    for uid in suspects:
        trait = intent.traits[uid]
        same = free.get((trait.octets, trait.arrived), [])
        if uid not in listed and None not in trait and same and same[0] in there:
            found.append(LedgerEntry(uid, same[0], there[same.pop(0)].exact, FLAGS_UNKNOWN))
    return found


async def _look_once_more(box: OpenMailbox, intent: PendingIntent) -> None:
    """Take away what arrived after the first look: its message was copied again meanwhile."""
    strays = await _strays(box, intent)
    with at_target():
        found = await likenesses(ImapBodies(box.target), strays)
    there = await _without_nameless(box, found)
    surplus = await _surplus(box, intent, there)
    left = {uid: strays[uid] for uid in there if uid not in surplus}
    gone = await _gone_from_source(box, intent, left, there)
    if surplus:
        box.run.result.doubled += len(surplus)
        if box.run.request.mode is Mode.MIRROR:
            with at_target():
                await box.target.delete(surplus)
            box.run.result.doubles_removed += len(surplus)
        crash_point("surplus-removed")
    await box.book.commit(gone, settles=intent.id)


async def _surplus(box: OpenMailbox, intent: PendingIntent, there: Mapping[int, Likeness]) -> list[int]:
    """Return the target's UIDs of copies beyond those that the ledger knows."""
    copied = {uid: box.book.entry(uid).digest for uid in intent.source_uids if box.book.has(uid)}
    if not copied or not there:
        return []
    return sorted((await paired(box, copied, there)).values())


async def _without_nameless(box: OpenMailbox, there: Mapping[int, Likeness]) -> dict[int, Likeness]:
    """Leave out what are likely the copies of ledgered messages whose UID the target never told.

    No other copy of these is known: they are not one too many, and they belong to no other message.
    """
    nameless = box.book.nameless() if there else {}
    taken = set((await paired(box, nameless, there)).values()) if nameless else set()
    return {uid: one for uid, one in there.items() if uid not in taken}


async def paired(
    box: OpenMailbox, copied: Mapping[int, bytes], there: Mapping[int, Likeness]
) -> dict[int, int]:
    """Pair ledgered messages (UID to digest) with what lies at the target: equal ones, then those that are alike."""
    pairs = match_digests(copied, {uid: one.exact for uid, one in there.items()})
    taken = set(pairs.values())
    others = [uid for uid in copied if uid not in pairs]
    left = {uid: one for uid, one in there.items() if uid not in taken}
    if others and left:
        pairs |= match_alike(await likenesses(box.source, others), left)
    return pairs
