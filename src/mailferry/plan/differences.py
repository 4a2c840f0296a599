"""What a listing of a source mailbox says against the ledger: new, vanished, re-flagged.

The brake (design A5): a mailbox that shrinks suspiciously keeps its copies until an administrator
approves; deletions that our own sessions saw acknowledged do not count, unless the mailbox was held
before or renumbered. From the flip on only additions matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.mail import RECENT, MessageFacts

FLAGS_KEY_OCTETS = 4
FLAGS_UNKNOWN = bytes(FLAGS_KEY_OCTETS)
"""Nobody knows with which flags the copy was sent: the next comparison finds it re-flagged."""
BRAKE_FROM = 10
"""Ledgered messages below which a share says nothing."""
BRAKE_SHARE = 0.20
BRAKE_COUNT = 500
HIGHEST_UID = 0xFFFFFFFF
NO_SERVER_UID = 0xFF000000
"""From here on a ledger's UIDs are ours: messages that were not found again when UIDVALIDITY changed."""


class Held(StrEnum):
    """Why deletions wait for an administrator."""

    TOO_MANY = "too_many"
    EMPTY = "suddenly_empty"
    UIDVALIDITY = "uidvalidity_changed"


@dataclass(frozen=True, slots=True)
class Differences:
    """What is to be done in one mailbox; UIDs are the source's."""

    new: tuple[MessageFacts, ...]
    vanished: tuple[int, ...]
    reflagged: tuple[MessageFacts, ...]
    held: Held | None = None
    """Set when `vanished` must not be deleted at the target yet."""
    excused: int = 0
    """How many of `vanished` are accounted for by deletions that our own sessions saw acknowledged."""


def flags_key(flags: Iterable[bytes]) -> bytes:
    """Return four octets that stand for a set of flags: order, letter case and `\\Recent` do not count."""
    canonical = sorted({flag.lower() for flag in flags} - {RECENT.lower()})
    return hashlib.sha256(b"\0".join(canonical)).digest()[:FLAGS_KEY_OCTETS]


class Comparison:
    """Compares a listing with the ledger while it arrives, so that no listing is held whole.

    `ledger` is source UID to `flags_key` of the flags synced last, of the same UIDVALIDITY. `skipped` are
    source UIDs with a named skip that is not tried again now. A UID listed twice counts once.
    """

    def __init__(self, ledger: Mapping[int, bytes], skipped: Collection[int] = ()) -> None:
        self._ledger = ledger
        self._skipped = skipped
        self._keys: dict[frozenset[bytes], bytes] = {}
        self._new: list[MessageFacts] = []
        self._reflagged: list[MessageFacts] = []
        self.listed: set[int] = set()
        """UIDs that came so far."""
        self.octets = 0
        """Sum of their sizes, as far as the source told them."""
        self.skipped_octets = 0
        """The same of those with a named skip."""
        self.announced = 0
        """How many messages the server says there are; more than were listed, and nothing is known to be gone."""

    def feed(self, facts: MessageFacts) -> None:
        """Take one line of the listing."""
        if facts.uid in self.listed:
            return
        self.listed.add(facts.uid)
        self.octets += facts.size or 0
        synced = self._ledger.get(facts.uid)
        if synced is None:
            if facts.uid in self._skipped:
                self.skipped_octets += facts.size or 0
            else:
                self._new.append(facts)
            return
        key = self._keys.get(facts.flags)
        if key is None:
            key = self._keys[facts.flags] = flags_key(facts.flags)
        if synced != key:
            self._reflagged.append(facts)

    def feed_flags(self, uid: int, flags: frozenset[bytes]) -> bool:
        """Take one line of a listing of flags alone; False for a message of which more must be asked."""
        if uid in self.listed:
            return True
        if uid not in self._ledger:
            return False
        self.feed(MessageFacts(uid, flags, b""))
        return True

    def feed_unchanged(self, gone: Callable[[Sequence[int]], Collection[int]]) -> None:
        """A listing of changes is whole: what it did not name is as it was.

        `gone` tells which of some ascending UIDs are there no more.
        """
        known = sorted({*self._ledger, *self._skipped})
        self.listed |= set(known).difference(gone(known))

    def estimate_octets(self, before: int, skipped: int) -> None:
        """Reckon what a listing without sizes cannot tell: ledgered messages took `before` octets when all
        of them were there, those with a named skip take `skipped`.
        """
        left = len(self.listed & self._ledger.keys()) / max(len(self._ledger), 1)
        self.skipped_octets = skipped
        self.octets = round(before * left) + skipped + sum(facts.size or 0 for facts in self._new)

    def result(
        self,
        *,
        acknowledged: int = 0,
        approved: bool = False,
        held_before: int = 0,
    ) -> Differences:
        """Return the differences, once the listing is whole.

        So many deletions as `acknowledged` our own sessions saw succeed. `held_before` deletions were
        held already: they stay so as long as anything is missing, whatever is acknowledged later.
        `approved` lifts the brake once. Of a listing shorter than the server's own count nothing
        vanished: what it leaves out may be there (omission is not absence).
        """
        whole = approved or len(self.listed) >= self.announced
        vanished = tuple(sorted(self._ledger.keys() - self.listed)) if whole else ()
        excused = min(max(excusable(vanished) - held_before, 0), acknowledged)
        held = None
        if not approved:
            held = brake(len(self._ledger), len(self.listed), vanished, excused)
            if held is None and held_before and len(vanished) > excused:
                held = Held.TOO_MANY
        return Differences(
            tuple(sorted(self._new, key=lambda facts: facts.uid)),
            vanished,
            tuple(self._reflagged),
            held,
            excused,
        )


def excusable(vanished: Collection[int]) -> int:
    """Return how many of these a session's user may have deleted: not those that a new UIDVALIDITY hides."""
    return sum(uid < NO_SERVER_UID for uid in vanished)


def brake(ledgered: int, listed: int, vanished: Collection[int], excused: int = 0) -> Held | None:
    """Return why these deletions wait, or None when they may follow; `excused` of them do not count."""
    unexplained = len(vanished) - excused
    if excusable(vanished) < len(vanished):
        return Held.UIDVALIDITY
    if not unexplained:
        return None
    if not listed:
        return Held.EMPTY
    if ledgered >= BRAKE_FROM and (unexplained >= BRAKE_COUNT or unexplained >= BRAKE_SHARE * ledgered):
        return Held.TOO_MANY
    return None
