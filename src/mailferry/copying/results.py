"""What a pass is asked for and what it tells: the words between the copier and whoever starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mailferry.model.causes import Cause
from mailferry.plan.completeness import Completeness, Evidence, grade
from mailferry.plan.differences import Held
from mailferry.store.leases import Lease


class Mode(StrEnum):
    """What follows the source."""

    MIRROR = "mirror"
    """Before the flip: new, vanished and re-flagged messages follow; the source wins."""
    ADD_ONLY = "add_only"
    """From BACKFILL on: only source messages without a ledger entry are copied."""


class SkipReason(StrEnum):
    """Why one message is not at the target; the account goes on without it."""

    TOO_BIG = "too_big"
    NUL_REFUSED = "nul_refused"
    HEADER_REFUSED = "header_refused"
    EMPTY_REFUSED = "empty_refused"
    REFUSED = "refused"
    """The target said no and named no reason that we know; its text stands in the detail."""
    UNREADABLE = "unreadable_at_source"
    HEADER_ONLY = "header_only_at_source"
    """The source gives a header without the body that it promises."""
    CUT_SHORT = "cut_short_at_source"
    """The source gives less of it than it announces, and announces the others truly."""
    PLACEHOLDER = "placeholder_at_source"
    """The source gives a text of its own in place of the message (Exchange)."""


INCOMPLETE = {
    SkipReason.HEADER_ONLY: "the source gave its header without a body",
    SkipReason.CUT_SHORT: "the source gave fewer octets than it tells of it",
    SkipReason.PLACEHOLDER: "the source gave a text of its own in its place",
}
"""Reasons of messages that came and are not whole, with what the list of skipped messages says."""

BY_SOURCE = frozenset({SkipReason.UNREADABLE})
BY_TARGET = frozenset(SkipReason) - BY_SOURCE - INCOMPLETE.keys()
"""Who kept a message from being copied; of an incomplete one at least a part lies at the target."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """Sizes of one pass; from `[copy]` of the configuration and the source's profile."""

    batch_messages: int = 200
    batch_octets: int = 4 * 1024 * 1024
    connections: int = 2
    slice_seconds: float = 30.0
    """How long a POP3 session may hold the maildrop."""
    settle_patience: float = 3.0
    """A target may still be finishing what a killed run sent: intents younger than this are read again."""
    deletions_patience: float = 2.5
    """How long a pass that would hold deletions waits, once, for sessions to tell theirs: their processes
    look once a second."""
    lost_connections: int = 3
    """How often in a row a lost connection is replaced inside one pass."""
    read_back: float = 0.01
    """The share of new copies that are read back from the target and compared with what was sent."""


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What one pass over one account shall do."""

    account_id: int
    mode: Mode
    lease: Lease | None = None
    """Checked in each writing transaction; LeaseLost comes out of the pass."""
    newest_first: bool = False
    """BACKFILL: what the user looks for first is the newest mail."""
    last: bool = False
    """The pass inside the freeze: what has changed since the pass before is compared copy by copy."""
    budget_seconds: float | None = None
    """Nothing is begun after this time, and the pass is cut off at it (`PassResult.overrun`)."""
    approved: bool = False
    """An administrator approved the deletions that were held."""
    slice_seconds: float | None = None
    """Nothing is begun after this time; what is left comes in the next turn (`PassResult.sliced`)."""
    sweep: bool = False
    """Late mail: not what lies at the target already, whoever brought it there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a pass stands; `total` and `remaining` are messages of the source's listings so far."""

    total: int
    copied: int
    remaining: int
    octets: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class MailboxFailure:
    """A mailbox that could not be worked on; the others went on."""

    name: bytes
    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a pass ended early without a failure, and when it may go on."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class MaildropView:
    """What a pass saw of the source's POP3 list."""

    uidls: Mapping[int, bytes]
    """Message number to the UIDL that POP3 clients know; each UIDL once."""
    shown: int
    """Messages in the list, those without such a UIDL included."""
    inbox: Mapping[bytes, int]
    """Name (the UIDL, or what stands for one) to the UID of its message in INBOX; a number of our own where
    the source has POP3 only."""
    hidden: Mapping[bytes, int] = field(default_factory=dict)
    """Name to the number of our own of a message that IMAP does not show."""
    elsewhere: frozenset[bytes] = frozenset()
    """UIDLs of messages that lie in other mailboxes than INBOX."""
    unread: bool = False
    """The time was over before everything was looked at."""


@dataclass(slots=True)
class PassResult:
    """What one pass did and saw. It grows while the pass runs and is handed over when it is over."""

    total: int = 0
    """Messages that the source's listings hold."""
    copied: int = 0
    already: int = 0
    """Found at the target by digest: after a crash, a changed UIDVALIDITY, or in a sweep."""
    skipped: int = 0
    """Messages that this pass left out with a named reason."""
    incomplete: int = 0
    """Of messages that the source did not give whole, as many as this pass keeps for want of better."""
    known_skips: int = 0
    """Messages of the listings with a named reason from an earlier pass, not tried again this time."""
    deleted: int = 0
    stayed: int = 0
    """Copies whose messages IMAP lists no more and POP3 still shows."""
    waiting_copies: int = 0
    """Copies of what INBOX lists no more, about which POP3 was not asked, though it will be within a day."""
    moved: int = 0
    """Messages that the source moved to another mailbox, moved at the target as well."""
    reflagged: int = 0
    remaining: int = 0
    """Listed messages without a copy and without a named skip when the pass ended."""
    octets: int = 0
    """Copied by this pass, as they were sent."""
    total_octets: int = 0
    """Sum of the sizes in the source's listings, as it announces them; so are the next two."""
    remaining_octets: int = 0
    skipped_octets: int = 0
    seconds: float = 0.0
    unsettled: int = 0
    """Intents of broken connections whose messages were not all found: a later pass looks once more."""
    doubled: int = 0
    """Copies that a broken connection brought after the message had been copied again."""
    doubles_removed: int = 0
    read_back: int = 0
    """Copies that were read back and compared with what was sent."""
    altered: int = 0
    """Of these, how many the target did not keep as they were sent."""
    mailboxes: int = 0
    mailboxes_unchanged: int = 0
    held: dict[bytes, tuple[Held, int]] = field(default_factory=dict)
    """Source mailbox to the reason and the number of deletions that wait for approval."""
    refused_keywords: dict[bytes, int] = field(default_factory=dict)
    """Keyword to the number of messages that lost it, because the target permits it not."""
    failures: list[MailboxFailure] = field(default_factory=list)
    left_out: dict[bytes, str] = field(default_factory=dict)
    """Source mailbox to the source's words: it was refused in several passes and is done without."""
    evidence: Evidence = field(default_factory=Evidence)
    cause: Cause | None = None
    """Why the pass stopped before its end (quota, UIDVALIDITY, a throttled or lost server)."""
    cause_text: str = ""
    retry_after: float | None = None
    overrun: bool = False
    """The budget of a last pass was used up."""
    waits: Waits | None = None
    sliced: bool = False
    """The pass's time was over before its work; it goes on in the next turn."""
    maildrop: MaildropView | None = None
    """None when POP3 was not asked: there is none, or nothing changed since it was."""
    maildrop_asked: bool = False
    """POP3 was to be asked; without a view it could not be."""
    verified: bool = False
    """A last pass: each listed source UID was found to have exactly one live copy, or a named skip."""

    @property
    def complete(self) -> bool:
        """Whether every mailbox was worked on to its end."""
        return (
            self.cause is None
            and not self.failures
            and not self.overrun
            and not self.sliced
            and self.waits is None
        )

    @property
    def clean(self) -> bool:
        """Whether each source UID of the listings has exactly one live copy or a named skip."""
        return self.complete and self.remaining == 0

    @property
    def held_deletions(self) -> int:
        """Deletions that wait for an administrator."""
        return sum(count for _, count in self.held.values())

    @property
    def deletions_wait(self) -> bool:
        """Whether copies would stay for ever if the account were switched now."""
        return bool(self.held) or self.waiting_copies > 0

    @property
    def completeness(self) -> Completeness:
        """The grade of what the source showed in this pass."""
        return grade(self.evidence)

    @property
    def rate(self) -> float:
        """Octets a second, 0 when nothing was copied."""
        return self.octets / self.seconds if self.seconds > 0 else 0.0
