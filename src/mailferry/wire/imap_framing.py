"""IMAP's framing in both directions: lines and literals (RFC 3501 4.3, RFC 7888, RFC 3516 `~{n}`).

A literal's body is never joined: it comes out in the pieces in which it came in. A server's status
lines (`OK`, `NO`, ...) and continuations hold free text, so a `{5}` at their end announces nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LITERAL_DIGITS = 19
DEFAULT_MAX_LINE = 1 << 20
"""A `* SEARCH` line of 100,000 messages has about 700 kB."""

_CR = 0x0D
_BRACE = 0x7D
_new = tuple.__new__
_FREE_TEXT = re.compile(rb"\+|[^ ]+ (?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)


class LineText(NamedTuple):
    """One line: `text` without its end but with the literal's marker, and what the marker announces."""

    text: bytes
    literal: int | None
    non_sync: bool
    eol: bytes


class LiteralChunk(NamedTuple):
    """A piece of the literal that the last line announced; `left` octets are still to come."""

    data: bytes
    left: int


Frame = LineText | LiteralChunk


class FramingError(ValueError):
    """The stream is not IMAP; `frames` are those of the same feed that came before the fault."""

    def __init__(self, message: str, frames: list[Frame] | None = None) -> None:
        super().__init__(message)
        self.frames: list[Frame] = frames or []


def announced_literal(text: bytes) -> tuple[int, bool] | None:
    """Return (octets, non-synchronizing) when the line announces a literal, else None.

    Raises `FramingError` for a negative size and for more than 19 digits.
    """
    if not text.endswith(b"}"):
        return None
    start = text.rfind(b"{")
    if start < 0:
        return None
    non_sync = text[-2:-1] == b"+"
    digits = text[start + 1 : -2] if non_sync else text[start + 1 : -1]
    if digits.isdigit():
        if len(digits) > MAX_LITERAL_DIGITS:
            raise FramingError("a literal's size has too many digits")
        return int(digits), non_sync
    if digits[:1] == b"-" and digits[1:].isdigit():
        raise FramingError("a literal of negative size")
    return None


def is_free_text(text: bytes) -> bool:
    """Whether the first line of a server's response ends in human text, where `{5}` means nothing."""
    return _FREE_TEXT.match(text) is not None


class ImapFramer:
    """Cuts an IMAP stream into lines and pieces of literals.

    `server` says that the octets come from a server. Raises `FramingError` on a line over `max_line`
    octets, on NUL in a line, on a bad literal size and on a literal over `max_literal`. Between two
    feeds it keeps less than one line.
    """

    __slots__ = ("_inside", "_left", "_max_line", "_max_literal", "_server", "_tail")

    def __init__(
        self, *, server: bool, max_line: int = DEFAULT_MAX_LINE, max_literal: int | None = None
    ) -> None:
        self._server = server
        self._max_line = max_line
        self._max_literal = max_literal
        self._tail = bytearray()
        self._left = -1  # octets of the literal still to come; -1 in a line
        self._inside = False  # the next line goes on with a command or response

    @property
    def held(self) -> int:
        """How many octets of an unfinished line are kept."""
        return len(self._tail)

    @property
    def literal_left(self) -> int:
        """How many octets of a literal are still to come; 0 in a line."""
        return max(self._left, 0)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream stands between two commands or responses."""
        return self._left < 0 and not self._tail and not self._inside

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes."""
        frames: list[Frame] = []
        try:
            self._cut(data, frames)
        except FramingError as fault:
            fault.frames = frames
            raise
        return frames

    def _cut(self, data: bytes, frames: list[Frame]) -> None:
        add = frames.append
        find = data.find
        size = len(data)
        plain = b"\0" not in data
        position = 0
        left = self._left
        while True:
            if left >= 0:
                have = size - position
                if have < left:
                    if have:
                        left -= have
                        add(LiteralChunk(data[position:] if position else data, left))
                    self._left = left
                    return
                add(LiteralChunk(data[position : position + left], 0))
                position += left
                self._left = left = -1
            end = find(b"\n", position)
            if end < 0:
                self._keep(data[position:])
                return
            if plain and end > position + 1 and data[end - 1] == _CR and data[end - 2] != _BRACE:
                # The lines of a listing: whole, no literal behind them, nothing to look at twice.
                if self._tail or end - 1 - position > self._max_line:
                    add(self._line(self._whole(data[position:end])))
                else:
                    add(_new(LineText, (data[position : end - 1], None, False, b"\r\n")))
                    self._inside = False
                position = end + 1
                continue
            line = self._line(self._whole(data[position:end]))
            position = end + 1
            add(line)
            if line.literal is not None:
                self._left = left = line.literal

    def _whole(self, piece: bytes) -> bytes:
        """Return a line with what was kept of it."""
        if not self._tail:
            return piece
        whole = bytes(self._tail) + piece
        self._tail.clear()
        return whole

    def _keep(self, piece: bytes) -> None:
        self._tail += piece
        if len(self._tail) > self._max_line + 1:
            raise FramingError(f"a line of more than {self._max_line} octets")

    def _line(self, text: bytes) -> LineText:
        if text.endswith(b"\r"):
            text, eol = text[:-1], b"\r\n"
        else:
            eol = b"\n"
        if len(text) > self._max_line:
            raise FramingError(f"a line of more than {self._max_line} octets")
        if b"\0" in text:
            raise FramingError("NUL in a line")
        if not text.endswith(b"}") or (self._server and not self._inside and is_free_text(text)):
            self._inside = False
            return LineText(text, None, False, eol)
        announced = announced_literal(text)
        if announced is None:
            self._inside = False
            return LineText(text, None, False, eol)
        octets, non_sync = announced
        if self._max_literal is not None and octets > self._max_literal:
            raise FramingError(f"a literal of more than {self._max_literal} octets")
        self._inside = True
        return LineText(text, octets, non_sync, eol)
