"""Messages read for their digests alone: nothing of them is kept but 16 octets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mailferry.copying.sources import BodySource
from mailferry.model.mail import BodyDigest, body_digest
from mailferry.plan.header_identity import HeaderIdentity
from mailferry.remote.message_sink import FetchOutcome, WholeSink


class DigestSink(WholeSink):
    """Collects the digest of each message's octets."""

    def __init__(self) -> None:
        self.digests: dict[int, bytes] = {}
        self._key = 0
        self._running = BodyDigest()

    def whole(self, key: int, octets: memoryview) -> None:
        """Keep the digest of a small message."""
        self.digests[key] = body_digest(octets)

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the size does not count
        """Begin a message."""
        self._key, self._running = key, BodyDigest()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._running.feed(data)

    def end(self) -> None:
        """Keep the digest."""
        self.digests[self._key] = self._running.value()

    def broken(self) -> None:
        """Keep nothing."""


class HeaderSink:
    """Collects the digest of each message's header (`plan.header_identity`) and its Message-ID."""

    def __init__(self) -> None:
        self.digests: dict[int, bytes] = {}
        self.message_ids: dict[int, bytes] = {}
        self._key = 0
        self._running = HeaderIdentity()

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the size does not count
        """Begin a message."""
        self._key, self._running = key, HeaderIdentity()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._running.feed(data)

    def end(self) -> None:
        """Keep what the header says."""
        self.digests[self._key] = self._running.value()
        message_id = self._running.message_id()
        if message_id is not None:
            self.message_ids[self._key] = message_id

    def broken(self) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Digest by UID, and what did not come."""

    by_uid: Mapping[int, bytes]
    outcome: FetchOutcome


async def body_digests(source: BodySource, uids: Collection[int]) -> Digests:
    """Return the digests of whole messages of the selected mailbox."""
    if not uids:
        return Digests({}, FetchOutcome())
    sink = DigestSink()
    outcome = await source.fetch_bodies(sorted(uids), sink)
    return Digests(sink.digests, outcome)


class ContentSink:
    """Collects digests of whole messages and of their bodies alone, and their Message-IDs."""

    def __init__(self) -> None:
        self.whole: dict[int, bytes] = {}
        self.bodies: dict[int, bytes] = {}
        self.message_ids: dict[int, bytes] = {}
        self._key = 0
        self._all = BodyDigest()
        self._header = HeaderIdentity()
        self._body = BodyDigest()

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the size does not count
        """Begin a message."""
        self._key = key
        self._all, self._header, self._body = BodyDigest(), HeaderIdentity(), BodyDigest()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._all.feed(data)
        rest = self._header.feed(data)
        if rest:
            self._body.feed(rest)

    def end(self) -> None:
        """Keep what the message says."""
        self.whole[self._key] = self._all.value()
        self.bodies[self._key] = self._body.value()
        message_id = self._header.message_id()
        if message_id is not None:
            self.message_ids[self._key] = message_id

    def broken(self) -> None:
        """Keep nothing."""


class TrimmedSink:
    """Collects digests of whole messages, as they are and without the line ends at their end.

    POP3 cannot show a message whose last line has no end; IMAP can.
    """

    def __init__(self) -> None:
        self.whole: dict[int, bytes] = {}
        self.trimmed: dict[int, bytes] = {}
        self._key = 0
        self._all = BodyDigest()
        self._most = BodyDigest()
        self._tail = b""

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the size does not count
        """Begin a message."""
        self._key, self._tail = key, b""
        self._all, self._most = BodyDigest(), BodyDigest()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._all.feed(data)
        rest = self._tail + data
        body = rest.rstrip(b"\r\n")
        self._tail = rest[len(body) :]
        self._most.feed(body)

    def end(self) -> None:
        """Keep the digests."""
        self.whole[self._key] = self._all.value()
        self.trimmed[self._key] = self._most.value()

    def broken(self) -> None:
        """Keep nothing."""
