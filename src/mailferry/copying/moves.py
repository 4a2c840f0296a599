"""Messages that the source moved: their copies move at the target, and no octet is uploaded again (design A5).

A message that left its mailbox leaves a departure; a new message of equal octets and equal arrival, in
whichever mailbox, is taken for it. Each departure serves once. What nobody takes has been deleted.
From BACKFILL on nothing is moved at the target, where the user rules: the new place is merely noted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import Run
from mailferry.copying.digests import body_digests
from mailferry.copying.following import follow_flags
from mailferry.copying.learning import UNKNOWN_UID, facts_from
from mailferry.copying.likeness import likenesses
from mailferry.copying.listing import SourceListing
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.preparing import MailboxJob
from mailferry.copying.results import Mode
from mailferry.copying.settle import paired
from mailferry.copying.sides import Pair, at_target
from mailferry.copying.sources import ImapBodies
from mailferry.model.causes import Refused
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.arrival_date import instant
from mailferry.plan.differences import flags_key
from mailferry.store.ledger_blocks import LedgerEntry

AT_ONCE = 500
"""Messages that one intent and one command move."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A message that its mailbox does not list any more, and its copy; None for what the target did not tell."""

    mailbox_id: int
    target_name: bytes
    target_uidvalidity: int | None
    entry: LedgerEntry
    octets: int | None
    arrived: int | None


class Departures:
    """The departures of one pass that nobody has taken yet."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, list[Departure]] = defaultdict(list)
        self._traits: dict[tuple[int | None, int | None], int] = defaultdict(int)
        """How many left by octets and arrival."""
        self._left = 0
        self._arrivals: list[MessageFacts] = []

    def __len__(self) -> int:
        return self._left

    def arrived(self, new: Iterable[MessageFacts]) -> None:
        """Note new messages of a mailbox that was looked at."""
        self._arrivals += new

    @property
    def expected(self) -> bool:
        """Whether any of these may be one that left."""
        return any(self.may_hold(facts) for facts in self._arrivals)

    def forget(self) -> None:
        """What left turned up nowhere."""
        self._by_digest.clear()
        self._traits.clear()
        self._left = 0

    def add(self, departures: Iterable[Departure]) -> None:
        """Note that these messages left, or that they were taken in vain."""
        for one in departures:
            self._by_digest[one.entry.digest].append(one)
            self._traits[one.octets, one.arrived] += 1
            self._left += 1

    def may_hold(self, facts: MessageFacts) -> bool:
        """Whether it is worth the reading of this message's octets: `take` wants its arrival, too."""
        if not self._left:
            return False
        arrivals = (instant(facts.internal_date), None)
        if facts.size is None:
            return any(left and arrived in arrivals for (_, arrived), left in self._traits.items())
        return any(self._traits.get((size, at)) for size in (facts.size, None) for at in arrivals)

    def take(self, digest: bytes, arrived: int | None) -> Departure | None:
        """Take a departure for a message that turned up; None when there is none."""
        waiting = self._by_digest.get(digest, [])
        for place, one in enumerate(waiting):
            if one.arrived in {None, arrived}:
                self._traits[one.octets, one.arrived] -= 1
                self._left -= 1
                return waiting.pop(place)
        return None


async def look_for_departures(run: Run, pair: Pair, job: MailboxJob, departures: Departures) -> None:
    """List a mailbox and note what left it; nothing else is done about it yet."""
    run.check()
    source = await pair.source.select(job.source_name, read_only=True)
    book = await open_book(run.register, job.row)
    if not len(book) or book.row.source_uidvalidity != source.uidvalidity:
        return
    listing = SourceListing(pair.source, book, source)
    compared = (await listing.compare()).result()
    departures.arrived(compared.new)
    await note_departures(pair, book, compared.vanished, departures)


async def note_departures(
    pair: Pair, book: MailboxBook, source_uids: Sequence[int], departures: Departures
) -> None:
    """Note these messages as gone from their mailbox, with what the target tells of their copies."""
    if not source_uids:
        return
    facts: dict[int, MessageFacts] = {}
    copies = [book.entry(uid).target_uid for uid in source_uids]
    try:
        with at_target():
            status = await pair.target.select(book.target_name, read_only=True)
            if status.uidvalidity != book.row.target_uidvalidity:
                return
            wanted = [uid for uid in copies if uid != UNKNOWN_UID]
            if wanted:
                await pair.target.fetch_facts(wanted, lambda one: facts.update({one.uid: one}))
    except Refused:
        return
    departures.add(
        Departure(
            book.row.id,
            book.target_name,
            status.uidvalidity,
            book.entry(uid),
            facts[copy].size if copy in facts else None,
            instant(facts[copy].internal_date) if copy in facts else None,
        )
        for uid, copy in zip(source_uids, copies, strict=True)
    )


async def without_moved(
    box: OpenMailbox, new: Sequence[MessageFacts], departures: Departures
) -> list[MessageFacts]:
    """Take the new messages that came from elsewhere, and return those that did not."""
    likely = [facts for facts in new if departures.may_hold(facts)] if departures else []
    done: set[int] = set()
    for start in range(0, len(likely), AT_ONCE):
        box.run.check()
        some = likely[start : start + AT_ONCE]
        digests = (await body_digests(box.source, [facts.uid for facts in some])).by_uid
        taken: dict[int, Departure] = {}
        for facts in some:
            digest = digests.get(facts.uid)
            departure = departures.take(digest, instant(facts.internal_date)) if digest is not None else None
            if departure is not None:
                taken[facts.uid] = departure
        moved: set[int] = set()
        try:
            moved = await _Arrival(box, {facts.uid: facts for facts in some}, taken).settle()
        finally:
            departures.add([one for uid, one in taken.items() if uid not in moved])
        done |= moved
    return [facts for facts in new if facts.uid not in done]


class _Arrival:
    """Some messages that turned up in one mailbox, with the departures that they were taken for."""

    def __init__(self, box: OpenMailbox, facts: dict[int, MessageFacts], taken: dict[int, Departure]) -> None:
        self._box = box
        self._facts = facts
        self._taken = taken

    async def settle(self) -> set[int]:
        """Bring their copies here; return the UIDs of those that are done."""
        by_mailbox: dict[int, list[int]] = defaultdict(list)
        for uid, departure in sorted(self._taken.items()):
            by_mailbox[departure.mailbox_id].append(uid)
        done: set[int] = set()
        for mailbox_id, uids in by_mailbox.items():
            here = mailbox_id == self._box.book.row.id
            if here or self._box.run.request.mode is not Mode.MIRROR:
                copies = {uid: self._taken[uid].entry.target_uid if here else UNKNOWN_UID for uid in uids}
                await self._write(mailbox_id, copies, intent=None)
            else:
                copies = await self._move(mailbox_id, uids)
            done |= set(copies)
        self._box.run.result.moved += len(done)
        self._box.run.bypass.changed(len(done))
        self._box.work.remaining -= len(done)
        await self._flags(done)
        return done

    async def _move(self, mailbox_id: int, uids: Sequence[int]) -> dict[int, int]:
        """Move copies out of another mailbox of the target; return source UID to new target UID."""
        box, first = self._box, self._taken[uids[0]]
        target = box.target
        there = [uid for uid in uids if self._taken[uid].octets is not None]
        if not there:
            return {}
        intent = await box.book.open_intent([self._facts[uid] for uid in there], box.status)
        told: dict[int, int] = {}
        with at_target():
            status = await target.select(first.target_name)
            if status.uidvalidity == first.target_uidvalidity:
                told = await target.move(
                    [self._taken[uid].entry.target_uid for uid in there], box.book.target_name
                )
            await target.select(box.book.target_name)
        crash_point("moved-at-target")
        copies = {
            uid: told[self._taken[uid].entry.target_uid]
            for uid in there
            if self._taken[uid].entry.target_uid in told
        }
        silent = {uid: self._taken[uid].entry.digest for uid in there if uid not in copies}
        copies |= await self._learnt(intent.target_uidnext, set(copies.values()), silent)
        await self._write(mailbox_id, copies, intent=intent.id)
        return copies

    async def _learnt(self, uidnext: int, told: set[int], silent: dict[int, bytes]) -> dict[int, int]:
        """Find the copies of which the target did not say where they are."""
        if not silent:
            return {}
        known = self._box.book.target_uids() | told
        with at_target():
            found = [facts.uid for facts in await facts_from(self._box.target, uidnext)]
            there = await likenesses(ImapBodies(self._box.target), [u for u in found if u not in known])
        return await paired(self._box, silent, there)

    async def _write(self, mailbox_id: int, copies: dict[int, int], *, intent: int | None) -> None:
        """Give the messages their new place in the ledger and take their old one from it, at once."""
        entries = [
            self._taken[uid].entry._replace(source_uid=uid, target_uid=copy)
            for uid, copy in sorted(copies.items())
        ]
        left = [self._taken[uid].entry.source_uid for uid in copies]
        await self._box.book.take_over(entries, settles=intent, mailbox_id=mailbox_id, source_uids=left)

    async def _flags(self, done: set[int]) -> None:
        """A copy came with the flags of its old place."""
        if self._box.run.request.mode is not Mode.MIRROR:
            return
        other = [
            self._facts[uid]
            for uid in sorted(done)
            if flags_key(self._facts[uid].flags) != self._taken[uid].entry.flags_key
        ]
        await follow_flags(self._box, other)
