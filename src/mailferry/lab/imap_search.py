"""SEARCH at a lab host (RFC 3501, 6.4.4): the keys that mail programs and copiers really use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

from mailferry.lab.imap_reader import BadCommand, Command, Value, text
from mailferry.lab.imap_session import ImapSession, Verb
from mailferry.lab.imap_structure import field_value, split_header
from mailferry.lab.imap_view import View, number_set
from mailferry.lab.mailstore import LabMessage

Test: TypeAlias = Callable[[int, LabMessage], bool]

_FLAG_KEYS = {
    b"ANSWERED": b"\\Answered",
    b"DELETED": b"\\Deleted",
    b"DRAFT": b"\\Draft",
    b"FLAGGED": b"\\Flagged",
    b"SEEN": b"\\Seen",
}
_HEADER_KEYS = (b"FROM", b"TO", b"CC", b"BCC", b"SUBJECT")
_DATE_KEYS = (b"SINCE", b"BEFORE", b"ON", b"SENTSINCE", b"SENTBEFORE", b"SENTON")
_PLAIN_ONLY = frozenset({b"ALL", b"NEW", b"OLD", b"RECENT", b"UID"} | set(_FLAG_KEYS))


@dataclass(slots=True)
class _Keys:
    """The keys of one SEARCH, read from left to right."""

    view: View
    values: list[Value]
    flags_only: bool

    def next_text(self) -> bytes:
        if not self.values:
            raise BadCommand("Missing argument for a search key")
        return text(self.values.pop(0))

    def every(self) -> Test:
        """Return the test that all keys up to the end make together."""
        tests = []
        while self.values:
            tests.append(self.one())
        return lambda number, message: all(test(number, message) for test in tests)

    def one(self) -> Test:
        """Return the test of the next key."""
        if self.values and isinstance(inner_keys := self.values[0], list):
            del self.values[0]
            return _Keys(self.view, list(inner_keys), self.flags_only).every()
        key = self.next_text().upper()
        if self.flags_only and key.removeprefix(b"UN") not in _PLAIN_ONLY and not _is_set(key):
            raise BadCommand("UID SEARCH invalid argument")
        if key == b"NOT":
            inner = self.one()
            return lambda number, message: not inner(number, message)
        if key == b"OR":
            left, right = self.one(), self.one()
            return lambda number, message: left(number, message) or right(number, message)
        return self._simple(key)

    def _simple(self, key: bytes) -> Test:
        if key in (b"ALL", b"OLD"):
            return lambda _n, _m: True
        if key in (b"NEW", b"RECENT"):
            return lambda _n, _m: False
        if key.removeprefix(b"UN") in _FLAG_KEYS:
            flag, wanted = _FLAG_KEYS[key.removeprefix(b"UN")], not key.startswith(b"UN")
            return lambda _n, m: (flag in m.flags) is wanted
        if key in (b"KEYWORD", b"UNKEYWORD"):
            keyword, wanted = self.next_text().lower(), key == b"KEYWORD"
            return lambda _n, m: (keyword in {f.lower() for f in m.flags}) is wanted
        if key in (b"LARGER", b"SMALLER"):
            limit = self._number()
            return lambda _n, m: len(m.octets) > limit if key == b"LARGER" else len(m.octets) < limit
        if key in _DATE_KEYS:
            return _date_test(key.removeprefix(b"SENT"), self.next_text())
        if key in _HEADER_KEYS or key == b"HEADER":
            name = self.next_text().lower() if key == b"HEADER" else key.lower()
            return _header_test(name, self.next_text())
        if key in (b"TEXT", b"BODY"):
            needle = self.next_text().lower()
            return lambda _n, m: needle in (m.octets if key == b"TEXT" else split_header(m.octets)[1]).lower()
        if key == b"UID":
            ranges = number_set(self.next_text(), self.view.uids[-1] if self.view.rows else 0)
            return lambda _n, m: any(a <= m.uid <= b for a, b in ranges)
        if _is_set(key):
            ranges = number_set(key, len(self.view.rows))
            return lambda number, _m: any(a <= number <= b for a, b in ranges)
        raise BadCommand("Unknown search key")

    def _number(self) -> int:
        word = self.next_text()
        if not word.isdigit():
            raise BadCommand("A number was expected")
        return int(word)


async def search(session: ImapSession, command: Command) -> bytes:
    """SEARCH and UID SEARCH."""
    values = list(command.arguments)
    if values and isinstance(values[0], bytes) and values[0].upper() == b"CHARSET":
        if session.has("qq_search") or session.has("aliyun_no_namespace"):
            raise BadCommand("invalid command or parameters")
        values = values[2:]
    if not values:
        raise BadCommand("SEARCH takes keys")
    view = session.selected
    test = _Keys(view, values, session.has("qq_search")).every()
    hits = [
        message.uid if command.uid else number
        for number, message in enumerate(view.rows, 1)
        if test(number, message)
    ]
    if session.has("search_wrong_set") and any(v in (b"SUBJECT", b"FROM") for v in command.arguments):
        hits = list(range(1, len(view.rows) + 1))
    if hits or not session.has("search_empty_silent"):
        blank = b" " if not hits and session.has("search_empty_blank") else b""
        session.send(b"* SEARCH" + b"".join(b" %d" % hit for hit in hits) + blank)
    return b"Search completed."


def _is_set(key: bytes) -> bool:
    return key[:1].isdigit() or key[:1] == b"*"


def _header_test(name: bytes, needle: bytes) -> Test:
    def test(_: int, message: LabMessage) -> bool:
        value = field_value(split_header(message.octets)[0], name)
        return value is not None and needle.lower() in value.lower()

    return test


def _date_test(key: bytes, octets: bytes) -> Test:
    try:
        day: date = datetime.strptime(octets.decode("ascii"), "%d-%b-%Y").date()  # noqa: DTZ007 - a day has no zone
    except ValueError as error:
        raise BadCommand("Invalid search date") from error
    if key == b"SINCE":
        return lambda _n, m: m.internal_date.date() >= day
    if key == b"BEFORE":
        return lambda _n, m: m.internal_date.date() < day
    return lambda _n, m: m.internal_date.date() == day


VERBS = {"SEARCH": Verb(search, needs_mailbox=True, tells_expunge=False)}
