"""What FETCH responses tell of a message (RFC 3501 7.4.2), quickly for the many small ones.

A listing of 50,000 messages is 50,000 lines of the same few items: one pattern reads them in any
order; everything else goes through the general parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mailferry.model.mail import RECENT
from mailferry.wire.imap_responses import Untagged, parse_response
from mailferry.wire.imap_values import BadResponse, Part, Value, as_bytes, as_int, as_list, parse_values

_SIMPLE = re.compile(
    rb"\* (\d{1,10}) FETCH \((?:(?:UID (\d{1,10})|FLAGS \(([^()\"]*)\)|MODSEQ \((\d{1,19})\)"
    rb'|INTERNALDATE "([^"\\]*)"|RFC822\.SIZE (\d{1,19}))(?: (?!\))|(?=\))))+\) *',
    re.IGNORECASE,
)
_OPEN_BODY = re.compile(
    rb"(BODY\[[^\]]*\](?:<\d+>)?|BINARY\[[^\]]*\](?:<\d+>)?|RFC822(?:\.HEADER|\.TEXT)?) ~?\{\d+\+?\}\Z",
    re.IGNORECASE,
)
_FETCH = re.compile(rb"\* (\d{1,10}) FETCH ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FetchFacts:
    """The items of one FETCH response that a listing asks for; None for what it did not hold."""

    number: int
    uid: int | None = None
    flags: frozenset[bytes] | None = None
    internal_date: bytes | None = None
    size: int | None = None
    modseq: int | None = None


@dataclass(frozen=True, slots=True)
class FetchStart:
    """A FETCH response up to a literal: the items so far and the name of the one that begins."""

    number: int
    items: dict[bytes, Value]
    item: bytes


def fetch_facts(response: bytes | Sequence[Part]) -> FetchFacts | None:
    """Return the facts of a FETCH response, or None when it is no FETCH; raises `BadResponse`."""
    if isinstance(response, bytes):
        found = _SIMPLE.fullmatch(response)
        if found:
            number, uid, flags, modseq, date, size = found.groups()
            return FetchFacts(
                int(number),
                None if uid is None else int(uid),
                None if flags is None else split_flags(flags),
                date,
                None if size is None else int(size),
                None if modseq is None else int(modseq),
            )
        if not _FETCH.match(response):
            return None
    parsed = parse_response(response)
    if not isinstance(parsed, Untagged) or parsed.kind != b"FETCH":
        return None
    return facts_of(parsed)


@lru_cache(maxsize=1024)
def split_flags(raw: bytes) -> frozenset[bytes]:
    """Return the flags between a list's parentheses, without `\\Recent`."""
    return frozenset(flag for flag in raw.split() if flag.lower() != RECENT.lower())


def fetch_items(response: Untagged) -> dict[bytes, Value]:
    """Return the items of a parsed FETCH response by upper-case name; raises `BadResponse`."""
    if response.kind != b"FETCH" or not response.values:
        raise BadResponse("not a FETCH response")
    return _items(as_list(response.values[0]))


def facts_of(response: Untagged) -> FetchFacts:
    """Return the facts of a parsed FETCH response; raises `BadResponse`.

    Sizes and dates that are no number or string (NIL, -1) count as not told.
    """
    items = fetch_items(response)
    return FetchFacts(
        response.number or 0,
        as_int(items[b"UID"]) if b"UID" in items else None,
        _flags(items[b"FLAGS"]) if b"FLAGS" in items else None,
        _string_or_none(items.get(b"INTERNALDATE")),
        _number_or_none(items.get(b"RFC822.SIZE")),
        _number_or_none(items.get(b"MODSEQ")),
    )


def body_item(text: bytes) -> bytes | None:
    """Return the item (`BODY[]`, `BODY[HEADER]`, ...) whose literal a line of a FETCH announces."""
    found = _OPEN_BODY.search(text, max(0, len(text) - 512))
    return found.group(1).upper() if found else None


def fetch_start(parts: Sequence[Part]) -> FetchStart | None:
    """Parse a FETCH response that stands in front of a body's literal, or return None; raises `BadResponse`.

    `parts` end with the text that announces the literal. UID and flags may be among the items, or
    come after the body (Exchange orders items freely).
    """
    first, last = parts[0], parts[-1]
    if not isinstance(first, bytes) or not isinstance(last, bytes):
        raise BadResponse("a literal without text before it")
    found = _FETCH.match(first)
    item = body_item(last)
    if not found or item is None:
        return None
    values = parse_values(parts, found.end(), unfinished=True)
    items = as_list(values[0]) if values else []
    return FetchStart(int(found.group(1)), _items(items[:-2]), item)


def _items(flat: list[Value]) -> dict[bytes, Value]:
    if len(flat) % 2:
        raise BadResponse("FETCH items without values")
    return {as_bytes(flat[i]).upper(): flat[i + 1] for i in range(0, len(flat), 2)}


def _flags(value: Value) -> frozenset[bytes]:
    return split_flags(b" ".join(as_bytes(flag) for flag in as_list(value) if flag is not None))


def _string_or_none(value: Value) -> bytes | None:
    return bytes(value) if isinstance(value, bytes) else None


def _number_or_none(value: Value) -> int | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) <= 19 else None
