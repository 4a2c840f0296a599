"""One batch on its way: messages that go to the target under one intent, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from twisted.internet.defer import Deferred, ensureDeferred

from mailferry.copying.book_entries import PendingIntent
from mailferry.copying.outgoing import Outgoing, OutgoingSink
from mailferry.copying.sides import at_target
from mailferry.model.causes import RemoteFailure, Unavailable
from mailferry.model.mail import MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.true_sizes import TrueSizes
from mailferry.providers.placeholders import PlaceholderTest
from mailferry.providers.refused_messages import refused_message
from mailferry.remote.imap_append import AppendResult
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.message_sink import FetchOutcome
from mailferry.store.ledger_blocks import LedgerEntry

ASSUMED_SIZE = 16 * 1024
"""What a message counts in a batch when the source does not tell its size."""


class Batch:
    """Messages under one intent. `sink` takes them, `close` asks the target for its answer."""

    def __init__(
        self,
        by_uid: Mapping[int, MessageFacts],
        intent: PendingIntent,
        target: ImapClient,
        mailbox: bytes,
        *,
        outgoing: Mapping[int, Outgoing],
        arrived: Callable[[int], bytes | None],
        placeholder: PlaceholderTest | None = None,
        sizes: TrueSizes | None = None,
        as_they_come: Collection[int] = (),
    ) -> None:
        self.by_uid = by_uid
        self.intent = intent
        self._stream = target.append_batch(mailbox)
        self.sink = OutgoingSink(
            self._stream,
            outgoing,
            limit=target.append_limit,
            alone=len(by_uid) == 1,
            arrived=arrived,
            placeholder=placeholder,
            sizes=sizes,
            as_they_come=as_they_come,
        )
        self.closed = False
        """Nothing more is sent of it."""
        self.answered: Deferred[None] = Deferred()
        """Fires when no more will be heard of it."""
        self.results: Sequence[AppendResult] = ()
        self.entries: Sequence[LedgerEntry] = ()
        """What the ledger shall know of it, once that was found out."""
        self.outcome: FetchOutcome | None = None
        """What the source said of those it did not give, when it was asked for this batch alone."""
        self.failure: RemoteFailure | None = None
        """The source broke off; what was sent before is whole."""
        self.lost: RemoteFailure | None = None
        """The target's session ended before it answered."""

    def close(self) -> None:
        """Send no more, and wait for the target's answer."""
        if not self.closed:
            self.closed = True
            ensureDeferred(self._finish()).chainDeferred(self.answered)

    async def _finish(self) -> None:
        crash_point("batch-sent")
        try:
            with at_target():
                self.results = await self._stream.finish()
        except RemoteFailure as lost:
            self.lost = lost
            return
        crash_point("append-acknowledged")

    def answers(self) -> Iterator[tuple[int, AppendResult]]:
        """Yield (source UID, the target's answer)."""
        yield from zip(self.sink.sent, self.results, strict=True)

    @property
    def taken_behind(self) -> int:
        """Return how many messages the target took after it refused one."""
        stored = [result.stored for result in self.results]
        return sum(stored[stored.index(False) :]) if False in stored else 0

    def unread(self) -> set[int]:
        """Return the messages that the source has not given."""
        return set(self.by_uid) - self.sink.taken

    @property
    def octets(self) -> int:
        """Octets of the messages that the ledger shall know of."""
        return sum(self.sink.sizes[entry.source_uid] for entry in self.entries)

    @property
    def is_odd(self) -> bool:
        """Whether something is left to see to."""
        return self.failure is not None or len(self.entries) < len(self.by_uid)


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


def is_hopeless(batch: Batch) -> bool:
    """Whether the target would refuse the batches behind this one as well."""
    refusals = [result for result in batch.results if result.refusal is not None]
    return any(
        isinstance(result.refusal, Unavailable)
        or (result.refusal and refused_message(result.code, result.refusal.text).of_the_mailbox)
        for result in refusals
    )


def smaller_batches(messages: Sequence[MessageFacts], *, whole: bool) -> Iterator[Sequence[MessageFacts]]:
    """Split a refused batch: halves where nobody knows which message was meant, else one by one."""
    if not whole or len(messages) == 1:
        yield from ([facts] for facts in messages)
        return
    middle = (len(messages) + 1) // 2
    yield messages[:middle]
    yield messages[middle:]
