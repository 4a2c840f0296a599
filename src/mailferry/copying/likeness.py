"""Messages recognised although a server altered them while it kept them (hazard D26).

Seen at real targets: Courier and Dovecot make CRLF of bare line feeds, Courier drops lone carriage
returns, ends a last line and an empty message, Dovecot shows NUL as another octet, Cyrus writes `X` for
8-bit octets of a header. Two messages are *alike* when they differ in nothing else. Only settling by
digests looks at this, and only for what has no equal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mailferry.copying.learning import match_digests
from mailferry.copying.sources import BodySource
from mailferry.model.mail import BodyDigest

_ONE_OF_MANY = bytes(ord("X") if octet == 0 or octet >= 0x80 else octet for octet in range(256))


@dataclass(frozen=True, slots=True)
class Likeness:
    """What one message is recognised by."""

    exact: bytes
    """The digest of its octets."""
    loose: bytes
    """The digest of what targets were seen to leave as it is."""
    octets: int


class LooseDigest:
    """The digest of a message without carriage returns, empty lines at its end, NUL and 8-bit octets."""

    __slots__ = ("_digest", "_line_ends")

    def __init__(self) -> None:
        self._digest = BodyDigest()
        self._line_ends = 0

    def feed(self, octets: bytes) -> None:
        """Take the next octets of the message."""
        plain = bytes(octets).translate(_ONE_OF_MANY, b"\r")
        kept = plain.rstrip(b"\n")
        if kept:
            self._digest.feed(b"\n" * self._line_ends + kept)
            self._line_ends = 0
        self._line_ends += len(plain) - len(kept)

    def value(self) -> bytes:
        """Return the digest of what was fed so far."""
        return self._digest.value()


class _LikenessSink:
    def __init__(self) -> None:
        self.found: dict[int, Likeness] = {}
        self._key = 0
        self._octets = 0
        self._exact, self._loose = BodyDigest(), LooseDigest()

    def begin(self, key: int, size: int | None) -> None:  # noqa: ARG002 - the octets that come are counted
        """Begin a message."""
        self._key, self._octets = key, 0
        self._exact, self._loose = BodyDigest(), LooseDigest()

    def chunk(self, data: bytes) -> None:
        """Take octets."""
        self._octets += len(data)
        self._exact.feed(data)
        self._loose.feed(data)

    def end(self) -> None:
        """Keep what the message says."""
        self.found[self._key] = Likeness(self._exact.value(), self._loose.value(), self._octets)

    def broken(self) -> None:
        """Keep nothing."""


async def likenesses(source: BodySource, uids: Collection[int]) -> dict[int, Likeness]:
    """Return what the messages of the selected mailbox are recognised by; those that do not come are left out."""
    sink = _LikenessSink()
    if uids:
        await source.fetch_bodies(sorted(uids), sink)
    return sink.found


def match_alike(mine: Mapping[int, Likeness], there: Mapping[int, Likeness]) -> dict[int, int]:
    """Pair UIDs of equal messages, then of those that are left the ones that are alike; each at most once."""
    pairs = match_digests(
        {uid: one.exact for uid, one in mine.items()}, {uid: one.exact for uid, one in there.items()}
    )
    taken = set(pairs.values())
    pairs |= match_digests(
        {uid: one.loose for uid, one in mine.items() if uid not in pairs},
        {uid: one.loose for uid, one in there.items() if uid not in taken},
    )
    return pairs
