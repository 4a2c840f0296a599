"""Messages on their way: octets of a source's answer go straight into the target's APPEND.

Never holds a message: at most the beginning of one whose size says that its body may be missing
(`HELD_OCTETS`), or that may be a text of the source's own. The digest is computed over the octets as they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from mailferry.copying.results import SkipReason
from mailferry.model.mail import BodyDigest, body_digest
from mailferry.observe.crash_points import crash_point
from mailferry.plan.completeness import may_lack_body, seems_header_only
from mailferry.plan.header_identity import promises_parts
from mailferry.plan.true_sizes import TrueSizes, is_short
from mailferry.providers.placeholders import MOST_OCTETS, PlaceholderTest
from mailferry.remote.imap_append import AppendStream, append_words
from mailferry.remote.message_sink import WholeSink
from mailferry.remote.sendable import sendable_date

HELD_OCTETS = 64 * 1024
"""A header longer than this is not looked at for a missing body."""


class Outgoing(NamedTuple):
    """One message to send: flags are fit for the target; `announced` is RFC822.SIZE, a hint."""

    uid: int
    flags: frozenset[bytes]
    internal_date: bytes | None
    """As the source told it; empty where it did not, None where the message goes without."""
    announced: int | None


class OutgoingSink(WholeSink):
    """Hands fetched messages to one AppendStream, and remembers which, with their digests."""

    def __init__(
        self,
        stream: AppendStream,
        messages: Mapping[int, Outgoing],
        *,
        limit: int | None,
        alone: bool,
        arrived: Callable[[int], bytes | None],
        placeholder: PlaceholderTest | None = None,
        sizes: TrueSizes | None = None,
        as_they_come: Collection[int] = (),
    ) -> None:
        self._stream = stream
        self._true_sizes = sizes or TrueSizes(usual=False)
        self._as_they_come = as_they_come
        self._placeholder = placeholder
        self._arrived = arrived
        self._messages = messages
        self._limit = limit
        self._alone = alone
        self._current: Outgoing | None = None
        self._size = 0
        self._seen = 0
        self._held: bytearray | None = None
        self._sending = False
        self._digest = BodyDigest()
        self.sent: list[int] = []
        """UIDs in the order of the stream's results."""
        self.digests: dict[int, bytes] = {}
        self.sizes: dict[int, int] = {}
        self.too_big: dict[int, int] = {}
        """UID to the literal's size, which the target says it does not take (APPENDLIMIT)."""
        self.incomplete: dict[int, SkipReason] = {}
        """Messages that came and were not whole."""
        self.short: dict[int, SkipReason] = {}
        """Messages that came and are incomplete if the source tells its sizes truly: not sent yet."""
        self.empty: list[int] = []
        """Messages without an octet: they end a MULTIAPPEND (RFC 3502) and go alone."""
        self.undated: set[int] = set()
        """Messages that the target gives a date of its own: theirs is not known, is none, or was refused."""
        self.aborted = False

    @property
    def taken(self) -> set[int]:
        """The messages that came whole, sent or not."""
        return {*self.sent, *self.too_big, *self.incomplete, *self.short, *self.empty}

    def whole(self, key: int, octets: memoryview) -> None:
        """Hand on a small message in one step."""
        message, size = self._messages.get(key), len(octets)
        if message is None or not self._usual(message, size):
            self.begin(key, size)
            if size:
                self.chunk(bytes(octets))
            self.end()
            return
        self._true_sizes.note(size, message.announced)
        self._stream.whole(self._words(message), octets)
        crash_point("literal-begun")
        self.sent.append(key)
        self.digests[key] = body_digest(octets)
        self.sizes[key] = size
        crash_point("literal-sent")

    def so_far(self) -> None:
        """Send what was handed on in one step each."""
        self._stream.flush()

    def _usual(self, message: Outgoing, size: int) -> bool:
        """Whether nothing keeps a message from being sent as it is."""
        return (
            size > 0
            and (self._limit is None or size <= self._limit)
            and message.uid not in self.digests
            and not self._doubted(message, size)
        )

    def _doubted(self, message: Outgoing, size: int) -> bool:
        """Whether it has to come before it is known that it may be sent."""
        return may_lack_body(size, message.announced) or (
            self._placeholder is not None and size <= MOST_OCTETS
        )

    def begin(self, key: int, size: int | None) -> None:
        """Begin a message of `size` octets, unless it must not be sent in this way."""
        self._current, self._size, self._seen = None, size or 0, 0
        self._held, self._sending = None, False
        message = self._messages.get(key)
        if message is None or key in self.digests or size is None:
            return
        if self._limit is not None and size > self._limit:
            self.too_big[key] = size
            return
        if size == 0 and not self._alone:
            self.empty.append(key)
            return
        self._current = message
        self._digest = BodyDigest()
        if self._doubted(message, size):
            self._held = bytearray()
        else:
            self._send()

    def chunk(self, data: bytes) -> None:
        """Send octets on."""
        if self._current is None:
            return
        self._digest.feed(data)
        self._seen += len(data)
        if self._held is not None:
            self._held += data
            enough = self._placeholder is None and _body_began(self._held)
            if (enough or len(self._held) > HELD_OCTETS) and not self._put_aside(SkipReason.CUT_SHORT):
                self._release()
            return
        self._stream.chunk(data)
        if self._seen == len(data):
            crash_point("literal-begun")

    def end(self) -> None:
        """Close the message."""
        if self._current is None:
            return
        uid = self._current.uid
        if self._held is not None:
            reason = self._why_incomplete(bytes(self._held))
            if reason is not None:
                self.incomplete[uid] = reason
                self._current = self._held = None
                return
            began = _body_began(self._held)
            if self._put_aside(SkipReason.CUT_SHORT if began else SkipReason.HEADER_ONLY):
                return
            self._release()
        self._stream.end_message()
        self.sent.append(uid)
        self.digests[uid] = self._digest.value()
        self.sizes[uid] = self._seen
        self._current = None
        crash_point("literal-sent")

    def _why_incomplete(self, octets: bytes) -> SkipReason | None:
        """Return what is wrong with a message that came to its end while it was held; None for a whole one."""
        assert self._current is not None
        if self._placeholder is not None and self._placeholder(octets):
            return SkipReason.PLACEHOLDER
        if self._current.uid in self._as_they_come:
            return None
        size, announced = len(octets), self._current.announced
        header = size if not _body_began(octets) else 0
        if seems_header_only(size, announced, header, multipart=promises_parts(octets)):
            return SkipReason.HEADER_ONLY
        return None

    def _put_aside(self, reason: SkipReason) -> bool:
        """Let go of a message that may be incomplete: what the others tell decides whether it is sent."""
        assert self._current is not None
        uid, announced = self._current.uid, self._current.announced
        bodyless = reason is SkipReason.HEADER_ONLY
        if uid in self._as_they_come or not self._true_sizes.may_be_believed:
            return False
        if not is_short(self._size, announced, bodyless=bodyless):
            return False
        if not bodyless:  # that one's size may be as true as any
            self._true_sizes.note(self._size, announced)
        self.short[uid] = reason
        self._current = self._held = None
        return True

    def broken(self) -> None:
        """The source's literal broke off: close the target, so that it throws the partial message away."""
        if self._sending and self._current is not None:
            self.aborted = True
            self._stream.abort()
        self._current = self._held = None

    def _send(self) -> None:
        assert self._current is not None
        self._sending = True
        self._true_sizes.note(self._size, self._current.announced)
        self._stream.begin(self._words(self._current), self._size)

    def _words(self, message: Outgoing) -> bytes:
        """Return what stands before the literal; what goes without a date is noted."""
        told = message.internal_date
        date = sendable_date(told or self._arrived(message.uid) or b"") if told is not None else None
        if date is None:
            self.undated.add(message.uid)
        return append_words(message.flags, date)

    def _release(self) -> None:
        assert self._held is not None
        held, self._held = bytes(self._held), None
        self._send()
        self._stream.chunk(held)


def _body_began(octets: bytes | bytearray) -> bool:
    """Whether more than a line end stands behind the header."""
    for mark in (b"\r\n\r\n", b"\n\n"):
        at = octets.find(mark)
        if at >= 0:
            return len(octets) - at - len(mark) > 2
    return False
