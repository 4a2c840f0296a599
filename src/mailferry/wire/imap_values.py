"""Values inside IMAP responses: atoms, strings, NIL and lists, with bounded nesting and count.

A response is given as *parts*: text, literal, text, literal, ... as the framing cut it. A literal
that was streamed elsewhere is a `Streamed` in its place. Parsing is lenient where servers are known
to be sloppy (8-bit and control characters in atoms) and strict about structure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_DEPTH = 32
MAX_VALUES = 2_000_000
"""A `* SEARCH` answer has one value for each message."""


class BadResponse(ValueError):
    """A response that cannot be understood."""


class Atom(bytes):
    """An unquoted word, to tell `NIL` and numbers from strings of the same octets."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """Stands for a literal whose octets went elsewhere."""

    octets: int


Part = bytes | Streamed
Value = bytes | Streamed | None | list["Value"]

_TOKEN = re.compile(
    rb" *(?:(?P<open>\()|(?P<close>\))"
    rb'|"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"'
    rb"|(?P<literal>~?\{[0-9]{1,19}\+?\}\Z)"
    # BODY[HEADER.FIELDS (DATE FROM)]<0>: spaces and parentheses inside brackets belong to the atom.
    rb'|(?P<atom>[^ ()"\[]*\[[^\]]{0,256}\][^ ()"]*|[^ ()"]+)'
    rb"|(?P<end>\Z))",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def unescape(inside: bytes) -> bytes:
    """Return a quoted string's octets, given what stands between its quotes."""
    return _ESCAPE.sub(rb"\1", inside) if b"\\" in inside else inside


def parse_values(
    parts: Sequence[Part], start: int = 0, *, unfinished: bool = False, max_depth: int = MAX_DEPTH
) -> list[Value]:
    """Parse all values of a response from offset `start` of its first part; raises `BadResponse`.

    `unfinished` allows lists that are still open at the end, as in front of a body's literal.
    """
    top: list[Value] = []
    stack = [top]
    count = 0
    for index in range(0, len(parts), 2):
        text = parts[index]
        if not isinstance(text, bytes):
            raise BadResponse("a literal without text before it")
        position = start if index == 0 else 0
        while True:
            found = _TOKEN.match(text, position)
            if found is None:
                raise BadResponse("an unfinished string")
            position = found.end()
            kind = found.lastgroup
            if kind == "end":
                break
            count += 1
            if count > MAX_VALUES:
                raise BadResponse("too many values")
            if kind == "literal":
                stack[-1].append(_literal(parts, index))
                break
            _place(found, kind, stack, max_depth)
    if len(stack) > 1 and not unfinished:
        raise BadResponse("an unfinished list")
    return top


def _place(found: re.Match[bytes], kind: str | None, stack: list[list[Value]], max_depth: int) -> None:
    if kind == "atom":
        atom = found.group("atom")
        stack[-1].append(None if len(atom) == 3 and atom.upper() == b"NIL" else Atom(atom))
    elif kind == "quoted":
        stack[-1].append(unescape(found.group("quoted")))
    elif kind == "open":
        if len(stack) > max_depth:
            raise BadResponse("lists nested too deep")
        inner: list[Value] = []
        stack[-1].append(inner)
        stack.append(inner)
    else:
        if len(stack) == 1:
            raise BadResponse("a list closed that was not open")
        stack.pop()


def _literal(parts: Sequence[Part], index: int) -> Value:
    if index + 1 < len(parts):
        return parts[index + 1]
    # The literal was announced and is not here: free text that looks like one, or an open FETCH.
    text = parts[index]
    assert isinstance(text, bytes)
    return Streamed(int(text[text.rindex(b"{") + 1 :].strip(b"{+}")))


def as_int(value: Value) -> int:
    """Return a number (RFC 3501 `number`, 64 bits allowed); raises `BadResponse`."""
    if isinstance(value, bytes) and value.isdigit() and len(value) <= 19:
        return int(value)
    raise BadResponse("not a number")


def as_bytes(value: Value) -> bytes:
    """Return a string's or atom's octets; raises `BadResponse`."""
    if isinstance(value, bytes):
        return bytes(value)
    raise BadResponse("not a string")


def as_list(value: Value) -> list[Value]:
    """Return a list; raises `BadResponse`."""
    if isinstance(value, list):
        return value
    raise BadResponse("not a list")
