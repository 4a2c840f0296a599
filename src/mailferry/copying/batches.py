"""Messages copied in batches: a durable intent, the octets, the target's answer, the ledger.

A batch that the target refuses is split until the message that it means stands alone; that one is
skipped with its reason. A full target pauses the account instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailferry.copying.learning import learn_target_uids
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.outgoing import Outgoing, OutgoingSink
from mailferry.copying.results import SkipReason
from mailferry.copying.sides import at_target
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import flags_key
from mailferry.providers.refused_messages import RefusedMessage, refused_message
from mailferry.remote.imap_append import AppendResult
from mailferry.remote.message_sink import FetchOutcome
from mailferry.remote.sendable import sendable_date, sendable_flags
from mailferry.store.ledger_blocks import LedgerEntry

ASSUMED_SIZE = 16 * 1024
"""What a message counts in a batch when the source does not tell its size."""

_SKIPS = {
    RefusedMessage.TOO_BIG: SkipReason.TOO_BIG,
    RefusedMessage.NUL: SkipReason.NUL_REFUSED,
    RefusedMessage.HEADER: SkipReason.HEADER_REFUSED,
    RefusedMessage.EMPTY: SkipReason.EMPTY_REFUSED,
    RefusedMessage.OTHER: SkipReason.REFUSED,
}


def cut_batches(
    messages: Sequence[MessageFacts], max_messages: int, max_octets: int
) -> Iterator[list[MessageFacts]]:
    """Cut a list of messages into batches; a message larger than a batch has one of its own."""
    batch: list[MessageFacts] = []
    octets = 0
    for facts in messages:
        size = ASSUMED_SIZE if facts.size is None else facts.size
        if batch and (len(batch) >= max_messages or octets + size > max_octets):
            yield batch
            batch, octets = [], 0
        batch.append(facts)
        octets += size
    if batch:
        yield batch


@dataclass(slots=True)
class _Sent:
    """What one batch brought about."""

    by_uid: Mapping[int, MessageFacts]
    sink: OutgoingSink
    outcome: FetchOutcome = field(default_factory=FetchOutcome)
    results: list[AppendResult] = field(default_factory=list)
    failure: RemoteFailure | None = None
    """The source broke off behind the messages that were sent."""

    def answers(self) -> Iterator[tuple[int, AppendResult]]:
        """Yield (source UID, the target's answer)."""
        yield from zip(self.sink.sent, self.results, strict=True)


class BatchCopier:
    """Copies messages of one source mailbox into one target mailbox, which is selected at `target`."""

    def __init__(self, box: OpenMailbox) -> None:
        self._run = box.run
        self._work = box.work
        self._source = box.source
        self._target = box.target
        self._book = box.book
        self._status = box.status
        self._without_keywords: set[int] = set()

    async def copy(self, messages: Sequence[MessageFacts]) -> None:
        """Copy all of them, in this order.

        Raises Refused or Unavailable when either server ends the work, and Stopped when the pass ends;
        what was acknowledged until then is ledgered.
        """
        limits = self._run.desk.limits
        suspects = [facts for facts in messages if facts.uid in self._work.suspects]
        others = [facts for facts in messages if facts.uid not in self._work.suspects]
        for batch in cut_batches(others, limits.batch_messages, limits.batch_octets):
            await self._batch(batch)
        for facts in suspects:
            if self._work.suspects[facts.uid] >= limits.lost_connections:
                await self._skip(
                    facts, SkipReason.UNREADABLE, "the connection breaks at this message each time"
                )
                continue
            await self._batch([facts])
            del self._work.suspects[facts.uid]

    async def _batch(self, batch: Sequence[MessageFacts]) -> None:
        self._run.check()
        by_uid = {facts.uid: facts for facts in batch}
        intent = await self._book.open_intent(sorted(by_uid), self._status)
        crash_point("intent-written")
        self._work.in_flight.update(by_uid)
        sent = await self._send(by_uid)
        entries = await self._entries(sent, intent.target_uidnext)
        octets = sum(sent.sink.sizes[entry.source_uid] for entry in entries)
        await self._book.commit(entries, settles=intent.id, octets=octets)
        crash_point("ledger-committed")
        self._run.copied(self._work, len(entries), octets)
        self._work.in_flight.difference_update(sent.sink.sent)
        if sent.failure is not None:
            raise sent.failure
        self._work.in_flight.difference_update(by_uid)
        await self._follow_up(sent)

    async def _send(self, by_uid: Mapping[int, MessageFacts]) -> _Sent:
        stream = self._target.append_batch(self._book.target_name, on_pressure=self._pressure)
        outgoing = {uid: self._outgoing(facts) for uid, facts in by_uid.items()}
        sink = OutgoingSink(
            stream,
            outgoing,
            limit=self._target.append_limit,
            alone=len(by_uid) == 1,
            arrived=self._source.arrived,
        )
        sent = _Sent(by_uid, sink)
        try:
            sent.outcome = await self._source.fetch_bodies(sorted(by_uid), sink)
        except RemoteFailure as broke:
            if sink.aborted:
                raise
            sent.failure = broke
        crash_point("batch-sent")
        with at_target():
            sent.results = await stream.finish()
        crash_point("append-acknowledged")
        return sent

    def _pressure(self, full: bool) -> None:
        if full:
            self._source.pause()
        else:
            self._source.resume()

    def _outgoing(self, facts: MessageFacts) -> Outgoing:
        flags, refused = sendable_flags(facts.flags, self._status.permanent_flags)
        if facts.uid in self._without_keywords:
            keywords = {flag for flag in flags if not flag.startswith(b"\\")}
            flags, refused = flags - keywords, refused | keywords
        self._run.keywords_refused(self._book.source_name, facts.uid, refused)
        return Outgoing(facts.uid, flags, sendable_date(facts.internal_date), facts.size)

    async def _entries(self, sent: _Sent, uidnext: int) -> list[LedgerEntry]:
        """Return what the ledger shall know of the messages that the target keeps."""
        sink = sent.sink
        if any(result.uidvalidity not in {None, self._status.uidvalidity} for _, result in sent.answers()):
            raise Unavailable(Cause.TARGET_DOWN, "the target's mailbox was made anew meanwhile")
        stored = {uid: result.uid for uid, result in sent.answers() if result.stored}
        told = {uid: target_uid for uid, target_uid in stored.items() if target_uid is not None}
        silent = [uid for uid in stored if uid not in told]
        if silent:
            with at_target():
                told |= await learn_target_uids(
                    self._target,
                    uidnext,
                    self._book.target_uids() | set(told.values()),
                    {uid: sink.sizes[uid] for uid in silent},
                    {uid: sink.digests[uid] for uid in silent},
                )
        return [
            LedgerEntry(uid, told[uid], sink.digests[uid], flags_key(sent.by_uid[uid].flags))
            for uid in stored
        ]

    async def _follow_up(self, sent: _Sent) -> None:
        """Skip what stands alone with its reason, send the rest once more in smaller batches."""
        by_uid = sent.by_uid
        for uid, size in sent.sink.too_big.items():
            limit = self._target.append_limit
            await self._skip(by_uid[uid], SkipReason.TOO_BIG, f"{size} octets, the target takes {limit}")
        for uid in sorted(sent.sink.header_only):
            await self._skip(by_uid[uid], SkipReason.HEADER_ONLY, "the source gave its header without a body")
        await self._not_read(sent)
        refused = [(uid, result) for uid, result in sent.answers() if result.refusal is not None]
        for uid, result in refused:
            assert result.refusal is not None
            meaning = refused_message(result.code, result.refusal.text)
            if meaning is RefusedMessage.OVER_QUOTA:
                raise Refused(Cause.TARGET_OVER_QUOTA, result.refusal.text)
            if isinstance(result.refusal, Unavailable):
                raise Unavailable(
                    Cause.TARGET_DOWN, result.refusal.text, retry_after=result.refusal.retry_after
                )
            if len(by_uid) == 1:
                await self._refused_alone(by_uid[uid], meaning, result.refusal)
        for uid in sent.sink.empty:
            await self._batch([by_uid[uid]])
        if refused and len(by_uid) > 1:
            whole = all(result.whole_batch for _, result in refused)
            for smaller in _smaller([by_uid[uid] for uid, _ in refused], whole=whole):
                await self._batch(smaller)

    async def _refused_alone(
        self, facts: MessageFacts, meaning: RefusedMessage, refusal: RemoteFailure
    ) -> None:
        """One message, refused on its own: without its keywords it may be taken, else it is skipped."""
        keywords = any(not flag.startswith(b"\\") for flag in facts.flags)
        if keywords and meaning is RefusedMessage.OTHER and facts.uid not in self._without_keywords:
            self._without_keywords.add(facts.uid)
            await self._batch([facts])
            return
        await self._skip(facts, _SKIPS[meaning], refusal.text)

    async def _not_read(self, sent: _Sent) -> None:
        """Messages that the source listed and did not give: still listed, they are unreadable there."""
        for uid, failure in sent.outcome.refused.items():
            if isinstance(failure, Unavailable):
                raise failure
            await self._skip(sent.by_uid[uid], SkipReason.UNREADABLE, failure.text)
        missing = [uid for uid in sent.outcome.missing if uid in sent.by_uid]
        if not missing:
            return
        listed = await self._source.listed(missing)
        for uid in missing:
            if uid in listed:
                await self._skip(
                    sent.by_uid[uid], SkipReason.UNREADABLE, "the source lists it and gives nothing"
                )
        self._run.vanished(self._work, len(missing) - len(listed))

    async def _skip(self, facts: MessageFacts, reason: SkipReason, detail: str) -> None:
        await self._book.skip(facts, reason, detail)
        self._run.skipped(self._work, reason)


def _smaller(messages: Sequence[MessageFacts], *, whole: bool) -> Iterator[Sequence[MessageFacts]]:
    """Split a refused batch: halves where nobody knows which message was meant, else one by one."""
    if not whole or len(messages) == 1:
        yield from ([facts] for facts in messages)
        return
    middle = (len(messages) + 1) // 2
    yield messages[:middle]
    yield messages[middle:]
