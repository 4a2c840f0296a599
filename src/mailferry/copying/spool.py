"""A POP3 maildrop as a source of bodies: the size of a message is known only when it is over.

RETR does not announce a size that may be trusted, and APPEND needs one before the literal: each
message goes through a spool that leaves memory for an unnamed file beyond `IN_MEMORY` octets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from tempfile import SpooledTemporaryFile

from twisted.internet.defer import Deferred

from mailferry.plan.arrival_date import arrival_date
from mailferry.remote.message_sink import FetchOutcome, MessageSink
from mailferry.remote.pop3_client import Pop3Client

IN_MEMORY = 1024 * 1024
PIECE = 64 * 1024
HEADER_LOOK = 64 * 1024
"""Octets in which the arrival date is looked for."""


class Maildrop:
    """The messages of one POP3 session, by source UIDs of our own."""

    def __init__(self, client: Pop3Client, numbers: Mapping[int, int]) -> None:
        self._client = client
        self._numbers = dict(numbers)
        self._dates: dict[int, bytes | None] = {}
        self._paused = False
        self._resumed: Deferred[None] | None = None

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        """Hand each message to `sink`, small ones as they come, large ones with back-pressure."""
        by_number = {self._numbers[uid]: uid for uid in uids if uid in self._numbers}
        spooler = _Spooler(self, sink, by_number)
        outcome = await self._client.fetch(sorted(by_number), spooler)
        for uid, spool, size in spooler.large:
            await self._drain(uid, spool, size, sink)
        unknown = tuple(uid for uid in uids if uid not in self._numbers)
        missing = (*unknown, *(by_number[number] for number in outcome.missing))
        return FetchOutcome(missing, {by_number[number]: why for number, why in outcome.refused.items()})

    async def listed(self, uids: Collection[int]) -> frozenset[int]:
        """Return those that the session's list names; it cannot change during a session (RFC 1939 8)."""
        return frozenset(uid for uid in uids if uid in self._numbers)

    def arrived(self, uid: int) -> bytes | None:
        """Return the INTERNALDATE of a message that is handed on just now."""
        return self._dates.get(uid)

    def pause(self) -> None:
        """Stop reading from the server and from the spool."""
        self._paused = True
        self._client.pause()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._client.resume()
        if self._resumed is not None:
            waiting, self._resumed = self._resumed, None
            waiting.callback(None)

    async def _drain(
        self, uid: int, spool: SpooledTemporaryFile[bytes], size: int, sink: MessageSink
    ) -> None:
        with spool:
            self.note_date(uid, spool)
            sink.begin(uid, size)
            while piece := spool.read(PIECE):
                sink.chunk(piece)
                if self._paused:
                    self._resumed = Deferred()
                    await self._resumed
            sink.end()

    def note_date(self, uid: int, spool: SpooledTemporaryFile[bytes]) -> None:
        """Read the arrival date out of a whole message and rewind it."""
        spool.seek(0)
        self._dates = {uid: arrival_date(_header_of(spool.read(HEADER_LOOK)))}
        spool.seek(0)


class _Spooler:
    """Gathers one message after the other; hands on what fits into memory."""

    def __init__(self, maildrop: Maildrop, sink: MessageSink, by_number: Mapping[int, int]) -> None:
        self._maildrop = maildrop
        self._sink = sink
        self._by_number = by_number
        self._number = 0
        self._spool: SpooledTemporaryFile[bytes] | None = None
        self._size = 0
        self.large: list[tuple[int, SpooledTemporaryFile[bytes], int]] = []

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - POP3 announces none
        """Begin a message."""
        self._number, self._size = key, 0
        self._spool = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed in end or by the drain

    def chunk(self, data: bytes) -> None:
        """Keep octets."""
        assert self._spool is not None
        self._spool.write(data)
        self._size += len(data)

    def end(self) -> None:
        """Hand the message on, or keep it for the drain."""
        spool, self._spool = self._spool, None
        assert spool is not None
        uid = self._by_number[self._number]
        if self._size > IN_MEMORY:
            self.large.append((uid, spool, self._size))
            return
        with spool:
            self._maildrop.note_date(uid, spool)
            self._sink.begin(uid, self._size)
            while piece := spool.read(PIECE):
                self._sink.chunk(piece)
            self._sink.end()

    def broken(self) -> None:
        """Throw away what came."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def _header_of(octets: bytes) -> bytes:
    ends = [at for mark in (b"\r\n\r\n", b"\n\n") if (at := octets.find(mark)) >= 0]
    return octets[: min(ends, default=len(octets))]
