"""Passes an IMAP session on as it is and knows between which commands it may be ended.

Before its flip an account's sessions must be able to end without cutting a command in two. The tap
counts the commands in flight; when it cannot follow the stream any more it never calls the session
resting, and the session goes on to its own end. A command goes to the server from its first whole
line on, so that one whose line has not ended has not begun.
"""

from __future__ import annotations

import re

from mailferry.model.tap import ALL_THAT_COMES, Deletions, Flow
from mailferry.taps.deletions_imap import ImapDeletions
from mailferry.wire.imap_framing import FramingError
from mailferry.wire.imap_outline import HEAD_OCTETS, ImapOutline, Outline

MAX_IN_FLIGHT = 10_000
BYE = b"* BYE Please connect again.\r\n"

_COMMAND = re.compile(rb"([^ (){%*\"\\+\x00-\x1f\x7f-\xff]{1,128}) +([A-Za-z0-9-]+)")
_TAGGED = re.compile(rb"([^ *+]+) (OK|NO|BAD)(?: |\Z)", re.IGNORECASE)
_REFUSED = frozenset({b"COMPRESS", b"STARTTLS", b"AUTHENTICATE", b"UNAUTHENTICATE"})
"""Commands behind which the stream would be no IMAP, or no longer this user's; answered NO here."""


class ImapBoundaries:
    """The tap; see `model.tap.Tap`. `tag` is that of our own LOGOUT."""

    def __init__(self, tag: bytes) -> None:
        self._own_tag = tag
        self._client = ImapOutline(server=False)
        self._server = ImapOutline(server=True)
        self._held = b""  # a command's first line, until it has ended
        self._pending: dict[bytes, int] = {}
        self._in_flight = 0
        self._open_tag: bytes | None = None  # the command whose literal waits for a continuation
        self._open_octets = 0
        self._idle_tag: bytes | None = None
        self._idling = False
        self._deletions = ImapDeletions()
        self._own_words = b""  # our answers to the client, until the server's response has ended
        self._sure = True
        self._stopping = False
        self._logout_tag: bytes | None = None

    @property
    def in_idle(self) -> bool:
        """Whether the session stands in IDLE (RFC 2177), with nothing else in flight."""
        return self._idling and self._in_flight == 1

    @property
    def resting(self) -> bool:
        """Whether the session stands between commands, or in IDLE, with nothing in flight."""
        return (
            self._sure
            and self._logout_tag is None
            and self._client.at_boundary
            and self._server.at_boundary
            and (not self._in_flight or self.in_idle)
        )

    @property
    def deletions(self) -> Deletions:
        """What the server deleted for this session; what cannot be followed counts for nothing."""
        return self._deletions.seen

    @property
    def unseen_to_client(self) -> int:
        """The rest of a literal, which neither ends a response nor holds one; everything once we are lost."""
        if not self._sure:
            return ALL_THAT_COMES
        return self._server.left if self._logout_tag is None else 0  # behind our LOGOUT it is swallowed

    def passed_to_client(self, octets: int) -> None:
        """Follow octets of a literal by their number."""
        if self._sure:
            self._server.skip(octets)

    @property
    def unseen_to_server(self) -> int:
        """The same of the client's literals: the command that they belong to has begun, and goes on."""
        if not self._sure:
            return 0 if self._held else ALL_THAT_COMES
        return self._client.left

    def passed_to_server(self, octets: int) -> None:
        """Follow octets of a literal by their number."""
        if self._sure:
            self._client.skip(octets)

    def from_client(self, data: bytes) -> Flow:
        """Pass commands on; after `stop()` only the rest of one that had begun."""
        if self._logout_tag is not None:
            return Flow()
        if not self._sure:
            held, self._held = self._held, b""
            return Flow(to_server=held + data)
        if self._stopping:
            data = self._rest_of_command(data)
        elif self._held:
            data = self._held + data
            self._held = b""
        if not data:
            return Flow()
        try:
            passed = self._take(data)
        except FramingError:
            self._sure = False
            passed = data
        return self._end_when_resting(Flow(passed, self._words_now()))

    def from_server(self, data: bytes) -> Flow:
        """Pass responses on; after our LOGOUT they are swallowed, and its answer ends the session."""
        if not self._sure:
            return Flow(to_client=data)
        try:
            ends = self._server.feed(data)
        except FramingError:
            if self._logout_tag is not None:
                return Flow(end="ended at a boundary; the server's last answer was not IMAP")
            self._sure = False
            return Flow(to_client=data)
        if self._logout_tag is not None:
            return self._after_logout(ends)
        for outline in ends:
            if outline.first:
                self._response_line(outline.head)
        words = self._words_now()
        return self._end_when_resting(Flow(to_client=data + words if words else data))

    def stop(self) -> Flow:
        """Ask for the end at the next boundary."""
        self._stopping = True
        if self._sure:
            self._held = b""
        return self._end_when_resting(Flow())

    def _take(self, data: bytes) -> bytes:
        """Follow what the client sent; returns what goes to the server."""
        last = data.rfind(b"\n") + 1
        cuts: list[tuple[int, int]] = []
        start = 0
        for outline, end in self._client.walk(data[:last] if last < len(data) else data):
            if self._command_line(outline):
                cuts.append((start, end))
            start = end
        if last < len(data):
            if self._client.at_boundary and len(data) - last < HEAD_OCTETS and self._sure:
                self._held = data[last:]
                cuts.append((last, len(data)))
            else:
                self._client.feed(data[last:])
        for begin, end in reversed(cuts):
            data = data[:begin] + data[end:]
        return data

    def _command_line(self, outline: Outline) -> bool:
        """Follow one line of the client; True when it does not go to the server."""
        if not outline.clean:
            self._sure = False
        if outline.first and self._idle_tag is not None:
            # What stands here ends IDLE, whatever it says (RFC 2177 asks for DONE).
            self._idle_tag = None
            self._idling = False
            self._sure = self._sure and outline.literal is None
            return False
        if outline.first:
            if not outline.head:
                return False
            found = _COMMAND.match(outline.head)
            if not found:
                self._sure = False
                return False
            tag, name = found.group(1), found.group(2).upper()
            if name in _REFUSED and outline.literal is None and len(outline.head) < HEAD_OCTETS:
                self._own_words += tag + b" NO [CANNOT] Not available here.\r\n"
                return True
            self._sure = self._sure and name not in _REFUSED
            self._begin(tag, name)
            self._deletions.command(tag, name, outline.head)
            self._open_tag = tag
        if outline.literal is None:
            self._open_tag = None
        self._open_octets = -1 if outline.non_sync else outline.literal or 0
        return False

    def _begin(self, tag: bytes, name: bytes) -> None:
        self._pending[tag] = self._pending.get(tag, 0) + 1
        self._in_flight += 1
        if self._in_flight > MAX_IN_FLIGHT:
            self._sure = False
        if name == b"IDLE":
            self._idle_tag = tag

    def _response_line(self, head: bytes) -> None:
        if head.startswith(b"+"):
            self._idling = self._idle_tag is not None
            return
        if head.startswith(b"*"):
            self._deletions.untagged(head)
            return
        found = _TAGGED.match(head)
        tag = found.group(1) if found else None
        if found is None or tag is None or tag not in self._pending:
            self._sure = False
            return
        self._deletions.completed(tag, found.group(2))
        self._in_flight -= 1
        self._pending[tag] -= 1
        if not self._pending[tag]:
            del self._pending[tag]
        if tag == self._idle_tag:
            # IDLE was refused, or ended by the server: the client's next line is a command.
            self._idle_tag = None
            self._idling = False
        if tag == self._open_tag and self._open_octets >= 0:
            # Refused instead of a continuation: the literal is not coming, unless it has begun to.
            if self._client.left == self._open_octets:
                self._client.abandon()
                self._open_tag = None
            else:
                self._sure = False

    def _rest_of_command(self, data: bytes) -> bytes:
        """Return the part of `data` that belongs to a command begun before `stop()`."""
        if self._client.at_boundary:
            return b""
        probe = self._client.copy()
        try:
            for outline, end in probe.walk(data):
                if outline.literal is None:
                    return data[:end]
        except FramingError:
            return data
        return data

    def _words_now(self) -> bytes:
        if not self._own_words or not self._server.at_boundary:
            return b""
        words, self._own_words = self._own_words, b""
        return words

    def _end_when_resting(self, flow: Flow) -> Flow:
        if not (self._stopping and self.resting):
            return flow
        tag = self._own_tag
        while tag in self._pending:
            tag += b"1"
        done = b"DONE\r\n" if self.in_idle else b""
        self._logout_tag = tag
        return Flow(flow.to_server + done + tag + b" LOGOUT\r\n", flow.to_client + BYE)

    def _after_logout(self, ends: list[Outline]) -> Flow:
        for outline in ends:
            found = _TAGGED.match(outline.head) if outline.first else None
            if found and found.group(1) == self._logout_tag:
                return Flow(end="ended at a boundary")
        return Flow()
