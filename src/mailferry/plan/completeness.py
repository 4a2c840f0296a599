"""Whether a source seems to show all of the mail it holds (design A5, providers' 30-day views).

A grade, with its reasons by name. *Poor*: the source itself contradicts what it delivers.
*Suspect*: it delivers what it announces, and yet something says that there is more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.causes import Cause
from mailferry.plan.arrival_date import utc_date
from mailferry.plan.mailbox_mapping import shown_name

LEAST_BODY = 64
"""Octets of the shortest body of several parts: two boundaries and a line."""

FEW = 2
"""So many messages may be broken in any account: one bad message never stops the rest."""
SHARE = 20
"""One in so many of the listed messages, or more, is no accident any more ..."""
MANY = 500
"""... nor are so many in an account of any size, as with deletions (`plan/differences`)."""


class Grade(StrEnum):
    """How far the source's listing may be believed."""

    GOOD = "good"
    SUSPECT = "suspect"
    POOR = "poor"


class Doubt(StrEnum):
    """What speaks against a listing."""

    EXISTS_NOT_DELIVERED = "exists_not_delivered"
    """SELECT announced more messages than the listing gave, twice."""
    POP3_SHOWS_MORE = "pop3_shows_more"
    """The maildrop holds messages that IMAP's INBOX hides."""
    HEADERS_ONLY = "headers_only"
    """Messages came as a bare header though their size promises more."""
    CUT_SHORT = "bodies_cut_short"
    """Messages came in fewer octets than the source, which tells other sizes truly, says they have."""
    PLACEHOLDERS = "placeholders"
    """The source gave texts of its own in place of messages."""
    BODIES_REFUSED = "bodies_refused"
    """It lists many messages that it does not give."""
    TARGET_REFUSES = "target_refuses"
    """The target keeps many messages not, each for a reason of its own."""
    ENDS_AT_WINDOW = "ends_at_window"
    """Nothing is older than what the provider shows by default, and there was more once."""
    SLIPPED_OUT = "slipped_out_of_view"
    """Messages went out of view as they became that old."""
    MAILBOX_WITHHELD = "mailbox_withheld"
    """A mailbox was refused again and again, and the source tells that it holds messages."""
    MAILBOX_REFUSED = "mailbox_refused"
    """The same of one that holds none, or nobody knows: the account goes on without it."""


_GRADES = {
    Doubt.EXISTS_NOT_DELIVERED: Grade.POOR,
    Doubt.HEADERS_ONLY: Grade.POOR,
    Doubt.CUT_SHORT: Grade.POOR,
    Doubt.BODIES_REFUSED: Grade.POOR,
    Doubt.TARGET_REFUSES: Grade.SUSPECT,
    Doubt.PLACEHOLDERS: Grade.SUSPECT,
    Doubt.POP3_SHOWS_MORE: Grade.SUSPECT,
    Doubt.ENDS_AT_WINDOW: Grade.SUSPECT,
    Doubt.SLIPPED_OUT: Grade.SUSPECT,
    Doubt.MAILBOX_WITHHELD: Grade.SUSPECT,
    Doubt.MAILBOX_REFUSED: Grade.GOOD,
}
_CAUSES = {
    Doubt.BODIES_REFUSED: Cause.BODIES_REFUSED,
    Doubt.TARGET_REFUSES: Cause.TARGET_REFUSES_MAIL,
}
"""Doubts that somebody else than the rest of them must see to."""


@dataclass(frozen=True, slots=True)
class MailboxEvidence:
    """What one pass saw of one mailbox."""

    name: bytes
    exists: int
    """Announced by SELECT after the listing."""
    delivered: int
    """UIDs that the listing gave."""
    headers_only: int = 0
    placeholders: int = 0
    cut_short: int = 0


@dataclass(frozen=True, slots=True)
class RefusedMailbox:
    """A mailbox that the source lists and does not open; `messages` None where it does not tell them."""

    name: bytes
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Messages that stay at the source alone, of so many listed ones, by who refused them."""

    listed: int = 0
    by_source: int = 0
    by_target: int = 0

    def too_many(self, number: int) -> bool:
        """Whether so many of the listed messages are more than may be passed over in silence."""
        return number > FEW and (number * SHARE > self.listed or number > MANY)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one pass saw of an account; `pop3_messages` is None when POP3 was not asked."""

    mailboxes: tuple[MailboxEvidence, ...] = ()
    pop3_messages: int | None = None
    pop3_unpaired: int = 0
    refused: tuple[RefusedMailbox, ...] = ()
    ends_at: int | None = None
    """Second of arrival of the oldest message, where all mail seems cut off there."""
    slipped_out: int = 0
    left_behind: LeftBehind = LeftBehind()


@dataclass(frozen=True, slots=True)
class Completeness:
    """The grade and its reasons; `details` say them with mailboxes and numbers."""

    grade: Grade
    doubts: tuple[Doubt, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """The doubts by name."""
        return tuple(doubt.value for doubt in self.doubts)

    @property
    def cause(self) -> Cause:
        """What an account with such a grade waits for: the cause of the first of its worst doubts."""
        worst = (doubt for doubt in self.doubts if _GRADES[doubt] is self.grade)
        return next((_CAUSES.get(doubt, Cause.INCOMPLETE) for doubt in worst), Cause.INCOMPLETE)


def grade(evidence: Evidence) -> Completeness:
    """Return the grade for what was seen."""
    doubts: list[Doubt] = []
    if any(seen.delivered < seen.exists for seen in evidence.mailboxes):
        doubts.append(Doubt.EXISTS_NOT_DELIVERED)
    if any(seen.headers_only for seen in evidence.mailboxes):
        doubts.append(Doubt.HEADERS_ONLY)
    if any(seen.cut_short for seen in evidence.mailboxes):
        doubts.append(Doubt.CUT_SHORT)
    if any(seen.placeholders for seen in evidence.mailboxes):
        doubts.append(Doubt.PLACEHOLDERS)
    left = evidence.left_behind
    if left.too_many(left.by_source):
        doubts.append(Doubt.BODIES_REFUSED)
    if left.too_many(left.by_target):
        doubts.append(Doubt.TARGET_REFUSES)
    inbox = next((seen for seen in evidence.mailboxes if seen.name.upper() == b"INBOX"), None)
    if inbox is not None and evidence.pop3_messages is not None and evidence.pop3_unpaired:
        doubts.append(Doubt.POP3_SHOWS_MORE)
    if evidence.ends_at is not None:
        doubts.append(Doubt.ENDS_AT_WINDOW)
    if evidence.slipped_out:
        doubts.append(Doubt.SLIPPED_OUT)
    if any(one.messages for one in evidence.refused):
        doubts.append(Doubt.MAILBOX_WITHHELD)
    if any(not one.messages for one in evidence.refused):
        doubts.append(Doubt.MAILBOX_REFUSED)
    return Completeness(
        _worst([_GRADES[doubt] for doubt in doubts]), tuple(doubts), tuple(_details(evidence))
    )


def _details(evidence: Evidence) -> Iterator[str]:
    """Name each difference, so that somebody can look for it."""
    for seen in evidence.mailboxes:
        name = shown_name(seen.name)
        if seen.delivered < seen.exists:
            yield f"{name}: {seen.exists} messages announced, {seen.delivered} listed"
        if seen.headers_only:
            yield f"{name}: {seen.headers_only} messages came without their bodies"
        if seen.cut_short:
            yield f"{name}: {seen.cut_short} messages came shorter than the source says they are"
        if seen.placeholders:
            yield f"{name}: in place of {seen.placeholders} messages the source gives texts of its own"
    left = evidence.left_behind
    if left.too_many(left.by_source):
        yield f"the source lists {left.by_source} of {left.listed} messages and does not give them"
    if left.too_many(left.by_target):
        yield f"the target refuses {left.by_target} of {left.listed} messages"
    if evidence.pop3_messages is not None and evidence.pop3_unpaired:
        yield f"POP3 shows {evidence.pop3_unpaired} messages that IMAP hides"
    if evidence.ends_at is not None:
        yield f"the oldest message is of {utc_date(evidence.ends_at).decode().strip()}, and there was older mail"
    if evidence.slipped_out:
        yield f"{evidence.slipped_out} messages went out of view when they became old"
    for one in evidence.refused:
        holds = "" if one.messages is None else f", {one.messages} messages"
        yield f"{shown_name(one.name)}: not opened by the source{holds}"


def _worst(grades: Sequence[Grade]) -> Grade:
    order = (Grade.POOR, Grade.SUSPECT, Grade.GOOD)
    return next((one for one in order if one in grades), Grade.GOOD)


def may_lack_body(octets: int, announced: int | None) -> bool:
    """Whether a message is so much shorter than its size that it is worth a look whether its body came."""
    return announced is not None and announced >= octets + LEAST_BODY


def seems_header_only(
    octets: int, announced: int | None, header_octets: int, *, multipart: bool = False
) -> bool:
    """Whether a message came without the body that its size promises (263 serves such ones).

    `octets` came as the literal, `announced` is RFC822.SIZE, a hint that several servers get wrong:
    only a body that is missing whole, against twice the size and 2 KiB more, counts; where the header
    promises a `multipart`, which is never empty, against any more than a part takes.
    """
    if announced is None or octets - header_octets > 2:
        return False
    if not octets:
        return announced > 0  # no message is without a header
    return announced >= max(2 * octets, octets + 2048) or (multipart and may_lack_body(octets, announced))
