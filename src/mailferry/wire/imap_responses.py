"""IMAP responses as values (RFC 3501 7): tagged, untagged, continuation, and their response codes.

Known servers are met halfway: items in any order, missing texts, names that are not well quoted
(Exchange sends control characters in bare names), numbers where lists were promised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.model.mail import Mailbox
from mailferry.wire.imap_values import (
    Atom,
    BadResponse,
    Part,
    Value,
    as_bytes,
    as_int,
    as_list,
    parse_values,
    unescape,
)

STATUSES = frozenset({b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"})
MAX_SET_UIDS = 1_000_000

_TAGGED = re.compile(rb"([^ *+]\S*) (OK|NO|BAD)(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
_UNTAGGED = re.compile(rb"\* +(?:(\d{1,19}) +)?([^ (]+) *", re.DOTALL)
_CODE = re.compile(rb'\[([^\] ]+)(?: ((?:"(?:[^"\\]|\\.)*"|[^\]"])*))?\] ?', re.DOTALL)
_LISTED = re.compile(rb'\(([^)]*)\) +(NIL|"(?:\\.|[^"\\])?") +', re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Code:
    """A response code (RFC 3501 7.1, RFC 5530): upper-case name and its arguments as on the wire."""

    name: str
    arguments: bytes = b""

    def number(self) -> int:
        """Return the argument of UIDNEXT, UIDVALIDITY, HIGHESTMODSEQ and the like; raises `BadResponse`."""
        return as_int(self.arguments.strip())

    def words(self) -> tuple[bytes, ...]:
        """Return the arguments of CAPABILITY."""
        return tuple(self.arguments.split())

    def flags(self) -> frozenset[bytes]:
        """Return the flags of PERMANENTFLAGS, `\\*` included."""
        return frozenset(self.arguments.strip().removeprefix(b"(").removesuffix(b")").split())

    def append_uid(self) -> tuple[int, tuple[int, ...]]:
        """Return APPENDUID's UIDVALIDITY and UIDs, in order of the messages (RFC 4315 3, RFC 3502)."""
        words = self.arguments.split()
        if self.name != "APPENDUID" or len(words) != 2:
            raise BadResponse("not an APPENDUID")
        return as_int(words[0]), expand_uid_set(words[1])

    def copy_uid(self) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Return COPYUID's UIDVALIDITY, source UIDs and target UIDs (RFC 4315 3)."""
        words = self.arguments.split()
        if self.name != "COPYUID" or len(words) != 3:
            raise BadResponse("not a COPYUID")
        return as_int(words[0]), expand_uid_set(words[1]), expand_uid_set(words[2])


@dataclass(frozen=True, slots=True)
class Tagged:
    """The completion of a command; `status` is b"OK", b"NO" or b"BAD"."""

    tag: bytes
    status: bytes
    code: Code | None
    text: bytes


@dataclass(frozen=True, slots=True)
class Untagged:
    """An untagged response: `kind` in upper case, the number before it, the values behind it.

    For OK, NO, BAD, BYE and PREAUTH there are no values but `code` and `text`.
    """

    kind: bytes
    number: int | None = None
    values: Sequence[Value] = ()
    code: Code | None = None
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A `+` line: go on with a literal, a SASL exchange or IDLE."""

    text: bytes


Response = Tagged | Untagged | Continuation


def parse_response(response: bytes | Sequence[Part]) -> Response:
    """Parse one response, a line or its parts (text, literal, text, ...); raises `BadResponse`."""
    parts: Sequence[Part] = [response] if isinstance(response, bytes) else response
    line = parts[0] if parts else b""
    if not isinstance(line, bytes):
        raise BadResponse("a literal without text before it")
    if line.startswith(b"+"):
        return Continuation(line[2:] if line.startswith(b"+ ") else line[1:])
    if line.startswith(b"* "):
        return _untagged(line, parts)
    found = _TAGGED.match(line)
    if not found:
        raise BadResponse("not a response")
    code, text = split_code(found.group(3) or b"")
    return Tagged(found.group(1), found.group(2).upper(), code, text)


def _untagged(line: bytes, parts: Sequence[Part]) -> Untagged:
    found = _UNTAGGED.match(line)
    if not found:
        raise BadResponse("an untagged response without a name")
    number = None if found.group(1) is None else int(found.group(1))
    kind = found.group(2).upper()
    if number is None and kind in STATUSES:
        code, text = split_code(line[found.end() :])
        return Untagged(kind, code=code, text=text)
    if kind in {b"LIST", b"LSUB", b"XLIST"}:
        return Untagged(kind, number, _listed(line, found.end(), parts))
    return Untagged(kind, number, parse_values(parts, found.end(2)))


def split_code(text: bytes) -> tuple[Code | None, bytes]:
    """Split a status text into its response code, if it has a well-formed one, and the human part."""
    found = _CODE.match(text)
    if not found:
        return None, text
    name = found.group(1).decode("latin-1").upper()
    return Code(name, found.group(2) or b""), text[found.end() :]


def _listed(line: bytes, start: int, parts: Sequence[Part]) -> list[Value]:
    """Return attributes, delimiter, name and extended data, also where the name is badly quoted."""
    found = _LISTED.match(line, start)
    if not found:
        return parse_values(parts, start)
    attributes: list[Value] = [Atom(word) for word in found.group(1).split()]
    delimiter = None if found.group(2).upper() == b"NIL" else unescape(found.group(2)[1:-1])
    rest = line[found.end() :]
    if len(parts) > 1 or not rest.startswith(b'"'):
        try:
            values = parse_values(parts, found.end())
        except BadResponse:
            values = []
        if len(parts) > 1 and values:
            return [attributes, delimiter or None, *values]
        if len(values) == 1 and isinstance(values[0], bytes):
            return [attributes, delimiter or None, bytes(values[0])]
        return [attributes, delimiter or None, rest]
    quoted = _QUOTED.match(rest)
    if quoted and (quoted.end() == len(rest) or rest[quoted.end() :].startswith(b" (")):
        extended = parse_values([rest], quoted.end())
        return [attributes, delimiter or None, unescape(quoted.group(1)), *extended]
    # A quote that nobody escaped: the name goes to the line's last quote.
    return [attributes, delimiter or None, rest[1:].rstrip(b" ").removesuffix(b'"')]


def list_entry(response: Untagged) -> Mailbox:
    """Return the mailbox of a LIST, LSUB or XLIST response; raises `BadResponse`."""
    if len(response.values) < 3:
        raise BadResponse("LIST without its three parts")
    attributes = {as_bytes(value).decode("latin-1").lower() for value in as_list(response.values[0])}
    delimiter = response.values[1]
    name = response.values[2]
    if name is None:  # a mailbox called NIL, unquoted
        name = b"NIL"
    return Mailbox(as_bytes(name), None if delimiter is None else as_bytes(delimiter), frozenset(attributes))


def status_entry(response: Untagged) -> tuple[bytes, dict[bytes, int]]:
    """Return the mailbox name and the numbers of a STATUS response; raises `BadResponse`."""
    if len(response.values) < 2:
        raise BadResponse("STATUS without its two parts")
    name = response.values[0]
    pairs = as_list(response.values[-1])
    found: dict[bytes, int] = {}
    for item, number in zip(pairs[::2], pairs[1::2], strict=False):
        if isinstance(number, list) and len(number) == 1:
            number = number[0]  # noqa: PLW2901 - some servers put HIGHESTMODSEQ in a list
        found[as_bytes(item).upper()] = as_int(number)
    return b"NIL" if name is None else as_bytes(name), found


def capabilities(response: Untagged) -> tuple[bytes, ...]:
    """Return the words of a CAPABILITY or ENABLED response in the server's order and case."""
    return tuple(as_bytes(value) for value in response.values if isinstance(value, bytes))


def expand_uid_set(raw: bytes, limit: int = MAX_SET_UIDS) -> tuple[int, ...]:
    """Return the UIDs of a set such as `5:7,9`, in its order; raises `BadResponse`."""
    uids: list[int] = []
    for piece in raw.split(b","):
        first_text, _, last_text = piece.partition(b":")
        first = as_int(first_text)
        last = as_int(last_text) if last_text else first
        low, high = min(first, last), max(first, last)
        if len(uids) + high - low + 1 > limit:
            raise BadResponse("a set of too many UIDs")
        uids.extend(range(low, high + 1))
    return tuple(uids)


def sequence_numbers(response: Untagged) -> tuple[int, ...]:
    """Return the numbers of a SEARCH response (a MODSEQ at its end is left out)."""
    return tuple(int(value) for value in response.values if isinstance(value, bytes) and value.isdigit())
