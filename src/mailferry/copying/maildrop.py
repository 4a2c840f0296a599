"""A POP3 maildrop as a source of bodies: the size of a message is known only when it is over.

RETR does not announce a size that may be trusted, and APPEND needs one before the literal: each
message is spooled whole and then handed on. Reading goes on meanwhile, up to `AHEAD` octets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from mailferry.copying.spool import Spool
from mailferry.model.causes import Cause, Refused, RemoteFailure
from mailferry.model.mail import MessageFacts
from mailferry.plan.arrival_date import arrival_date
from mailferry.remote.message_sink import FetchOutcome, MessageSink, WholeSink
from mailferry.remote.pop3_client import Pop3Client

AHEAD = 2 * 1024 * 1024
"""Octets of whole messages that may wait for the target before the source is made to wait."""
HEADER_LOOK = 64 * 1024
"""Octets in which the arrival date is looked for."""

_NO_SIZES: Mapping[int, int] = {}


class Maildrop:
    """The messages of one POP3 session, by source UIDs of our own.

    `numbers` is UID to message number, `sizes` what LIST says by number. A message of another size is
    asked for once more; when it comes again as it was, LIST is a liar and is believed no more. `alone` says
    that the source has POP3 only, so that nobody else tells whether a message came without its body.
    """

    def __init__(
        self,
        client: Pop3Client,
        numbers: Mapping[int, int],
        sizes: Mapping[int, int] = _NO_SIZES,
        *,
        alone: bool = False,
    ) -> None:
        self._client = client
        self._numbers = dict(numbers)
        self._sizes = sizes
        self._alone = alone
        self._lies = False
        self._doubted: dict[int, _Doubted] = {}
        self._doubted_octets = 0
        self._handing = _HandingOn(client)
        client.after_read = self._handing.go_on

    @property
    def one_batch_at_a_time(self) -> bool:
        """Replies come in the order of the commands, however many are on their way."""
        return False

    @property
    def promises_sizes(self) -> bool:
        """LIST is a hint, and the only one where the source has no IMAP."""
        return self._alone

    @property
    def guesses_sizes(self) -> bool:
        """What LIST says need not have to do with the message."""
        return True

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`. Raises Unavailable behind the last message that came whole."""
        first = await self.fetch_bodies_once(uids, sink)
        again = [uid for uid in first.missing if uid in self._numbers]
        if not again:
            return first
        second = await self.fetch_bodies_once(again, sink)
        unknown = tuple(uid for uid in first.missing if uid not in self._numbers)
        return FetchOutcome((*unknown, *second.missing), {**first.refused, **second.refused})

    async def fetch_bodies_once(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand messages on behind those of the calls before; one that cannot be believed yet is `missing`."""
        by_number = {self._numbers[uid]: uid for uid in uids if uid in self._numbers}
        keeper = _Keeper(self, by_number, sink)
        refused: dict[int, RemoteFailure] = {}
        unclear: tuple[int, ...] = ()
        try:
            known = [number for number in by_number if number in self._doubted]
            if known and not self._lies:
                await self._client.fetch_once(known[:1], keeper, sizes=self._sizes)
            if self._lies:
                known = [number for number in known if self._release(number, by_number[number], sink)]
                known += keeper.kept
            rest = [number for number in by_number if number not in (known if self._lies else keeper.kept)]
            outcome = await self._client.fetch_once(rest, keeper, sizes=self._sizes)
            refused, unclear = dict(outcome.refused), outcome.missing
        finally:
            await self._handing.all_so_far()
        missing = [uid for uid in uids if uid not in self._numbers]
        missing += [by_number[number] for number in (*unclear, *keeper.doubted)]
        refused |= keeper.unsteady
        return FetchOutcome(tuple(missing), {by_number[number]: why for number, why in refused.items()})

    def keep(self, number: int, uid: int, spool: Spool, sink: MessageSink) -> bool:
        """Queue a message that came whole; return whether it is to be asked for once more instead.

        Raises Refused when it came as two different messages.
        """
        size = self._sizes.get(number)
        before = self._doubted.pop(number, None)
        if before is not None:
            before.let_go()
        if size is not None and size != spool.size and not self._lies:
            if before is None:
                self._doubt(number, spool)
                return True
            if before.digest != spool.digest():
                raise Refused(
                    Cause.PROTOCOL_ERROR, "the server gave this message twice, each time another one"
                )
            self._lies = True
        self._handing.add(uid, spool, sink)
        return False

    def _doubt(self, number: int, spool: Spool) -> None:
        """Remember a message of a wrong size, and itself while there is room."""
        self._doubted_octets += spool.size
        self._doubted[number] = _Doubted(spool.digest(), spool if self._doubted_octets < AHEAD else None)
        if self._doubted[number].spool is None:
            spool.close()

    def _release(self, number: int, uid: int, sink: MessageSink) -> bool:
        """Queue a message that was doubted without reason; return whether it is still here."""
        doubted = self._doubted.pop(number, None)
        if doubted is None or doubted.spool is None:
            return False
        self._handing.add(uid, doubted.spool, sink)
        return True

    async def listed(self, uids: Collection[int]) -> frozenset[int]:
        """Return those that the session's list names; it cannot change during a session (RFC 1939 8)."""
        return frozenset(uid for uid in uids if uid in self._numbers)

    def arrived(self, uid: int) -> bytes | None:
        """Return the INTERNALDATE of a message that is handed on just now."""
        return self._handing.arrived(uid)

    def pause(self) -> None:
        """Hand nothing on; reading goes on for a while."""
        self._handing.pause()

    def resume(self) -> None:
        """Go on."""
        self._handing.resume()


class MaildropHeads:
    """What is known of messages without their bodies: nothing but the UID, and the header by TOP."""

    def __init__(self, client: Pop3Client, numbers: Mapping[int, int]) -> None:
        self._client = client
        self._numbers = numbers

    async def fetch_facts(self, uids: Sequence[int], on_fact: Callable[[MessageFacts], None]) -> None:
        """Tell of each message that it is there."""
        for uid in uids:
            if uid in self._numbers:
                on_fact(MessageFacts(uid, frozenset(), b"", None))

    async def fetch_headers(self, uids: Sequence[int], sink: MessageSink) -> object:
        """Hand headers to `sink`, as far as the server gives any."""
        by_number = {self._numbers[uid]: uid for uid in uids if uid in self._numbers}
        return await self._client.fetch_once(by_number, _Renamed(sink, by_number), top_lines=0)


class _Renamed:
    """Hands on under UIDs what comes under message numbers."""

    def __init__(self, sink: MessageSink, by_number: Mapping[int, int]) -> None:
        self._by_number = by_number
        self._begin = sink.begin
        self.chunk, self.end, self.broken = sink.chunk, sink.end, sink.broken

    def begin(self, key: int, size: int | None) -> None:
        """Begin a header."""
        self._begin(self._by_number[key], size)


@dataclass(frozen=True, slots=True)
class _Doubted:
    """A message whose size is not what LIST says: its digest, and itself if it was kept."""

    digest: bytes
    spool: Spool | None

    def let_go(self) -> None:
        """It came once more."""
        if self.spool is not None:
            self.spool.close()


class _Keeper:
    """Spools one message after the other and gives those that came whole to the maildrop."""

    def __init__(self, maildrop: Maildrop, by_number: Mapping[int, int], sink: MessageSink) -> None:
        self._maildrop = maildrop
        self._by_number = by_number
        self._sink = sink
        self._number = 0
        self._spool = Spool()
        self.kept: list[int] = []
        """Messages that were queued."""
        self.doubted: list[int] = []
        """Messages that are to be asked for again."""
        self.unsteady: dict[int, RemoteFailure] = {}
        """Messages that came as two different ones."""

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - POP3 announces none
        """Begin a message."""
        self._number, self._spool = key, Spool()

    def chunk(self, data: bytes) -> None:
        """Keep octets."""
        self._spool.add(data)

    def end(self) -> None:
        """Give the message on."""
        spool, number = self._spool, self._number
        try:
            doubted = self._maildrop.keep(number, self._by_number[number], spool, self._sink)
        except Refused as refusal:
            self.unsteady[number] = refusal
            spool.close()
        else:
            (self.doubted if doubted else self.kept).append(number)

    def broken(self) -> None:
        """Throw away what came."""
        self._spool.close()


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message on its way to its sink."""

    uid: int
    spool: Spool
    sink: MessageSink
    whole: WholeSink | None
    """The sink, where it takes messages in one step."""
    pieces: Iterator[bytes] | None = None


class _HandingOn:
    """The queue between the source and the sinks; each side waits for the other when it must.

    A Deferred in it stands behind the messages of one call: it fires before anything of the next one
    is handed on.
    """

    def __init__(self, client: Pop3Client) -> None:
        self._client = client
        self._queue: deque[_Waiting | Deferred[None]] = deque()
        self._octets = 0
        self._date: tuple[int, bytes | None] = (0, None)
        self._paused = self._at_it = self._source_waits = False
        self._error: Exception | None = None
        self._sink: MessageSink | None = None
        self._whole_sink: WholeSink | None = None
        """What `_sink` is, where it takes messages in one step."""

    def add(self, uid: int, spool: Spool, sink: MessageSink) -> None:
        """Take a whole message."""
        if self._error is not None:
            spool.close()
            return
        if sink is not self._sink:  # asked once for all messages of a fetch: it takes as long as a digest
            self._sink, self._whole_sink = sink, sink if isinstance(sink, WholeSink) else None
        self._queue.append(_Waiting(uid, spool, sink, self._whole_sink))
        self._octets += spool.size
        if self._octets >= AHEAD:
            self.go_on()

    async def all_so_far(self) -> None:
        """Wait until all is handed on that came so far. Raises what a sink raised."""
        here: Deferred[None] = Deferred()
        self._queue.append(here)
        self.go_on()
        await here
        if self._error is not None:
            raise self._error

    def arrived(self, uid: int) -> bytes | None:
        """Return the date of the message that is handed on just now."""
        return self._date[1] if self._date[0] == uid else None

    def pause(self) -> None:
        """Stop at the next piece."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self.go_on()

    def go_on(self) -> None:
        """Hand on as much as is wanted, and let the source wait while more than enough is here."""
        if self._at_it:
            return
        self._at_it = True
        sinks: set[WholeSink] = set()
        try:
            while self._queue and not (self._paused and isinstance(self._queue[0], _Waiting)):
                first = self._queue[0]
                if isinstance(first, Deferred):
                    self._flush(sinks)
                    self._queue.popleft()
                    first.callback(None)
                elif self._hand_on(first, sinks):
                    self._queue.popleft()
                    self._octets -= first.spool.size
                    first.spool.close()
            self._flush(sinks)
        except Exception as error:  # loop edge: what a sink raises comes out of the fetch that waits for it
            self._give_up(error)
        finally:
            self._at_it = False
        self._balance()

    def _hand_on(self, message: _Waiting, sinks: set[WholeSink]) -> bool:
        """Hand on a message, or its next pieces until a pause is wanted; return whether it is over."""
        sink, spool = message.sink, message.spool
        if message.pieces is None:
            self._date = message.uid, arrival_date(_header_of(spool.head(HEADER_LOOK)))
            octets, whole = spool.whole(), message.whole
            if octets is not None and whole is not None:
                sinks.add(whole)
                whole.whole(message.uid, memoryview(octets))
                return True
            sink.begin(message.uid, spool.size)
            message.pieces = spool.pieces()
        for piece in message.pieces:
            sink.chunk(piece)
            if self._paused:
                return False
        sink.end()
        return True

    @staticmethod
    def _flush(sinks: set[WholeSink]) -> None:
        while sinks:
            sinks.pop().so_far()

    def _give_up(self, error: Exception) -> None:
        """No sink gets anything any more."""
        self._error = error
        self._client.close()
        queue, self._queue, self._octets = self._queue, deque(), 0
        for one in queue:
            if isinstance(one, Deferred):
                one.callback(None)
            else:
                one.spool.close()

    def _balance(self) -> None:
        wait = self._octets >= AHEAD
        if wait != self._source_waits and not self._client.closed:
            self._source_waits = wait
            (self._client.pause if wait else self._client.resume)()


def _header_of(octets: bytes) -> bytes:
    end = octets.find(b"\r\n\r\n")
    bare = octets.find(b"\n\n", 0, end if end >= 0 else len(octets))
    end = end if bare < 0 else bare
    return octets if end < 0 else octets[:end]
