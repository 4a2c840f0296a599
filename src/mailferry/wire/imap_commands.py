"""Pieces of IMAP commands: strings, flags and sets of UIDs (RFC 3501 9, RFC 7888).

A command is a list of pieces, octets or `Literal`; `segments` turns it into what is written at once
and where a continuation must be waited for. Nothing that comes from outside gets on the wire other
than through these functions, so no name or flag can end a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LITERAL_MINUS_OCTETS = 4096
"""The largest non-synchronizing literal under LITERAL- (RFC 7888 section 5)."""

_FLAG = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")


class BadArgument(ValueError):
    """Octets that have no form on the wire here; the text does not repeat them."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A string that goes as a literal; its octets are not shown, for it may be a password."""

    data: bytes

    def __repr__(self) -> str:
        return f"Literal({len(self.data)} octets)"


Piece = bytes | Literal


def quoted(octets: bytes) -> bytes:
    """Return a quoted string, 8-bit octets as they are; raises `BadArgument` on CR, LF and NUL."""
    if b"\r" in octets or b"\n" in octets or b"\0" in octets:
        raise BadArgument("CR, LF or NUL in a quoted string")
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def astring(octets: bytes) -> Piece:
    """Return a quoted string, or a literal where one is needed (8-bit, CR, LF); raises on NUL."""
    if b"\0" in octets:
        raise BadArgument("NUL in a string")
    if octets.isascii() and b"\r" not in octets and b"\n" not in octets:
        return quoted(octets)
    return Literal(octets)


def flag_list(flags: Iterable[bytes]) -> bytes:
    """Return `(\\Seen $Forwarded)`, sorted; raises `BadArgument` on what is no flag."""
    listed = sorted(flags)
    for flag in listed:
        if not is_flag(flag):
            raise BadArgument("not a flag or keyword")
    return b"(" + b" ".join(listed) + b")"


def is_flag(flag: bytes) -> bool:
    """Whether the octets can stand in a flag list (RFC 3501 `flag`, `\\*` excluded)."""
    return _FLAG.fullmatch(flag) is not None


def uid_sets(uids: Iterable[int], max_octets: int) -> Iterator[bytes]:
    """Give sets such as `1:4,9` that hold each UID once, ascending, none longer than `max_octets`.

    Tencent refuses descending ranges and drops long lines, so both are settled here.
    """
    pending = b""
    for piece in _ranges(sorted(set(uids))):
        if not pending:
            pending = piece
        elif len(pending) + 1 + len(piece) <= max_octets:
            pending += b"," + piece
        else:
            yield pending
            pending = piece
    if pending:
        yield pending


def _ranges(ascending: list[int]) -> Iterator[bytes]:
    first: int | None = None
    last = 0
    for uid in ascending:
        if not 0 < uid < 1 << 32:
            raise BadArgument("a UID out of range")
        if first is not None and uid == last + 1:
            last = uid
            continue
        if first is not None:
            yield _range(first, last)
        first = last = uid
    if first is not None:
        yield _range(first, last)


def _range(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)


def segments(tag: bytes, pieces: Iterable[Piece], *, literal_plus: bool, literal_minus: bool) -> list[bytes]:
    """Return a whole command as segments: between two of them a continuation is waited for.

    `pieces` are joined by single spaces. With LITERAL+ (or LITERAL- and a small literal) nothing is
    waited for. The last segment ends the command.
    """
    done: list[bytes] = []
    now = tag
    for piece in pieces:
        if isinstance(piece, bytes):
            now += b" " + piece
            continue
        size = len(piece.data)
        if literal_plus or (literal_minus and size <= LITERAL_MINUS_OCTETS):
            now += b" {%d+}\r\n" % size + piece.data
        else:
            done.append(now + b" {%d}\r\n" % size)
            now = piece.data
    return [*done, now + b"\r\n"]
