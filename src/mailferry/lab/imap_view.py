"""A selected mailbox as one session sees it: message sequence numbers, and what the others changed meanwhile."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from mailferry.lab.imap_reader import BadCommand
from mailferry.lab.mailstore import LabMailbox, LabMessage


def number_set(octets: bytes, largest: int, *, ascending_only: bool = False) -> list[tuple[int, int]]:
    """Return the ranges of a sequence set (RFC 3501, 9), `*` being `largest`. Raises BadCommand."""
    ranges = []
    for part in octets.split(b","):
        first, colon, last = part.partition(b":")
        ends = []
        for end in (first, last) if colon else (first, first):
            if end != b"*" and not (end.isdigit() and int(end) > 0):
                raise BadCommand("Invalid message set")
            ends.append(largest if end == b"*" else int(end))
        if ascending_only and ends[0] > ends[1] and last != b"*":
            raise BadCommand("UID parameters!")
        ranges.append((min(ends), max(ends)))
    return ranges


def flag_list(flags: frozenset[bytes]) -> bytes:
    """Return flags in parentheses, system flags first."""
    ordered: list[bytes] = sorted(flags, key=_flag_order)
    return b"(" + b" ".join(ordered) + b")"


def _flag_order(flag: bytes) -> tuple[bool, bytes]:
    return not flag.startswith(b"\\"), flag


class View:
    """The rows of one selected mailbox; a row stays until its EXPUNGE was told."""

    def __init__(
        self,
        mailbox: LabMailbox,
        *,
        read_only: bool,
        rows: list[LabMessage],
        visible: Callable[[LabMessage], bool],
    ) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self._visible = visible
        self.rows = rows
        self._shown = {m.uid: m.flags for m in self.rows}
        self._high = mailbox.uidnext - 1
        self._version = mailbox.version

    @property
    def uids(self) -> list[int]:
        """The UIDs in order of the sequence numbers."""
        return [m.uid for m in self.rows]

    def chosen(self, octets: bytes, *, uid: bool, ascending_only: bool = False) -> list[int]:
        """Return the row indexes that a set names, ascending. Raises BadCommand."""
        count = len(self.rows)
        keys = self.uids if uid else range(1, count + 1)
        largest = keys[-1] if count else 0
        found: set[int] = set()
        for low, high in number_set(octets, largest, ascending_only=ascending_only):
            if not uid and (low > count or high > count):
                raise BadCommand("Invalid messageset")
            found.update(range(bisect_left(keys, low), bisect_left(keys, high + 1)))
        return sorted(found)

    def told(self, message: LabMessage) -> None:
        """Remember that the session knows the message's flags."""
        self._shown[message.uid] = message.flags

    def news(self, *, expunge: bool) -> bytes:
        """Return the untagged answers that bring the session up to date (RFC 3501, 5.2 and 7.4.1)."""
        if self._version == self.mailbox.version:
            return b""
        out = []
        live = self.mailbox.messages
        if expunge:
            for index in range(len(self.rows) - 1, -1, -1):
                if self.rows[index].uid not in live:
                    out.append(b"* %d EXPUNGE\r\n" % (index + 1))
                    self._shown.pop(self.rows.pop(index).uid)
            self._version = self.mailbox.version
        for index, row in enumerate(self.rows):
            if self._shown[row.uid] != row.flags:
                self.told(row)
                out.append(b"* %d FETCH (UID %d FLAGS %s)\r\n" % (index + 1, row.uid, flag_list(row.flags)))
        fresh = [m for uid, m in live.items() if uid > self._high and self._visible(m)]
        self._high = self.mailbox.uidnext - 1
        if fresh:
            self.rows.extend(fresh)
            for message in fresh:
                self.told(message)
            out.append(b"* %d EXISTS\r\n* 0 RECENT\r\n" % len(self.rows))
        return b"".join(out)
