"""Counts the messages that a server tells this IMAP session it has deleted for it (design A5).

An EXPUNGE response (RFC 3501 7.4.1; VANISHED, RFC 7162 3.2.10) counts only while a command of this
session's client may be its cause: a server tells every session of a mailbox what others, or the
provider, deleted there, and just that must not pass for the user's own doing. What deletes without
a response counts as many messages as there may have been.

Each is counted for the mailbox that it was deleted in, by the name that the client used for it.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from enum import Enum, auto

from mailferry.model.tap import ANY_MAILBOX, BELOW, UNKNOWN_MANY, Deletions
from mailferry.wire.imap_outline import HEAD_OCTETS

_NUMBERED = re.compile(rb"\* +(\d{1,10}) +(EXISTS|EXPUNGE|FETCH)\b", re.IGNORECASE)
_VANISHED = re.compile(rb"\* +VANISHED +([\d,:]+)", re.IGNORECASE)  # behind (EARLIER) stands old news
_SECOND = re.compile(rb"[^ ]+ +UID +([A-Za-z]+)", re.IGNORECASE)
_MAILBOX = re.compile(rb'[^ ]+ +[A-Za-z]+ +(?:"((?:[^"\\]|\\.)*)"|([^ "(){%*\\]+))(?: |\Z)')


class _Kind(Enum):
    """What a command has to do with deletions."""

    OTHER = auto()
    SILENT = auto()  # no EXPUNGE may come while it runs (RFC 3501 7.4.1)
    EXPUNGES = auto()  # its deletions come as responses before its end
    EXPUNGE = auto()  # the same, for everything that is marked
    MARKS = auto()  # some servers (Gmail) delete what is marked, and tell it with the next command
    OPENS = auto()
    OPENS_READ_ONLY = auto()
    CLOSES = auto()  # deletes what is marked without a word
    LEAVES = auto()
    FOLDER = auto()  # takes a mailbox away with all that is in it
    RENAMES = auto()  # the same, with all mailboxes below it: under the new name they are new messages


_KINDS = {
    b"EXPUNGE": _Kind.EXPUNGE,
    b"UID EXPUNGE": _Kind.EXPUNGES,
    b"MOVE": _Kind.EXPUNGES,
    b"UID MOVE": _Kind.EXPUNGES,
    b"REPLACE": _Kind.EXPUNGES,  # RFC 8508
    b"UID REPLACE": _Kind.EXPUNGES,
    b"FETCH": _Kind.SILENT,
    b"SEARCH": _Kind.SILENT,
    b"SELECT": _Kind.OPENS,
    b"EXAMINE": _Kind.OPENS_READ_ONLY,
    b"CLOSE": _Kind.CLOSES,
    b"UNSELECT": _Kind.LEAVES,
    b"DELETE": _Kind.FOLDER,
    b"RENAME": _Kind.RENAMES,
}
_TELLS = frozenset({_Kind.EXPUNGE, _Kind.EXPUNGES, _Kind.MARKS})
_NAMES = frozenset({_Kind.OPENS, _Kind.OPENS_READ_ONLY, _Kind.FOLDER, _Kind.RENAMES})


def _kind(name: bytes, head: bytes) -> _Kind:
    if name == b"UID":
        second = _SECOND.match(head)
        name = b"UID " + second.group(1).upper() if second else name
    if name.endswith(b"STORE"):
        # Of a line longer than what is kept the flags are not seen: they stand behind the numbers.
        marks = b"\\deleted" in head.lower() or len(head) >= HEAD_OCTETS
        return _Kind.MARKS if marks else (_Kind.OTHER if name.startswith(b"UID") else _Kind.SILENT)
    return _KINDS.get(name, _Kind.OTHER)


def _named(head: bytes) -> bytes:
    """Return the mailbox that a command names, `ANY_MAILBOX` where that stands in a literal or is cut off."""
    found = _MAILBOX.match(head) if len(head) < HEAD_OCTETS else None
    if found is None:
        return ANY_MAILBOX
    name = found.group(2) if found.group(1) is None else re.sub(rb"\\(.)", rb"\1", found.group(1))
    if not name.isascii():
        return ANY_MAILBOX  # UTF8=ACCEPT (RFC 6855): listings of other sessions name it in another way
    return b"INBOX" if name.upper() == b"INBOX" else name


class ImapDeletions:
    """Follows commands, their ends and the responses of one session, in the order of the stream."""

    def __init__(self) -> None:
        self._count = 0
        self._unknown = 0
        self._by_mailbox: Counter[bytes] = Counter()
        self._selected = ANY_MAILBOX
        self._running: dict[bytes, deque[tuple[_Kind, bytes]]] = {}
        self._telling = 0  # commands in flight whose deletions the server tells
        self._marked_just_now = False
        self._marked = False  # the selected mailbox holds messages that a CLOSE deletes
        self._writable = False
        self._exists: int | None = None

    @property
    def seen(self) -> Deletions:
        """What was acknowledged so far."""
        return Deletions(self._count, self._unknown, dict(self._by_mailbox))

    def command(self, tag: bytes, name: bytes, head: bytes) -> None:
        """Take a command: its name in upper case and the first octets of its line."""
        kind = _kind(name, head)
        mailbox = _named(head) if kind in _NAMES else ANY_MAILBOX
        self._running.setdefault(tag, deque()).append((kind, mailbox))
        self._telling += kind in _TELLS

    def completed(self, tag: bytes, status: bytes) -> None:
        """Take a command's end; `status` is OK, NO or BAD."""
        waiting = self._running.get(tag)
        if not waiting:
            return
        kind, mailbox = waiting.popleft()
        if not waiting:
            del self._running[tag]
        self._telling -= kind in _TELLS
        if kind is _Kind.MARKS:
            self._marked = self._marked_just_now = True
        elif kind is not _Kind.SILENT:
            self._marked_just_now = False
        if kind in {_Kind.OPENS, _Kind.OPENS_READ_ONLY}:
            # Also when refused: then nothing is selected.
            self._left(writable=kind is _Kind.OPENS)
            self._exists = self._exists if status.upper() == b"OK" else None
            self._selected = mailbox
        elif status.upper() == b"OK":
            self._succeeded(kind, mailbox)

    def untagged(self, head: bytes) -> None:
        """Take the first octets of an untagged response."""
        found = _NUMBERED.match(head)
        if found is None:
            if head[2:3] in {b"V", b"v"}:
                self._vanished(head)
            return
        word = found.group(2).upper()
        if word == b"EXISTS":
            self._exists = int(found.group(1))
        elif word == b"EXPUNGE":
            self._gone(1)
        elif not self._marked and b"\\deleted" in head.lower():
            self._marked = True

    def _succeeded(self, kind: _Kind, mailbox: bytes) -> None:
        if kind is _Kind.EXPUNGE:
            self._marked = False
        elif kind is _Kind.FOLDER:
            self._nobody_knows(mailbox)
        elif kind is _Kind.RENAMES:
            self._nobody_knows(mailbox)
            if mailbox != ANY_MAILBOX:
                self._by_mailbox[mailbox + BELOW] += UNKNOWN_MANY
        elif kind is _Kind.CLOSES:
            if self._marked and self._writable:
                self._as_many_as_there_are()
            self._left(writable=False)
            self._exists = None
        elif kind is _Kind.LEAVES:
            self._left(writable=False)
            self._exists = None

    def _left(self, *, writable: bool) -> None:
        self._marked = self._marked_just_now = False
        self._writable = writable

    def _vanished(self, head: bytes) -> None:
        found = _VANISHED.match(head)
        if found is None:
            return
        if len(head) >= HEAD_OCTETS:
            if self._counts:
                self._as_many_as_there_are()
            self._exists = None
            return
        number = sum(_size(part) for part in found.group(1).split(b","))
        self._gone(number if self._exists is None else min(number, self._exists))

    @property
    def _counts(self) -> bool:
        return bool(self._telling) or self._marked_just_now

    def _gone(self, number: int) -> None:
        if self._counts:
            self._count += number
            self._by_mailbox[self._selected] += number
        if self._exists is not None:
            self._exists = max(self._exists - number, 0)

    def _as_many_as_there_are(self) -> None:
        if self._exists is None:
            self._nobody_knows(self._selected)
        else:
            self._count += self._exists
            self._by_mailbox[self._selected] += self._exists

    def _nobody_knows(self, mailbox: bytes) -> None:
        self._unknown += 1
        self._by_mailbox[mailbox] += UNKNOWN_MANY


def _size(part: bytes) -> int:
    """Return how many UIDs `a` or `a:b` names."""
    first, _, last = part.partition(b":")
    if not first or len(part) > 2 * 10 + 1:
        return 0
    return abs(int(last) - int(first)) + 1 if last else 1
