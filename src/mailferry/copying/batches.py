"""Messages copied in batches: a durable intent, the octets, the target's answer, the ledger.

Where both servers allow it the source is asked for many messages at once, and they flow into one batch
after the other: while the target saves one, the next one streams and another is ready behind it. One
transaction commits the oldest and opens the newest; no octet of a batch is sent before its intent is
durable. What did not go smoothly is seen to when nothing else is under way: a refused batch is split
until the message that it means stands alone; that one is skipped with its reason. A full target pauses
the account instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from functools import lru_cache, partial

from twisted.internet.defer import Deferred, ensureDeferred

from mailferry.copying.batch import Batch, cut_batches, is_hopeless, smaller_batches
from mailferry.copying.book_entries import Finished
from mailferry.copying.desk import Stopped
from mailferry.copying.keywords import add_keywords, keywords_of
from mailferry.copying.learning import UNKNOWN_UID, find_copies, learn_target_uids
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.outgoing import Outgoing
from mailferry.copying.plainer import Plainer
from mailferry.copying.results import INCOMPLETE, SkipReason
from mailferry.copying.sides import at_target
from mailferry.copying.sluice import Sluice
from mailferry.copying.sources import PipelinedSource
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan import differences
from mailferry.plan.differences import FLAGS_UNKNOWN
from mailferry.providers.placeholders import placeholder_test
from mailferry.providers.refused_messages import RefusedMessage, refused_message
from mailferry.store.ledger_blocks import LedgerEntry
from mailferry.store.mailboxes import is_incomplete

UNDER_WAY = 3
"""Batches on their way: one that the target saves, one that streams, one that is ready for what follows."""
ASKED_AT_ONCE = 8
"""Batches for which the source is asked by one command, so that its distance counts once for all of them.
They go by UID, so that a copy of the newest mail first begins with one, then two, then four."""

_SKIPS = {
    RefusedMessage.TOO_BIG: SkipReason.TOO_BIG,
    RefusedMessage.NUL: SkipReason.NUL_REFUSED,
    RefusedMessage.HEADER: SkipReason.HEADER_REFUSED,
    RefusedMessage.EMPTY: SkipReason.EMPTY_REFUSED,
    RefusedMessage.KEYWORDS: SkipReason.REFUSED,
    RefusedMessage.OTHER: SkipReason.REFUSED,
}
_BREAKS = (SkipReason.UNREADABLE, "the connection breaks at this message each time")
_PUT_OFF = (SkipReason.REFUSED, "the target puts it off each time, and takes others")
flags_key = lru_cache(maxsize=4096)(differences.flags_key)


class BatchCopier:
    """Copies messages of one source mailbox into one target mailbox, which is selected at `target`."""

    def __init__(self, box: OpenMailbox) -> None:
        self._run = box.run
        self._work = box.work
        self._source = box.source
        self._target = box.target
        self._book = box.book
        self._status = box.status
        self._plainer = Plainer(box.status.permanent_flags)
        self._as_they_come: set[int] = set()
        """Messages shorter than announced, at a source that does not tell sizes truly."""
        as_it_comes = is_incomplete(self._book.source_name)
        self._placeholder = None if as_it_comes else placeholder_test(box.run.desk.profile)
        self._under_way: deque[Batch] = deque()
        self._odd: list[Batch] = []
        """Batches that are settled and left something to see to."""
        self._tells_uids = self._target.tells_uids
        self._pipelines = self._source if isinstance(self._source, PipelinedSource) else None
        self._sluice: Sluice | None = None
        self._fetching: Deferred[None] | None = None
        self._broke: RemoteFailure | None = None
        """The source broke off; what was sent before is whole."""
        self._waits: set[str] = set()

    async def copy(self, messages: Sequence[MessageFacts]) -> None:
        """Copy all of them, nearly in this order: what the source is asked for at once goes by UID.

        Raises Refused or Unavailable when either server ends the work, and Stopped when the pass ends;
        what was acknowledged until then is ledgered.
        """
        limits = self._run.desk.limits
        suspects = [facts for facts in messages if facts.uid in self._work.suspects]
        suspects.sort(key=lambda facts: self._work.suspects[facts.uid])
        others = [facts for facts in messages if facts.uid not in self._work.suspects]
        self._target.tell_pressure(partial(self._hold, "the target takes no more"))
        try:
            await self._all(deque(cut_batches(others, limits.batch_messages, limits.batch_octets)))
            for facts in suspects:
                if self._work.is_to_blame(facts.uid, limits.lost_connections, self._run.result.copied):
                    put_off = facts.uid in self._work.put_off
                    await self._skip(facts, *(_PUT_OFF if put_off else _BREAKS))
                    continue
                await self._batch([facts])
                del self._work.suspects[facts.uid]
        finally:
            self._target.tell_pressure(None)
            self._let_go()

    # --- batches on their way

    async def _all(self, batches: deque[list[MessageFacts]]) -> None:
        limits = self._run.desk.limits
        newest_first = len(batches) > 1 and batches[0][0].uid > batches[-1][0].uid
        at_once = 1 if newest_first else ASKED_AT_ONCE
        while batches:
            self._run.check()
            source = self._pipelines
            if source is None or not self._tells_uids or source.one_batch_at_a_time:
                # A target that tells no UIDs is read for them after each batch: nothing may follow it.
                done = await self._oldest() if self._under_way else None
                odd = done is not None and done.is_odd
                self._ask_alone(await self._turn_over(done, *(() if odd else (batches.popleft(),))))
                if odd:
                    await self._drain()
                continue
            asked = sorted(facts for _ in range(min(at_once, len(batches))) for facts in batches.popleft())
            at_once = min(2 * at_once, ASKED_AT_ONCE)
            left = await self._flow(source, asked)
            batches.extendleft(reversed([*cut_batches(left, limits.batch_messages, limits.batch_octets)]))
        await self._drain()

    async def _flow(
        self, source: PipelinedSource, messages: Sequence[MessageFacts]
    ) -> Sequence[MessageFacts]:
        """Ask for all of these at once and copy them batch by batch; return those that no batch was opened for."""
        limits = self._run.desk.limits
        ahead = deque(cut_batches(messages, limits.batch_messages, limits.batch_octets))
        sluice = self._sluice = Sluice(len(ahead), partial(self._hold, "no batch is open"))
        try:
            while ahead and not sluice.over:
                self._run.check()
                done = await self._oldest() if len(self._under_way) >= UNDER_WAY else None
                if done is not None and is_hopeless(done):
                    sluice.drop()
                    await self._turn_over(done)
                    break
                room = UNDER_WAY - len(self._under_way)
                opened = [ahead.popleft() for _ in range(min(room, len(ahead)))]
                for batch in await self._turn_over(done, *opened):
                    sluice.add(batch)
                if self._fetching is None:
                    self._fetching = ensureDeferred(self._fetch(source, messages, sluice))
        except Stopped:
            await self._leave_early(sluice)
            raise
        await self._drain()
        if sluice.let_go > len(messages) // 4:
            self._pipelines = None  # this server does not give messages in the order of their UIDs
        return [facts for batch in ahead for facts in batch]

    async def _fetch(self, source: PipelinedSource, messages: Sequence[MessageFacts], sluice: Sluice) -> None:
        try:
            await source.fetch_bodies_once([facts.uid for facts in messages], sluice)
        except RemoteFailure as broke:
            self._broke = broke
        finally:
            sluice.finish()

    async def _batch(self, messages: Sequence[MessageFacts]) -> None:
        """Send a batch while nothing else is under way, and see to what comes of it."""
        self._run.check()
        self._ask_alone(await self._turn_over(None, messages))
        await self._drain()

    def _ask_alone(self, opened: Sequence[Batch]) -> None:
        """Ask for the messages of a batch, more than once if need be."""
        for batch in opened:
            self._fetching = ensureDeferred(self._fetch_alone(batch))

    async def _fetch_alone(self, batch: Batch) -> None:
        try:
            batch.outcome = await self._source.fetch_bodies(sorted(batch.by_uid), batch.sink)
        except RemoteFailure as broke:
            self._broke = broke
        finally:
            batch.close()

    async def _drain(self) -> None:
        """Wait until nothing is under way, then see to what did not go smoothly."""
        while self._under_way:
            await self._turn_over(await self._oldest())
        if self._fetching is not None:
            await self._fetching
        self._sluice = self._fetching = None
        odd, self._odd = self._odd, []
        if self._broke is not None:
            self._work.in_flight.update(next((unread for batch in odd if (unread := batch.unread())), ()))
            raise self._broke
        for batch in odd:
            await self._follow_up(batch)

    async def _leave_early(self, sluice: Sluice) -> None:
        """The pass ends: commit what was sent, without waiting for more of it to come."""
        if not sluice.inside:
            sluice.finish()
        try:
            while self._under_way and self._under_way[0].closed:
                await self._turn_over(await self._oldest())
        except RemoteFailure:
            pass  # what became of it is found out by the next pass

    async def _oldest(self) -> Batch:
        """Wait for the oldest batch's answer. Raises Unavailable when nobody knows what became of it."""
        batch = self._under_way[0]
        await batch.answered
        if batch.lost is not None:
            if self._fetching is not None and any(later.sink.aborted for later in self._under_way):
                await self._fetching  # the source broke off first, and we closed the target ourselves
            raise self._broke or batch.lost
        batch.entries = await self._entries(batch)
        self._under_way.popleft()
        return batch

    async def _turn_over(self, done: Batch | None, *messages: Sequence[MessageFacts]) -> Sequence[Batch]:
        """Commit an answered batch and open the next ones, in one transaction."""
        finished = None if done is None else Finished(done.intent.id, done.entries, done.octets)
        ascending = [sorted(batch) for batch in messages]
        intents = await self._book.turn_over(finished, ascending, self._status)
        if done is not None:
            crash_point("ledger-committed")
            if undated := done.sink.undated.intersection(entry.source_uid for entry in done.entries):
                self._run.dates_lost(self._book.target_name, undated)
            self._run.copied(self._work, len(done.entries), done.octets)
            if done.is_odd:
                self._odd.append(done)
        if intents:
            crash_point("intent-written")
        opened = [
            Batch(
                {facts.uid: facts for facts in batch},
                intent,
                self._target,
                self._book.target_name,
                outgoing={facts.uid: self._outgoing(facts) for facts in batch},
                arrived=self._source.arrived,
                placeholder=self._placeholder,
                sizes=self._run.sizes,
                as_they_come=self._as_they_come,
            )
            for batch, intent in zip(ascending, intents, strict=True)
        ]
        self._under_way.extend(opened)
        return opened

    def _let_go(self) -> None:
        """Leave batches of which nobody will learn what became of them; the next run settles their intents.

        Where the target broke, any message that it had not acknowledged may be the reason; where the
        source did, those that it had not given.
        """
        if self._sluice is not None:
            self._sluice.abandon()
        for batch in self._under_way:
            self._work.in_flight.update(batch.unread() if self._broke is not None else batch.by_uid)
            if batch.unread():
                break  # the source had not come to the later ones
        for unheard in (self._fetching, *(batch.answered for batch in self._under_way)):
            if unheard is not None:
                unheard.addErrback(lambda _: None)  # what is raised already says it
        self._under_way.clear()
        for why in tuple(self._waits):
            self._hold(why, False)

    def _hold(self, why: str, hold: bool) -> None:
        """Let the source wait as long as there is a reason."""
        waited = bool(self._waits)
        (self._waits.add if hold else self._waits.discard)(why)
        if self._waits and not waited:
            self._source.pause()
        elif waited and not self._waits:
            self._source.resume()

    def _outgoing(self, facts: MessageFacts) -> Outgoing:
        flags, refused = self._plainer.flags(facts)
        if self._plainer.lacks_keywords(facts.uid):
            flags -= keywords_of(flags)
        if refused:
            self._run.keywords_refused(self._book.source_name, facts.uid, refused)
        announced = facts.size if self._source.promises_sizes else None
        return Outgoing(facts.uid, flags, self._plainer.date(facts), announced)

    async def _entries(self, batch: Batch) -> list[LedgerEntry]:
        """Return what the ledger shall know of the messages that the target keeps."""
        sink, by_uid = batch.sink, batch.by_uid
        if any(result.uidvalidity not in {None, self._status.uidvalidity} for result in batch.results):
            raise Unavailable(Cause.TARGET_DOWN, "the target's mailbox was made anew meanwhile")
        stored = {uid: result.uid for uid, result in batch.answers() if result.stored}
        told = {uid: target_uid for uid, target_uid in stored.items() if target_uid is not None}
        silent = [uid for uid in stored if uid not in told]
        if silent:
            told |= await self._learn(batch, silent, set(told.values()))
        return [LedgerEntry(uid, told[uid], sink.digests[uid], self._key(by_uid[uid])) for uid in stored]

    def _key(self, facts: MessageFacts) -> bytes:
        return FLAGS_UNKNOWN if self._plainer.lacks_keywords(facts.uid) else flags_key(facts.flags)

    async def _learn(self, batch: Batch, silent: Sequence[int], told: set[int]) -> dict[int, int]:
        """Read the target for UIDs that it did not tell, behind all that is under way there."""
        self._tells_uids = False
        if self._sluice is not None:
            self._sluice.drop()
        for later in self._under_way:
            await later.answered
            told.update(result.uid for result in later.results if result.uid is not None)
        with at_target():
            return await learn_target_uids(
                self._target,
                batch.intent.target_uidnext,
                self._book.target_uids() | told,
                {uid: batch.sink.sizes[uid] for uid in silent},
                {uid: batch.sink.digests[uid] for uid in silent},
            )

    # --- what did not go smoothly

    async def _follow_up(self, sent: Batch) -> None:
        """Skip what stands alone with its reason, send the rest once more in smaller batches."""
        by_uid = sent.by_uid
        for uid, size in sent.sink.too_big.items():
            limit = self._target.append_limit
            await self._skip(by_uid[uid], SkipReason.TOO_BIG, f"{size} octets, the target takes {limit}")
        await self._incomplete(sent)
        await self._not_read(sent)
        refused = [(uid, result) for uid, result in sent.answers() if result.refusal is not None]
        if refused:
            kept = await self._kept_nevertheless(sent, [uid for uid, _ in refused])
            refused = [(uid, result) for uid, result in refused if uid not in kept]
        for uid, result in refused:
            assert result.refusal is not None
            meaning = refused_message(result.code, result.refusal.text)
            if meaning is RefusedMessage.OVER_QUOTA:
                raise Refused(Cause.TARGET_OVER_QUOTA, result.refusal.text)
            if meaning is RefusedMessage.NO_MAILBOX:  # the next pass makes it anew
                raise Refused(Cause.TARGET_REFUSED, result.refusal.text)
            if isinstance(result.refusal, Unavailable):
                self._work.refused_for_now(dict(refused), self._run.result.copied - sent.taken_behind)
                raise Unavailable(
                    Cause.TARGET_DOWN, result.refusal.text, retry_after=result.refusal.retry_after
                )
            if len(by_uid) == 1:
                await self._refused_alone(by_uid[uid], meaning, result.refusal)
        for uid in sent.sink.empty:
            await self._batch([by_uid[uid]])
        if refused and len(by_uid) > 1:
            whole = all(result.whole_batch for _, result in refused)
            for smaller in smaller_batches([by_uid[uid] for uid, _ in refused], whole=whole):
                await self._batch(smaller)

    async def _kept_nevertheless(self, sent: Batch, refused: Sequence[int]) -> Collection[int]:
        """Look which messages the target kept although it refused them, or their batch (against RFC 3502)."""
        digests = {uid: sent.sink.digests[uid] for uid in refused}
        try:
            with at_target():
                kept = await find_copies(
                    self._target, sent.intent.target_uidnext, self._book.target_uids(), digests
                )
        except Refused:
            return ()  # its answer to the messages says more
        entries = [LedgerEntry(uid, kept[uid], digests[uid], FLAGS_UNKNOWN) for uid in sorted(kept)]
        if entries:
            await self._book.add(entries)
            self._run.already(self._work, len(entries))
        return kept

    async def _incomplete(self, sent: Batch) -> None:
        """Messages with less than their size promises: incomplete unless sizes are wrong, else sent as they come."""
        listed, sizes = self._book.incomplete(), self._run.sizes
        for uid, reason in sorted({**sent.sink.incomplete, **sent.sink.short}.items()):
            doubted = uid in sent.sink.short and not sizes.believed
            if reason is SkipReason.HEADER_ONLY and self._source.guesses_sizes:
                doubted = doubted or sizes.other > sizes.exact
            if uid in listed or not doubted:
                await self._skip(sent.by_uid[uid], reason, INCOMPLETE[reason])
            else:
                self._as_they_come.add(uid)
                await self._batch([sent.by_uid[uid]])

    async def _refused_alone(
        self, facts: MessageFacts, meaning: RefusedMessage, refusal: RemoteFailure
    ) -> None:
        """One message, refused on its own: without its date or keywords it may be taken, else it is skipped."""
        if self._plainer.make_plainer(facts, meaning):
            await self._batch([facts])
            await self._keywords_one_by_one(facts)
            return
        await self._skip(facts, _SKIPS[meaning], refusal.text)

    async def _keywords_one_by_one(self, facts: MessageFacts) -> None:
        """A message was taken without its keywords: give its copy those that the target does not mind."""
        uid = facts.uid
        if not self._plainer.lacks_keywords(uid) or not self._book.has(uid):
            return
        self._plainer.with_keywords_again(uid)
        refused = keywords_of(self._plainer.flags(facts)[0])
        copy = self._book.entry(uid).target_uid
        if copy != UNKNOWN_UID:
            refused = await add_keywords(self._target, [copy], refused)
        self._run.keywords_refused(self._book.source_name, uid, refused)
        await self._book.update_flags({uid: flags_key(facts.flags)})

    async def _not_read(self, sent: Batch) -> None:
        """Messages that the source listed and did not give: still listed, they are unreadable there."""
        if sent.outcome is None:
            if unread := sorted(sent.unread()):
                await self._batch([sent.by_uid[uid] for uid in unread])
            return
        for uid, failure in sent.outcome.refused.items():
            if isinstance(failure, Unavailable):
                self._work.in_flight.add(uid)  # suspect: one that is put off each time is skipped
                raise failure
        words = {uid: failure.text for uid, failure in sent.outcome.refused.items()}
        missing = dict.fromkeys(sent.outcome.missing, "the source lists it and gives nothing")
        not_read = {uid: why for uid, why in {**missing, **words}.items() if uid in sent.by_uid}
        if not not_read:
            return
        listed = await self._source.listed(not_read)  # [EXPUNGEISSUED] (RFC 5530) is a refusal as well
        for uid in sorted(listed):
            await self._skip(sent.by_uid[uid], SkipReason.UNREADABLE, not_read[uid])
        self._run.vanished(self._work, len(not_read) - len(listed))

    async def _skip(self, facts: MessageFacts, reason: SkipReason, detail: str) -> None:
        await self._book.skip(facts, reason, detail)
        self._run.skipped(self._work, reason)
