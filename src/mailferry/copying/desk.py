"""What a pass works with, and what it keeps in mind while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from mailferry.copying.acknowledged import Acknowledged
from mailferry.copying.bypass import Bypass
from mailferry.copying.courtesy import Courtesy
from mailferry.copying.register import Register
from mailferry.copying.remarks import Remarks
from mailferry.copying.results import CopyLimits, OnProgress, PassRequest, PassResult, Progress, Waits
from mailferry.copying.sides import Endpoints
from mailferry.model.profile import Confidence, Profile
from mailferry.observe import metrics
from mailferry.plan.completeness import MailboxEvidence, RefusedMailbox
from mailferry.plan.true_sizes import TrueSizes
from mailferry.plan.visible_days import FirstSight
from mailferry.store import accounts
from mailferry.store.accounts import AccountChanges
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind


class Stopped(Exception):
    """The pass ends here: its time is used up, or another of its connections met what ends it."""


@dataclass(frozen=True, slots=True)
class CopyDesk:
    """The tools of one account's passes."""

    database: Database
    reactor: IReactorTime
    endpoints: Endpoints
    profile: Profile
    """The source's."""
    limits: CopyLimits = field(default_factory=CopyLimits)
    courtesy: Courtesy = field(default_factory=Courtesy)
    must_wait: Callable[[], Waits | None] = lambda: None
    """Whether the pace at which the source may be copied from is used up; asked before each step."""


@dataclass(slots=True)
class MailboxWork:
    """What is remembered of one mailbox for the length of a pass, over lost connections."""

    in_flight: set[int] = field(default_factory=set)
    """Source UIDs of the batch on its way."""
    suspects: Counter[int] = field(default_factory=Counter)
    """Source UID to how often a connection was lost with it in flight: these go alone."""
    put_off: dict[int, int] = field(default_factory=dict)
    """Source UID to how many messages had been copied when the target first would not take it just now."""
    total: int = 0
    """Messages at the source; an estimate until the mailbox was listed."""
    remaining: int = 0
    """Messages that are neither copied nor skipped yet."""
    known_skips: int = 0
    """Messages that were skipped by an earlier pass and are not tried again in this one."""
    examined: set[int] = field(default_factory=set)
    """Intents that this pass looked for: the next one looks once more."""
    octets: int | None = None
    """Sum of the messages' sizes as of the last listing, None before the first; so are the next two."""
    remaining_octets: int = 0
    skipped_octets: int = 0

    def connection_lost(self) -> None:
        """Suspect what was in flight."""
        self.suspects.update(self.in_flight)
        self.in_flight.clear()

    def refused_for_now(self, uids: Collection[int], copied: int) -> None:
        """Suspect messages that the target would not take just now: one of them may be the reason."""
        self.in_flight.update(uids)
        for uid in uids:
            self.put_off.setdefault(uid, copied)

    def is_to_blame(self, uid: int, strikes: int, copied: int) -> bool:
        """Whether it went wrong often enough with this message, and well with others where the target put it off."""
        return self.suspects[uid] >= strikes and copied > self.put_off.get(uid, -1)


class LeftInbox(NamedTuple):
    """Messages that INBOX lists no more, whose copies wait for a look at the maildrop."""

    uids: frozenset[int] = frozenset()
    counted: int = 0
    """How many of them our own sessions deleted, or an earlier pass counted as done past us."""
    asked: bool = False
    """POP3 was asked, and nobody can tell these apart: both copies of each stay."""


class Run:
    """One pass: its request, its result as it grows, and its end."""

    def __init__(self, desk: CopyDesk, request: PassRequest, on_progress: OnProgress | None = None) -> None:
        self.desk = desk
        self.request = request
        self.result = PassResult()
        self.register = Register(desk.database, request.account_id, request.lease)
        self.acknowledged = Acknowledged(self.register, desk.reactor, desk.limits.deletions_patience)
        self.bypass = Bypass(self.register)
        self.remarks = Remarks(self.register)
        self.sizes = TrueSizes(usual=_tells_sizes(desk.profile))
        self.works: dict[bytes, MailboxWork] = {}
        self.sights: dict[bytes, FirstSight] = {}
        """Mailboxes that this pass saw for the first time."""
        self.emptied: set[bytes] = set()
        """Mailboxes that the source empties by age."""
        self.incomplete: set[bytes] | None = None
        """Mailboxes whose messages have incomplete copies; None until the pass has looked."""
        self.left_inbox = LeftInbox()
        self._on_progress = on_progress
        self._began = desk.reactor.seconds()
        self._noted: tuple[int, int | None] = (0, None)
        self._stopped = False
        self._slice_ends: float | None = None
        self._closers: list[Callable[[], None]] = []
        self._keyword_losses: set[tuple[bytes, int, bytes]] = set()
        self._date_losses: set[tuple[bytes, int]] = set()

    def work(self, mailbox: bytes) -> MailboxWork:
        """Return what is remembered of a source mailbox."""
        return self.works.setdefault(mailbox, MailboxWork())

    @property
    def elapsed(self) -> float:
        """Seconds since the pass began."""
        return self.desk.reactor.seconds() - self._began

    @property
    def time_left(self) -> float | None:
        """Seconds until the budget is used up; None without one."""
        budget = self.request.budget_seconds
        return None if budget is None else budget - self.elapsed

    def check(self) -> None:
        """Raise Stopped when nothing more shall be begun."""
        left = self.time_left
        if left is not None and left <= 0:
            self.result.overrun = True
            self._stopped = True
        if self._slice_ends is not None and self.elapsed >= self._slice_ends:
            self.result.sliced = self._stopped = True
        waits = self.desk.must_wait() if not self._stopped and not self.request.last else None
        if waits is not None:
            self.wait(waits)
        if self._stopped:
            raise Stopped

    def begin_slice(self, seconds: float) -> None:
        """Let the pass end after so many seconds from now, with whatever is done by then."""
        self._slice_ends = self.elapsed + seconds

    def wait(self, waits: Waits) -> None:
        """Let the pass end at its next step, to go on later; nobody failed."""
        self.result.waits = self.result.waits or waits
        self._stopped = True

    def leave(self, waits: Waits) -> None:
        """Let go of every session now, because somebody else needs them."""
        self.wait(waits)
        self.break_off()

    def at_cut_off(self, close: Callable[[], None]) -> None:
        """Have this called when the budget is used up, or the pass is over; it must not mind a second call."""
        self._closers.append(close)

    def break_off(self) -> None:
        """End every connection where it stands."""
        for close in self._closers:
            close()

    def stop(self) -> None:
        """Let every connection of this pass end at its next step."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether the pass ends."""
        return self._stopped

    def copied(self, work: MailboxWork, messages: int, octets: int) -> None:
        """Count messages that the ledger has now."""
        self.result.copied += messages
        self.result.octets += octets
        work.remaining -= messages
        metrics.COPIED_MESSAGES.add(messages)
        metrics.COPIED_BYTES.add(octets)
        self.tell()

    def already(self, work: MailboxWork, messages: int) -> None:
        """Count messages that were found at the target."""
        self.result.already += messages
        work.remaining -= messages

    def skipped(self, work: MailboxWork, reason: str) -> None:
        """Count a message that is left out with a reason."""
        self.result.skipped += 1
        work.remaining -= 1
        metrics.SKIPPED_MESSAGES.add(reason=reason)

    def vanished(self, work: MailboxWork, messages: int) -> None:
        """Count messages that the source took away while they were to be copied."""
        work.total -= messages
        work.remaining -= messages

    def keywords_refused(self, mailbox: bytes, uid: int, refused: Collection[bytes]) -> None:
        """Note keywords that the target does not permit, once for each message."""
        for keyword in refused:
            key = (mailbox, uid, keyword)
            if key not in self._keyword_losses:
                self._keyword_losses.add(key)
                counts = self.result.refused_keywords
                counts[keyword] = counts.get(keyword, 0) + 1
                self.remarks.note(RemarkKind.KEYWORD, keyword, add=True)

    def dates_lost(self, target_name: bytes, uids: Collection[int]) -> None:
        """Note copies that bear another date of arrival than their originals, once each."""
        lost = {(target_name, uid) for uid in uids} - self._date_losses
        if lost:
            self._date_losses |= lost
            self.remarks.note(RemarkKind.DATE, target_name, number=len(lost), add=True)

    def saw(self, seen: MailboxEvidence) -> None:
        """Keep what a mailbox announced and what it gave, in place of an earlier look."""
        evidence = self.result.evidence
        others = [one for one in evidence.mailboxes if one.name != seen.name]
        self.result.evidence = replace(evidence, mailboxes=(*others, seen))

    def left_out(self, mailbox: bytes, text: str, messages: int | None) -> None:
        """Note a mailbox that the pass does without; `messages` None where the source does not tell them."""
        self.result.left_out[mailbox] = text
        work = self.work(mailbox)
        work.total = work.known_skips = messages or 0
        work.remaining = 0
        evidence = self.result.evidence
        others = [one for one in evidence.refused if one.name != mailbox]
        refused = (*others, RefusedMailbox(mailbox, messages))
        self.result.evidence = replace(evidence, refused=refused)

    async def note_totals(self) -> None:
        """Let the account show how much there is while the pass is still at it; late mail adds nothing to that.

        Octets once each mailbox was listed: a part of them would look like nearly all. What would change
        by less than a hundredth waits for the end of the turn.
        """
        self.tell()
        whole = all(work.octets is not None for work in self.works.values())
        now = (self.result.total, self.result.total_octets if whole else None)
        if self.request.sweep or not any(map(_is_news, now, self._noted)):
            return
        self._noted = now
        changes: AccountChanges = {"total": now[0]}
        if now[1] is not None:
            changes["bytes_total"] = now[1]
        account_id = self.request.account_id
        await self.register.write("note totals", lambda conn: accounts.note(conn, account_id, **changes))

    def tell(self) -> None:
        """Bring the result's sums up to date, and tell whoever listens where the pass stands."""
        result = self.result
        result.total = sum(work.total for work in self.works.values())
        result.known_skips = sum(work.known_skips for work in self.works.values())
        result.remaining = sum(max(work.remaining, 0) for work in self.works.values())
        result.total_octets = sum(work.octets or 0 for work in self.works.values())
        result.remaining_octets = sum(work.remaining_octets for work in self.works.values())
        result.skipped_octets = sum(work.skipped_octets for work in self.works.values())
        result.seconds = self.elapsed
        if self._on_progress is not None:
            self._on_progress(Progress(result.total, result.copied, result.remaining, result.octets))


def _tells_sizes(profile: Profile) -> bool:
    """Whether the source's sizes are not known as estimates; a mere suspicion (Tencent) is no knowledge."""
    return profile.exact_sizes or profile.confidence.get("exact_sizes") is Confidence.LOW


def _is_news(now: int | None, shown: int | None) -> bool:
    """Whether a total differs from the one shown by so much that somebody who looks would notice."""
    if now is None or shown is None:
        return now is not None
    return abs(now - shown) * 100 > shown
