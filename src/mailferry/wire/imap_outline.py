"""The outline of an IMAP stream for somebody who passes it on: line by line, keeping next to nothing.

Unlike `ImapFramer` it takes lines of any length (a `* SEARCH` of a million messages must pass) and
hands out only their first octets and what literal their end announces. Literals are skipped by
counting.
"""

from __future__ import annotations

from typing import NamedTuple

from mailferry.wire.imap_framing import MAX_LITERAL_DIGITS, FramingError, announced_literal, is_free_text

HEAD_OCTETS = 512
"""Enough for a tag and the name of a command or status."""
_TAIL_OCTETS = 32
"""Enough for a literal's marker: 19 digits, braces, `+`, `~`, the octet before, CR."""

_CR = 0x0D
_new = tuple.__new__


class Outline(NamedTuple):
    """The end of a line: its head (all of it, when short), the literal it announces, its place.

    `first` tells the first line of a command or response from those behind a literal. `clean` is
    false when the marker of a literal does not stand where an argument may begin, or when the line
    behind a literal begins as none can: the two ends may then read the stream differently.
    """

    head: bytes
    literal: int | None
    non_sync: bool
    first: bool
    clean: bool


class ImapOutline:
    """Follows a stream of IMAP; raises `FramingError` when it cannot."""

    __slots__ = ("_head", "_inside", "_left", "_server", "_tail", "_within")

    def __init__(self, *, server: bool) -> None:
        self._server = server
        self._head = b""
        self._tail = b""
        self._left = 0  # octets of a literal still to come
        self._within = False  # a line has begun and not ended
        self._inside = False  # the next line goes on with a command or response

    @property
    def at_boundary(self) -> bool:
        """Whether the stream stands between two commands or responses."""
        return not (self._within or self._inside or self._left)

    @property
    def left(self) -> int:
        """How many octets of a literal are still to come."""
        return self._left

    def skip(self, octets: int) -> None:
        """Follow so many octets of a literal, `left` at most, that nobody shows us."""
        assert octets <= self._left
        self._left -= octets

    def copy(self) -> ImapOutline:
        """Return an outline that stands where this one stands."""
        twin = ImapOutline(server=self._server)
        twin._head, twin._tail, twin._left = self._head, self._tail, self._left
        twin._within, twin._inside = self._within, self._inside
        return twin

    def abandon(self) -> None:
        """Forget the command: its literal was refused and is not coming (RFC 3501 7.5)."""
        self._left = 0
        self._inside = False

    def feed(self, data: bytes) -> list[Outline]:
        """Return the ends of lines in `data`."""
        return [outline for outline, _ in self.walk(data)]

    def walk(self, data: bytes) -> list[tuple[Outline, int]]:
        """Return the ends of lines in `data`, each with the offset just behind it."""
        ends: list[tuple[Outline, int]] = []
        position = 0
        size = len(data)
        while position < size:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._keep(data[position:])
                break
            if not self._within and data[max(end - 2, position) : end].find(b"}") < 0:
                stop = end - 1 if end > position and data[end - 1] == _CR else end
                head = data[position : min(stop, position + HEAD_OCTETS)]
                first = not self._inside
                ends.append((_new(Outline, (head, None, False, first, first or _goes_on(head))), end + 1))
                self._inside = False
            else:
                ends.append((self._line(data[position:end]), end + 1))
            position = end + 1
        return ends

    def _keep(self, piece: bytes) -> None:
        self._within = True
        if len(self._head) < HEAD_OCTETS:
            self._head += piece[: HEAD_OCTETS - len(self._head)]
        self._tail = (self._tail + piece[-_TAIL_OCTETS:])[-_TAIL_OCTETS:]

    def _line(self, piece: bytes) -> Outline:
        if self._within:
            self._keep(piece)
            head, tail = self._head, self._tail
            self._head = self._tail = b""
            self._within = False
        else:
            head, tail = piece[:HEAD_OCTETS], piece[-_TAIL_OCTETS:]
        tail = tail.removesuffix(b"\r")
        head = head.removesuffix(b"\r")
        first = not self._inside
        clean = first or _goes_on(head)
        self._inside = False
        if not tail.endswith(b"}") or (self._server and first and is_free_text(head)):
            return Outline(head, None, False, first, clean)
        announced = announced_literal(tail)
        if announced is None:
            if len(tail) > MAX_LITERAL_DIGITS + 2 and tail[:-1].removesuffix(b"+").isdigit():
                # Only the end of a marker, which began before what is kept of the line.
                raise FramingError("a literal's size has too many digits")
            return Outline(head, None, False, first, clean)
        octets, non_sync = announced
        self._left = octets
        self._inside = True
        before = tail[: tail.rindex(b"{")].removesuffix(b"~")[-1:]
        return Outline(head, octets, non_sync, first, clean and before in {b" ", b"("})


def _goes_on(head: bytes) -> bool:
    """Whether a line can stand behind a literal: one that cannot shows that the literal's size was wrong."""
    return head[:1] in {b"", b" ", b")"}
