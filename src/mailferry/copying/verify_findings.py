"""What a comparison of both sides finds: each difference told when it is met, and the sums at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What is wrong with one message, or with a whole mailbox."""

    NOT_COPIED = "not_copied"
    COPY_MISSING = "copy_missing"
    BODY_DIFFERS = "body_differs"
    FLAGS_DIFFER = "flags_differ"
    DATE_DIFFERS = "date_differs"
    UNREADABLE = "unreadable"
    MAILBOX_REFUSED = "mailbox_refused"
    """One side lists a mailbox and does not open it."""
    RENUMBERED = "renumbered"
    """One side gave all messages of the mailbox other UIDs since the last pass, which matches them anew."""
    GONE_AT_SOURCE = "mailbox_gone_at_source"
    """No difference by itself: the next pass, or nobody, follows it."""
    GONE_AT_TARGET = "mailbox_gone_at_target"
    """No difference by itself; each message of it that the source has is one."""


NOTES = frozenset({Fault.GONE_AT_SOURCE, Fault.GONE_AT_TARGET})


@dataclass(frozen=True, slots=True)
class Difference:
    """One message that is not alike on both sides; `source_uid` is None where it is about the mailbox."""

    mailbox: bytes
    source_uid: int | None
    fault: Fault
    detail: str = ""


Tell = Callable[[Difference], None]


@dataclass(slots=True)
class Verification:
    """The sums; `tell` hears of each difference and each note when it is met, and nothing of it is kept."""

    tell: Tell
    messages: int = 0
    bodies_compared: int = 0
    skipped: int = 0
    target_only: int = 0
    gone: int = 0
    """Copies whose messages the source has no longer."""
    unlocated: int = 0
    """Messages that the target took and never named: they are counted and not compared."""
    faults: dict[Fault, int] = field(default_factory=dict)

    @property
    def differences(self) -> int:
        """How many differences were told of."""
        return sum(number for fault, number in self.faults.items() if fault not in NOTES)

    @property
    def alike(self) -> bool:
        """Whether every source message has its equal copy or a named skip."""
        return not self.differences

    def found(self, mailbox: bytes, source_uid: int | None, fault: Fault, detail: str = "") -> None:
        """Count a difference and tell of it."""
        self.faults[fault] = self.faults.get(fault, 0) + 1
        self.tell(Difference(mailbox, source_uid, fault, detail))


@dataclass(slots=True)
class Sample:
    """Which messages of an account are read again: one at least, and the same each time while the mail stays."""

    account: int
    share: float
    """0 to 1."""
    begun: bool = False
    """Whether a message is in it: the first that is asked about always is, so that no small account passes unread."""

    def has(self, mailbox: bytes, uid: int) -> bool:
        """Whether the body of this message is compared; asked once about each that can be."""
        octets = hashlib.sha256(b"%d %s %d" % (self.account, mailbox, uid)).digest()
        drawn = int.from_bytes(octets[:4], "big") < self.share * 2**32
        chosen, self.begun = drawn or not self.begun, True
        return chosen
