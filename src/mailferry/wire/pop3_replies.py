"""POP3 replies: status lines, multi-line bodies and their dots (RFC 1939 3, RFC 2449, RFC 3206).

Line ends inside a body are kept as they are. A line ends at LF, with or without CR before it,
because clients read it so and some servers send bare LF inside messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_UIDL_OCTETS = 255
"""RFC 1939 says 70; servers are known to exceed it."""

_STATUS = re.compile(rb"(\+OK|-ERR)(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(rb"\[([^\]\x00-\x20\x7f-\xff]{1,64})\] ?")
_NUMBERED = re.compile(rb" *(\d{1,10})[ \t]+(\S+).*", re.DOTALL)
_USUAL_UIDL = re.compile(rb"([1-9]\d{0,9}) ([\x21-\x7e]{1,%d})" % MAX_UIDL_OCTETS)
_USUAL_SIZE = re.compile(rb"([1-9]\d{0,9}) (\d{1,19})")
"""What nearly all lines of a listing look like: one look tells that everything about them is sound."""


class BadReply(ValueError):
    """A server's line that POP3 does not know."""


@dataclass(frozen=True, slots=True)
class Pop3Reply:
    """A status line: `code` is the upper-case response code (RFC 2449 8), `text` what follows it."""

    ok: bool
    code: str | None
    text: bytes


def parse_status(line: bytes) -> Pop3Reply:
    """Parse `+OK ...` or `-ERR ...`; raises `BadReply`."""
    found = _STATUS.match(line)
    if not found:
        raise BadReply("neither +OK nor -ERR")
    text = found.group(2) or b""
    coded = _CODE.match(text)
    if not coded:
        return Pop3Reply(found.group(1)[:1] == b"+", None, text)
    return Pop3Reply(found.group(1)[:1] == b"+", coded.group(1).decode("ascii").upper(), text[coded.end() :])


def is_continuation(line: bytes) -> bool:
    """Whether the line is a SASL challenge: `+`, a space and base64 (RFC 5034); Exchange sends `+` alone."""
    return line == b"+" or line.startswith(b"+ ")


def parse_numbered(line: bytes) -> tuple[int, bytes]:
    """Parse `n word` of a UIDL or LIST listing, more words dropped; raises `BadReply`."""
    found = _NUMBERED.fullmatch(line)
    if not found or not int(found.group(1)):
        raise BadReply("not a numbered line")
    return int(found.group(1)), found.group(2)


def parse_uidl_line(line: bytes) -> tuple[int, bytes]:
    """Parse a line of UIDL into message number and unique id; raises `BadReply`."""
    usual = _USUAL_UIDL.fullmatch(line)
    if usual is not None:
        return int(usual[1]), usual[2]
    number, uidl = parse_numbered(line)
    if len(uidl) > MAX_UIDL_OCTETS or not all(0x21 <= octet <= 0x7E for octet in uidl):
        raise BadReply("a unique id out of its characters or length")
    return number, uidl


def parse_list_line(line: bytes) -> tuple[int, int]:
    """Parse a line of LIST into message number and octets; raises `BadReply`."""
    usual = _USUAL_SIZE.fullmatch(line)
    if usual is not None:
        return int(usual[1]), int(usual[2])
    number, size = parse_numbered(line)
    if not size.isdigit() or len(size) > 19:
        raise BadReply("a size that is no number")
    return number, int(size)


def parse_stat(text: bytes) -> tuple[int, int]:
    """Parse the text of STAT's `+OK n octets` into both numbers; raises `BadReply`."""
    words = text.split()
    if len(words) < 2 or not all(word.isdigit() and len(word) <= 19 for word in words[:2]):
        raise BadReply("STAT without its two numbers")
    return int(words[0]), int(words[1])


def parse_capabilities(lines: list[bytes]) -> dict[str, tuple[str, ...]]:
    """Return CAPA's names in upper case with their arguments (`SASL` -> mechanisms, upper case too)."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = line.decode("latin-1").upper().split()
        if words:
            found[words[0]] = tuple(words[1:])
    return found


def _find_end(data: bytes, first: int | None = None) -> tuple[int, int] | None:
    """Return where the final dot's line starts and where it ends, given a line end before it.

    `first` is where the first dot at a line's start was found already.
    """
    position = data.find(b"\n.") if first is None else first
    while position >= 0:
        if data.startswith(b"\r\n", position + 2):
            return position + 1, position + 4
        if data.startswith(b"\n", position + 2):
            return position + 1, position + 3
        position = data.find(b"\n.", position + 2)
    return None


class BodyEnd:
    """Finds where a multi-line body ends in a stream that is passed on as it is."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b"\n"  # the status line's end

    def feed(self, data: bytes) -> int | None:
        """Return the offset in `data` just behind the final `.` line, or None when it is not there yet."""
        carry = self._carry
        seam = carry + data[:4]
        found = _find_end(seam)
        if found:
            return found[1] - len(carry)
        found = _find_end(data)
        if found:
            return found[1]
        self._carry = (seam if len(data) <= 4 else data)[-3:]
        return None


def reply_follows(octets: bytes) -> bool | None:
    """Whether octets begin with a status line; None when too few came to tell."""
    head = octets[:5].upper()
    for mark in (b"+OK", b"-ERR"):
        if mark.startswith(head):
            return None
        if head.startswith(mark):
            return head[len(mark) : len(mark) + 1] in {b" ", b"\r", b"\n"}
    return False


class DotReader:
    """Reads a multi-line body as a stream, without the dots that stuffing put there.

    `feed` returns the octets of the body that are certain; after the body's end `done` is true and
    `rest` holds what followed it. At most three octets are kept.

    Servers that do it wrong betray themselves by what no other sends: a line that begins with one dot
    and goes on (nothing is stuffed: `bare`), a dot inside a line right behind the last of `expected` octets,
    or where only that line's end is missing from them. So an end is only the server's word: when no reply follows
    it, `resume` takes it back.
    """

    __slots__ = (
        "_at_start",
        "_ending",
        "_may_end",
        "_open",
        "_unstuffed",
        "bare",
        "done",
        "doubtful",
        "octets",
        "rest",
    )

    def __init__(self, *, bare: bool = False, expected: int | None = None) -> None:
        self._at_start = True
        self._open = b""  # octets that may be a line's stuffing or the end: `.` or `.` CR
        self._ending = b""
        self._may_end = [] if expected is None else [size for size in (expected - 2, expected) if size >= 0]
        self._unstuffed = False
        self.octets = 0
        """Of the body, as far as it was returned."""
        self.bare = bare
        """The server does not stuff: all dots are the message's own."""
        self.doubtful = False
        """Dots were taken out before that was known: the body must be read again."""
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the next octets of the body."""
        if self.done or not data:
            self.rest += data
            return b""
        held = self._open or data[:1] == b"."
        before = b"\n" if self._at_start and held else b""
        if held:
            data = before + self._open + data
        first = data.find(b"\n.")  # the one look over all octets: most messages have no other than their end
        end = _find_end(data, first)
        while self._may_end:
            at = self._place_of(self._may_end[0], data, len(before), first)
            if at is None or (end is not None and at >= end[0]):
                break
            if at == len(data) and data.endswith((b"\n.", b"\n.\r")):
                break  # these octets may be the right end themselves: the next ones tell
            cut = None if at < 0 else self._cut_short(data, len(before), at, first)
            if cut is not None:
                return cut
            del self._may_end[0]
        if end:
            body = data[: end[0]]
            self._at_start = True
            self._ends(data, *end)
        else:
            self._open = data[-2:] if data.endswith(b"\n.\r") else data[-1:] if data.endswith(b"\n.") else b""
            body = data[: len(data) - len(self._open)]
            self._at_start = body.endswith(b"\n")
        return self._own(body, len(before), first)

    def resume(self) -> bytes:
        """Take the end back; return the octets of it, which are the body's own as all of `rest` is."""
        if self._at_start:
            self._found_bare()
        self.done, self._at_start = False, True
        self.octets += len(self._ending)
        return self._ending

    def _ends(self, data: bytes, place: int, behind: int) -> None:
        self.done = True
        self._open, self._ending, self.rest = b"", data[place:behind], data[behind:]

    def _found_bare(self) -> None:
        self.bare = True
        self.doubtful = self.doubtful or self._unstuffed

    def _own(self, body: bytes, start: int, first: int) -> bytes:
        """Return octets without stuffing, counted; those before `start` only tell that a line begins."""
        dots = 0 if self.bare or not 0 <= first < len(body) else body.count(b"\n.", first)
        if dots and body.count(b"\n..") < dots:
            self._found_bare()
        elif dots:
            self._unstuffed = True
            body = body.replace(b"\n..", b"\n.")
        self.octets += len(body) - start
        return body[start:]

    def _cut_short(self, data: bytes, start: int, at: int, first: int) -> bytes | None:
        """Return the body up to this place when a dot inside a line seems to end it there, else None."""
        following = data[at : at + 3]
        line_begins = at > 0 and data[at - 1] == 0x0A
        if line_begins or not b".\r\n".startswith(following) or reply_follows(data[at + 3 :]) is False:
            return None
        self._at_start = False
        if len(following) == 3:
            self._ends(data, at, at + 3)
        else:
            self._open = following
        return self._own(data[:at], start, first)

    def _place_of(self, size: int, data: bytes, start: int, first: int) -> int | None:
        """Return where in `data` a body of `size` octets is over; None behind it, -1 before."""
        at = start + size - self.octets
        if not self.bare and 0 <= first < at:
            place = data.find(b"\n..", first, at + 1)  # what lies behind it may be many messages
            while place >= 0:
                at += 1
                place = data.find(b"\n..", place + 2, at + 1)
        if at > len(data):
            return None
        return at if at >= start else -1
