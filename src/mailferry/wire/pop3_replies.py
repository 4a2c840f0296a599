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
    number, uidl = parse_numbered(line)
    if len(uidl) > MAX_UIDL_OCTETS or not all(0x21 <= octet <= 0x7E for octet in uidl):
        raise BadReply("a unique id out of its characters or length")
    return number, uidl


def parse_list_line(line: bytes) -> tuple[int, int]:
    """Parse a line of LIST into message number and octets; raises `BadReply`."""
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


def _find_end(data: bytes) -> tuple[int, int] | None:
    """Return where the final dot's line starts and where it ends, given a line end before it."""
    position = data.find(b"\n.")
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


class DotReader:
    """Reads a multi-line body as a stream, without the dots that stuffing put there.

    `feed` returns the octets of the body that are certain; after the final `.` line `done` is true
    and `rest` holds what followed it. At most two octets are kept.
    """

    __slots__ = ("_at_start", "_open", "done", "rest")

    def __init__(self) -> None:
        self._at_start = True
        self._open = b""  # a line's first octets that may be its stuffing or the end: `.` or `.` CR
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the next octets of the body."""
        if self.done:
            self.rest += data
            return b""
        before = b"\n" if self._at_start else b""
        data = before + self._open + data
        end = _find_end(data)
        if end:
            self.done = True
            self.rest = data[end[1] :]
            body = data[: end[0]]
        else:
            self._open = data[-2:] if data.endswith(b"\n.\r") else data[-1:] if data.endswith(b"\n.") else b""
            body = data[: len(data) - len(self._open)]
            self._at_start = body.endswith(b"\n")
        return body.replace(b"\n.", b"\n")[len(before) :]


class DotStuffer:
    """Writes a body as a stream: dots at line starts doubled, CR LF and the final dot at the end."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\r\n"

    def feed(self, data: bytes) -> bytes:
        """Return the wire form of the next octets of the body."""
        if not data:
            return b""
        stuffed = data.replace(b"\n.", b"\n..")
        if data[:1] == b"." and self._last[-1:] == b"\n":
            stuffed = b"." + stuffed
        self._last = (self._last + data)[-2:]
        return stuffed

    def finish(self) -> bytes:
        """Return the final dot's line, with a line end before it where the body had none."""
        return b".\r\n" if self._last == b"\r\n" else b"\r\n.\r\n"
