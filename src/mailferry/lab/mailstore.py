"""The mail of one lab account in memory: it can be filled, watched, inspected and compared.

A mailbox is keyed by its raw wire name. `fingerprint` is what two hosts are compared by: the
multiset of (mailbox, sha256 of the octets, flags, keywords, INTERNALDATE).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from mailferry.lab.names import decode_name

INBOX = b"INBOX"
ROLES = frozenset({b"\\Sent", b"\\Drafts", b"\\Trash", b"\\Junk", b"\\Archive", b"\\All", b"\\Flagged"})


class StoreRefusal(Exception):
    """A mailbox cannot be made, removed, renamed or found; the text is fit for an answer."""


@dataclass(slots=True)
class LabMessage:
    """One message; `octets` never change, `internal_date` carries its zone."""

    uid: int
    octets: bytes
    flags: frozenset[bytes]
    internal_date: datetime
    uidl: bytes

    @property
    def sha256(self) -> str:
        """The hex digest of the whole message."""
        return hashlib.sha256(self.octets).hexdigest()


class Trait(NamedTuple):
    """What must be equal of one message on both sides of a move."""

    mailbox: str
    sha256: str
    flags: tuple[str, ...]
    keywords: tuple[str, ...]
    internal_date: int


@dataclass(slots=True, eq=False)
class LabMailbox:
    """One mailbox; `version` grows with every change, and watchers are called behind each."""

    name: bytes
    uidvalidity: int
    attributes: set[bytes] = field(default_factory=set)
    selectable: bool = True
    uidnext: int = 1
    version: int = 0
    uidl_prefix: bytes = b""
    messages: dict[int, LabMessage] = field(default_factory=dict)
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def add(
        self,
        octets: bytes,
        *,
        flags: Iterable[bytes] = (),
        internal_date: datetime | None = None,
        uidl: bytes | None = None,
    ) -> LabMessage:
        """Append a message under the next UID and return it."""
        uid = self.uidnext
        self.uidnext += 1
        message = LabMessage(
            uid=uid,
            octets=octets,
            flags=frozenset(flags) - {b"\\Recent"},
            internal_date=internal_date or datetime.now(UTC).replace(microsecond=0),
            uidl=uidl or b"%s%08x%08x" % (self.uidl_prefix, uid, self.uidvalidity),
        )
        self.messages[uid] = message
        self.changed()
        return message

    def remove(self, uids: Iterable[int]) -> None:
        """Take messages out for good."""
        for uid in uids:
            self.messages.pop(uid, None)
        self.changed()

    def reflag(self, uid: int, flags: Iterable[bytes]) -> None:
        """Replace a message's flags and keywords."""
        if uid in self.messages:
            self.messages[uid].flags = frozenset(flags) - {b"\\Recent"}
            self.changed()

    def changed(self) -> None:
        """Tell all who watch this mailbox."""
        self.version += 1
        for watcher in list(self.watchers):
            watcher()

    def keywords(self) -> frozenset[bytes]:
        """Return the keywords in use, such as `$Forwarded`."""
        return frozenset(f for m in self.messages.values() for f in m.flags if not f.startswith(b"\\"))


class Mailstore:
    """All mailboxes of one account. UIDVALIDITY values count up from `first_uidvalidity`."""

    def __init__(
        self,
        *,
        delimiter: bytes = b"/",
        first_uidvalidity: int = 1000,
        first_uid: int = 1,
        uidl_prefix: bytes = b"",
        prefix: bytes = b"",
    ) -> None:
        self.delimiter = delimiter
        self.prefix = prefix
        """Of the personal namespace (RFC 2342): what users' mailboxes are below."""
        self.uidl_prefix = uidl_prefix
        self.first_uid = first_uid
        self._next_uidvalidity = first_uidvalidity
        self._mailboxes: dict[bytes, LabMailbox] = {}
        self.subscriptions: set[bytes] = set()
        self.create(INBOX)

    def __iter__(self) -> Iterator[LabMailbox]:
        return iter(sorted(self._mailboxes.values(), key=lambda m: (m.name != INBOX, m.name)))

    def find(self, name: bytes) -> LabMailbox | None:
        """Return the mailbox of that raw name; INBOX in any case (RFC 3501, 5.1)."""
        return self._mailboxes.get(self._canonical(name))

    def mailbox(self, name: bytes) -> LabMailbox:
        """Return the mailbox of that raw name; raises StoreRefusal when there is none."""
        found = self.find(name)
        if found is None:
            raise StoreRefusal("Mailbox does not exist")
        return found

    @property
    def inbox(self) -> LabMailbox:
        """The mailbox that POP3 shows."""
        return self._mailboxes[INBOX]

    def create(self, name: bytes, *, role: bytes | None = None, subscribed: bool = False) -> LabMailbox:
        """Make a mailbox, and its parents where they are missing."""
        name = self._canonical(name.removesuffix(self.delimiter))
        if not name:
            raise StoreRefusal("A mailbox needs a name")
        found = self._mailboxes.get(name)
        if found is not None and found.selectable:
            raise StoreRefusal("Mailbox already exists")
        parent, cut, _ = name.rpartition(self.delimiter)
        if cut and self.find(parent) is None:
            self.create(parent)
        box = LabMailbox(name, self._next_uidvalidity, uidl_prefix=self.uidl_prefix, uidnext=self.first_uid)
        self._next_uidvalidity += 1
        if role is not None:
            box.attributes.add(role)
        self._mailboxes[name] = box
        if subscribed:
            self.subscriptions.add(name)
        return box

    def delete(self, name: bytes) -> None:
        """Remove a mailbox; one with children stays as a \\Noselect name (RFC 3501, 6.3.4)."""
        box = self.mailbox(name)
        if box.name == INBOX:
            raise StoreRefusal("INBOX cannot be deleted")
        if any(other.startswith(box.name + self.delimiter) for other in self._mailboxes):
            if not box.selectable:
                raise StoreRefusal("Mailbox has children")
            box.selectable = False
            box.remove(list(box.messages))
        else:
            del self._mailboxes[box.name]

    def rename(self, old: bytes, new: bytes) -> None:
        """Move a mailbox and its children to another name; INBOX gives up its messages only."""
        box = self.mailbox(old)
        if self.find(new) is not None:
            raise StoreRefusal("Mailbox already exists")
        if box.name == INBOX:
            fresh = self.create(new)
            for message in list(box.messages.values()):
                fresh.add(message.octets, flags=message.flags, internal_date=message.internal_date)
            box.remove(list(box.messages))
            return
        old, new = box.name, self._canonical(new)
        moved = [b for b in self._mailboxes.values() if b is box or b.name.startswith(old + self.delimiter)]
        for each in moved:
            del self._mailboxes[each.name]
            each.name = new + each.name[len(old) :]
            self._mailboxes[each.name] = each

    def deliver(
        self,
        octets: bytes,
        *,
        mailbox: bytes = INBOX,
        flags: Iterable[bytes] = (),
        internal_date: datetime | None = None,
    ) -> LabMessage:
        """Let a message arrive, as an MTA would."""
        return self.mailbox(mailbox).add(octets, flags=flags, internal_date=internal_date)

    def shown_name(self, box: LabMailbox) -> str:
        """Return the name two hosts are compared by: the role if there is one, else the readable path."""
        role = sorted(box.attributes & ROLES)
        if role:
            return role[0].decode()
        return "/".join(decode_name(part) for part in box.name.split(self.delimiter))

    def fingerprint(self) -> Counter[Trait]:
        """Return the multiset of all messages."""
        return Counter(
            Trait(
                mailbox=self.shown_name(box),
                sha256=message.sha256,
                flags=tuple(sorted(f.decode() for f in message.flags if f.startswith(b"\\"))),
                keywords=tuple(sorted(f.decode("latin-1") for f in message.flags if not f.startswith(b"\\"))),
                internal_date=int(message.internal_date.timestamp()),
            )
            for box in self
            for message in box.messages.values()
        )

    def count(self) -> int:
        """Return how many messages all mailboxes hold."""
        return sum(len(box.messages) for box in self)

    def _canonical(self, name: bytes) -> bytes:
        if name.upper() == INBOX:
            return INBOX
        if name.upper().startswith(INBOX + self.delimiter):
            return INBOX + name[len(INBOX) :]
        return name


def differences(expected: Counter[Trait], actual: Counter[Trait]) -> list[str]:
    """Say in words what `actual` lacks or has too much; empty when both are equal."""
    lines = [f"missing {count}x {_words(trait)}" for trait, count in sorted((expected - actual).items())]
    lines += [f"too many {count}x {_words(trait)}" for trait, count in sorted((actual - expected).items())]
    return lines


def _words(trait: Trait) -> str:
    marks = " ".join((*trait.flags, *trait.keywords)) or "no flags"
    when = datetime.fromtimestamp(trait.internal_date, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{trait.mailbox} {trait.sha256[:12]} ({marks}) {when}"
