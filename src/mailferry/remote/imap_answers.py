"""Answers out of octets: lines and literals gathered, message literals streamed (RFC 3501 7).

An answer is gathered whole and parsed, unless the listener of the moment streams it: then its lines
and literals are handed on as they arrive. Many short answers of one shape (listings, small messages)
have a path of their own: the listener takes them in bulk, straight from the octets received.
"""

from __future__ import annotations

from collections.abc import Callable

from mailferry.model.causes import Cause, Unavailable
from mailferry.wire.imap_framing import Frame, FramingError, ImapFramer, LineText, LiteralChunk
from mailferry.wire.imap_responses import Response, Untagged, parse_response
from mailferry.wire.imap_values import BadResponse

MAX_LINE = 256 * 1024
"""Octets of one line of an answer; the COPYUID of a big move is the longest that is honest."""
MAX_COLLECTED = 512 * 1024
"""Octets of the lines and literals of one answer that is not streamed."""


class Listener:
    """Who hears what the server says while a command is the oldest one open. Hears nothing as it is."""

    takes_bulk = False
    """Whether `bulk` is offered raw octets before they are cut into lines."""

    def bulk(self, data: bytes, at: int) -> int:  # noqa: ARG002 - whoever takes bulk overrides it
        """Take whole answers of `data` from `at` on; return how many octets they were.

        Stops early when the session is paused meanwhile.
        """
        return 0

    def awaits_rest(self, data: bytes, at: int) -> bool:  # noqa: ARG002 - whoever takes bulk may override it
        """Whether the answer at `at`, which `bulk` did not take, is to be offered again when more of it is there."""
        return False

    def untagged(self, response: Untagged) -> None:
        """Take one untagged answer."""

    def unreadable(self, line: bytes) -> None:
        """Take the first line of an untagged answer that cannot be parsed."""

    def streams(self, line: bytes) -> bool:  # noqa: ARG002 - whoever streams overrides it
        """Whether the answer that begins with `line` goes to `stream_line` and `stream_chunk`."""
        return False

    def stream_line(self, line: LineText) -> None:
        """Take the next line of a streamed answer; one that announces no literal is its last."""

    def stream_chunk(self, chunk: LiteralChunk) -> None:
        """Take the next octets of a literal of a streamed answer."""

    def broken(self) -> None:
        """Learn that the session broke before the command was answered."""


class AnswerReader:
    """Turns what a server sends into answers for `on_response`, asking `listener()` who listens just now."""

    def __init__(
        self, listener: Callable[[], Listener | None], on_response: Callable[[Response], None]
    ) -> None:
        self._listener = listener
        self._on_response = on_response
        self._framer = ImapFramer(server=True, max_line=MAX_LINE)
        self._parts: list[bytes] = []
        self._collected = 0
        self._streaming: Listener | None = None
        self._tail = b""
        self._stopped = False
        self._held = False
        self._feeding = False

    @property
    def waiting(self) -> bool:
        """Whether octets were fed that are held back."""
        return self._held and bool(self._tail)

    def hold(self) -> None:
        """Hand nothing on from the next answer on that comes in bulk; the rest of what was fed is kept."""
        self._held = True

    def go_on(self) -> None:
        """Hand on what was held back. Raises as `feed` does."""
        self._held = False
        if not self._feeding:
            self.feed(b"")

    def stop(self) -> None:
        """Hand nothing on any more, not even what was fed already."""
        self._stopped = True

    def feed(self, data: bytes) -> None:
        """Take octets. Raises Unavailable for what is no IMAP, and whatever a listener raises."""
        if self._tail:
            data, self._tail = self._tail + data, b""
        self._feeding = True
        try:
            self._feed(data)
        finally:
            self._feeding = False

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._stopped:
            listener = self._listener()
            if listener is None or not listener.takes_bulk:
                self._frame(data[at:] if at else data)
                return
            if self._framer.at_boundary:
                if not self._held:
                    at += listener.bulk(data, at)
                if self._held or listener.awaits_rest(data, at):
                    self._tail = data[at:]
                    return
            left = self._framer.literal_left
            end = at + left if left else data.find(b"\n", at) + 1
            if end == 0:
                self._keep(data[at:])
                return
            self._frame(data[at:end] if at or end < len(data) else data)
            at = end

    def _keep(self, rest: bytes) -> None:
        """Keep a line's beginning until its end is there."""
        if len(rest) > MAX_LINE:
            raise Unavailable(Cause.PROTOCOL_ERROR, "the server sent a line without end")
        self._tail = rest

    def _frame(self, data: bytes) -> None:
        try:
            frames = self._framer.feed(data)
        except FramingError as fault:
            self._take(fault.frames)
            raise Unavailable(Cause.PROTOCOL_ERROR, f"the server's answer is no IMAP: {fault}") from fault
        self._take(frames)

    def _take(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._stopped:
                return
            if isinstance(frame, LineText):
                self._line(frame)
            else:
                self._chunk(frame)

    def _line(self, line: LineText) -> None:
        if self._streaming is None and not self._parts:
            listener = self._listener()
            if listener is not None and listener.streams(line.text):
                self._streaming = listener
        if self._streaming is not None:
            listener = self._streaming
            if line.literal is None:
                self._streaming = None
            listener.stream_line(line)
            return
        self._parts.append(line.text)
        self._collected += len(line.text) + (line.literal or 0)
        if self._collected > MAX_COLLECTED:
            raise Unavailable(Cause.PROTOCOL_ERROR, "the server sent an answer larger than any honest one")
        if line.literal is not None:
            self._parts.append(b"")
            return
        parts, self._parts, self._collected = self._parts, [], 0
        self._parsed(parts)

    def _parsed(self, parts: list[bytes]) -> None:
        try:
            response = parse_response(parts)
        except BadResponse as fault:
            if not parts[0].startswith(b"* "):
                raise Unavailable(Cause.PROTOCOL_ERROR, f"the server's answer is no IMAP: {fault}") from fault
            listener = self._listener()
            if listener is not None:
                listener.unreadable(parts[0])
            return
        self._on_response(response)

    def _chunk(self, chunk: LiteralChunk) -> None:
        if self._streaming is not None:
            self._streaming.stream_chunk(chunk)
        else:
            self._parts[-1] += chunk.data
