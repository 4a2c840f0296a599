"""A look at the POP3 maildrop of a source that has IMAP as well, at the end of a pass.

For three things: which UIDL is which message, so that POP3 clients download nothing anew after the flip,
messages that IMAP hides, and what INBOX lists no more and may still be there. One login a pass at most,
and none while INBOX is as it was at the last look. What POP3 does not let us do is tried again later and
never fails the pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from mailferry.copying.courtesy import PAUSE_SECONDS
from mailferry.copying.desk import Run
from mailferry.copying.elsewhere import ELSEWHERE, Elsewhere, is_open
from mailferry.copying.hidden_mail import HiddenMail, count_hidden
from mailferry.copying.maildrop_names import Listed, list_maildrop
from mailferry.copying.maildrop_numbers import STRIKES
from mailferry.copying.maildrop_session import NotNow, open_maildrop
from mailferry.copying.results import MaildropView, Waits
from mailferry.copying.sides import Pair
from mailferry.copying.still_over_pop3 import Staying, copies_that_stay, nothing_over_pop3
from mailferry.copying.uidl_learning import InboxSide, Learnt, UidlLearner
from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.mail import DIGEST_OCTETS
from mailferry.observe.log import get_log
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.plan.retry import skip_is_due
from mailferry.plan.still_shown import OverPop3
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import ledger, mailboxes, maildrops, skipped, uidls
from mailferry.store.database import db_now
from mailferry.store.ledger_blocks import LedgerEntry, pack_uids, unpack_uids
from mailferry.store.maildrops import Maildrop
from mailferry.store.uidls import FactsOf, UidlFact

AGAIN_SECONDS = 900.0
"""A maildrop that was not all paired is looked at again after this time though nothing changed."""

_log = get_log("maildrop")


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last look left, and whether it still holds."""

    known: Maildrop
    fingerprint: bytes
    due: bool
    """Something changed since, or it is time to try again."""


async def standing_of(run: Run) -> Standing:
    """Return what is known of the account's maildrop."""
    return await run.register.read("maildrop", lambda conn: standing(conn, run.request.account_id))


def standing(conn: Connection, account_id: int) -> Standing:
    """Return what is known of the account's maildrop."""
    known = maildrops.get(conn, account_id)
    fingerprint = fingerprint_of(conn, account_id)
    waits = known.waiting or known.unpaired or _again(conn, account_id)
    old = known.looked_at is None or db_now(conn) - known.looked_at >= AGAIN_SECONDS
    return Standing(known, fingerprint, known.fingerprint != fingerprint or bool(waits and old))


def _again(conn: Connection, account_id: int) -> bool:
    """Whether a message that POP3 alone shows is to be tried again: what came of it was not whole, or nothing came."""
    row = mailboxes.over_pop3(conn, account_id)
    if row is None:
        return False
    now = db_now(conn)
    return any(skip_is_due(one.tries, now - one.at) for one in skipped.entries(conn, row.id))


def fingerprint_of(conn: Connection, account_id: int) -> bytes:
    """Return what the map of UIDLs depends on: which messages of INBOX have which copies, and which have none."""
    running = hashlib.blake2b(digest_size=16)
    rows = [row for row in mailboxes.of_account(conn, account_id) if row.source_name.upper() == INBOX]
    rows += [row for row in (mailboxes.over_pop3(conn, account_id),) if row is not None]
    rows += [
        row
        for name, row in mailboxes.incomplete(conn, account_id).items()
        if name.upper() in {INBOX, mailboxes.OVER_POP3}
    ]
    for row in rows:
        kept = ledger.load(conn, row.id)
        running.update(b"%d %d " % (row.source_uidvalidity or 0, row.target_uidvalidity or 0))
        running.update(kept.source_uids.tobytes() + kept.target_uids.tobytes())
        running.update(b"%d" % len(skipped.of_mailbox(conn, row.id)))
    return running.digest()


async def look_at_maildrop(run: Run, pair: Pair) -> None:
    """Learn UIDLs and copy what IMAP hides, when there is a reason to look.

    Raises Stopped, and Refused or Unavailable for what the IMAP sessions of `pair` do not do.
    """
    if run.desk.endpoints.source_pop3 is None:
        return
    hidden = await count_hidden(run)
    look = await standing_of(run)
    evidence = replace(run.result.evidence, pop3_messages=look.known.shown, pop3_unpaired=hidden)
    run.result.evidence = evidence
    if not look.due and not run.left_inbox.uids:
        return
    run.result.maildrop_asked = True
    try:
        before = await _Look.begun(run, pair, look.known)
        async with open_maildrop(run) as pop:
            await before.go(pop)
    except NotNow as later:
        _log.info("the maildrop is looked at later", why=later.waits.why)
    except RemoteFailure as failure:
        if not pair.usable or run.stopped:
            raise
        _log.info("the maildrop cannot be looked at", cause=failure.cause.value, why=failure.text)
        if failure.cause is Cause.PROTOCOL_DISABLED:
            await nothing_over_pop3(run, pair.target)


class _Look:
    """One look, with both servers' INBOXes at hand."""

    def __init__(self, run: Run, pair: Pair, known: Maildrop, inbox: InboxSide) -> None:
        self._run = run
        self._pair = pair
        self._known = known
        self._inbox = inbox
        self._facts: list[UidlFact] = []
        self._brought: Mapping[bytes, LedgerEntry | None] = {}
        """Names of messages that POP3 alone showed in earlier passes, with their copies."""
        self._elsewhere = Elsewhere(run, pair)

    @classmethod
    async def begun(cls, run: Run, pair: Pair, known: Maildrop) -> _Look:
        """Do what needs no maildrop: read headers that will be needed, while it is free for the user."""
        account_id = run.request.account_id
        facts, brought = await run.register.read(
            "uidl facts",
            lambda conn: (
                uidls.facts(conn, account_id, FactsOf.SOURCE),
                _brought(conn, account_id),
            ),
        )
        elsewhere = Elsewhere(run, pair)
        lone = [fact for fact in facts if fact.uid is None]
        if any(is_open(fact) and fact.uidl not in brought for fact in lone):
            await elsewhere.read_headers()
        status = await pair.source.select(INBOX, read_only=True)
        look = cls(run, pair, known, InboxSide(pair.source, status.uidvalidity))
        look._facts, look._brought, look._elsewhere = facts, brought, elsewhere
        if lone:
            fresh = set(await look._inbox.uids()) - {fact.uid for fact in facts} - look._lonely
            await look._inbox.headers(fresh, lambda: not run.stopped)
        return look

    @property
    def _lonely(self) -> frozenset[int]:
        packed = self._known.lonely
        return frozenset() if packed is None else frozenset(unpack_uids(packed))

    async def go(self, pop: Pop3Client) -> None:
        """List the maildrop, pair it with INBOX, copy what has no pair anywhere."""
        run, in_time = self._run, self._clock()
        listed = await list_maildrop(
            pop, self._facts, use_uidls=self._known.renumbered < STRIKES, in_time=in_time
        )
        await self._inbox.anew()  # what arrived before the maildrop was opened is not hidden
        learner = UidlLearner(pop, self._inbox, in_time, lonely=self._lonely)
        learnt = await learner.learn(listed, await self._facts_that_hold(listed))
        await self._keep(learnt)
        left = {n: digest for n, digest in learnt.unpaired.items() if listed.names[n] not in self._brought}
        settled = {fact.uidl for fact in self._facts if fact.uid is None and not is_open(fact)}
        elsewhere = {n for n in left if listed.names[n] in settled}
        unread = learnt.unread or not listed.whole
        if not unread:
            headers = {fact.uidl: fact.digest for fact in (*self._facts, *learnt.facts)}
            asked = {
                n: (digest, headers[listed.names[n]]) for n, digest in left.items() if n not in elsewhere
            }
            found = await self._elsewhere.among(asked, in_time)
            unread = found is None
            elsewhere |= found or set()
            await self._settle([UidlFact(listed.names[n], headers[listed.names[n]]) for n in found or ()])
        hidden: Mapping[bytes, int] = {}
        if not unread:
            numbers = [number for number in learnt.unpaired if number not in elsewhere]
            staying = await self._copies_that_stay(listed, learnt, numbers)
            hidden = await self._bring_over(
                pop,
                listed,
                numbers,
                HiddenMail(run, pop, self._pair.target, staying=staying, in_inbox=learnt.uids),
            )
        own = listed.uidls()
        run.result.maildrop = MaildropView(
            own,
            len(listed.names),
            learnt.uids,
            hidden,
            frozenset(own[number] for number in elsewhere if number in own),
            unread=unread,
        )
        run.result.evidence = replace(
            run.result.evidence, pop3_messages=len(listed.names), pop3_unpaired=len(hidden)
        )

    async def _facts_that_hold(self, listed: Listed) -> Sequence[UidlFact]:
        """Return what is known without the pairs of shown messages that INBOX shows no more.

        A message that left the days which IMAP shows is not gone while POP3 shows it: it has to be found
        to be hidden, or it would be missing at the target, or its copy would go. INBOX is asked only where a
        copy is missing or waits. Before any whole look over IMAP the numbers may be our own, of a time
        without IMAP: then none holds.
        """
        account_id = self._run.request.account_id
        shown = set(listed.names.values())
        copied = await self._run.register.read("copied", lambda conn: _copied_of_inbox(conn, account_id))
        paired = {f.uid for f in self._facts if f.uid is not None and f.uidl in shown}
        missing, waiting = paired - copied, paired & self._run.left_inbox.uids
        doubted = missing | waiting
        if doubted:
            doubted -= set(await self._inbox.uids())
        if doubted & missing and self._known.lonely is None:
            return [fact for fact in self._facts if fact.uid is None]
        return [fact for fact in self._facts if fact.uid not in doubted]

    async def _copies_that_stay(self, listed: Listed, learnt: Learnt, hidden: list[int]) -> Staying:
        """See to the copies of what INBOX lists no more, now that POP3 has said what is there still."""
        waiting = self._run.left_inbox.uids
        if not waiting:
            return Staying()
        digests = {fact.uidl: fact.digest for fact in (*self._facts, *learnt.facts)}
        shown = [
            OverPop3(name, digests[name][:DIGEST_OCTETS], learnt.unpaired[number])
            for number, name in ((number, listed.names[number]) for number in hidden)
        ]
        sure = self._facts if self._known.lonely is not None else ()  # else the numbers may be our own
        names = {fact.uid: fact.uidl for fact in sure if fact.uid is not None and fact.uid in waiting}
        there = await self._inbox.uids()
        return await copies_that_stay(self._run, self._pair.target, shown, there, names, self._brought)

    def _clock(self) -> Callable[[], bool]:
        """A slice, or half of what is left of the budget."""
        run = self._run
        seconds = run.desk.limits.slice_seconds
        if run.time_left is not None:
            seconds = min(seconds, run.time_left / 2)
        until = run.elapsed + seconds
        return lambda: run.elapsed < until and not run.stopped

    async def _keep(self, learnt: Learnt) -> None:
        account_id = self._run.request.account_id
        lonely = None if learnt.lonely is None else pack_uids(sorted(learnt.lonely))

        def keep(conn: Connection) -> None:
            uidls.forget(conn, account_id, FactsOf.SOURCE, learnt.gone)
            uidls.learn(conn, account_id, FactsOf.SOURCE, learnt.facts)
            if lonely is not None and lonely != self._known.lonely:
                maildrops.note(conn, account_id, lonely=lonely)

        await self._run.register.write("learn uidls", keep)

    async def _settle(self, elsewhere: list[UidlFact]) -> None:
        """Remember which messages lie in other mailboxes, so that nobody looks for them again."""
        account_id = self._run.request.account_id
        settled = [UidlFact(fact.uidl, fact.digest + ELSEWHERE) for fact in elsewhere]
        if settled:
            await self._run.register.write(
                "copied elsewhere", lambda conn: uidls.learn(conn, account_id, FactsOf.SOURCE, settled)
            )

    async def _bring_over(
        self, pop: Pop3Client, listed: Listed, numbers: list[int], mail: HiddenMail
    ) -> Mapping[bytes, int]:
        """Copy them as far as the slice reaches."""
        run = self._run
        limits = run.desk.limits
        if not run.request.last:
            run.begin_slice(limits.slice_seconds)
        try:
            return await mail.bring_over(listed, sorted(numbers))
        except Unavailable as failure:
            if pop.closed and self._pair.usable:
                raise NotNow(Waits(PAUSE_SECONDS, failure.text)) from failure
            raise


def _brought(conn: Connection, account_id: int) -> dict[bytes, LedgerEntry | None]:
    row = mailboxes.over_pop3(conn, account_id)
    kept = ledger.Ledger() if row is None else ledger.load(conn, row.id)
    known = uidls.facts(conn, account_id, FactsOf.HIDDEN)
    return {fact.uidl: kept.find(fact.uid or 0) for fact in known}


def _copied_of_inbox(conn: Connection, account_id: int) -> frozenset[int]:
    rows = [row for row in mailboxes.of_account(conn, account_id) if row.source_name.upper() == INBOX]
    return frozenset(uid for row in rows for uid in ledger.load(conn, row.id).source_uids)
