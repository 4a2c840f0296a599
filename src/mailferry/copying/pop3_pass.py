"""One pass over an account whose source has POP3 only: the maildrop into INBOX (RFC 1939).

Numbers of our own take the place of UIDs (`maildrop_numbers`). The maildrop is locked for the user
while we read it, so that a session lasts a slice and is given back when the user comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection
from twisted.internet.task import deferLater

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import Run, Stopped
from mailferry.copying.following import compared_with_brake, follow_deletions
from mailferry.copying.incomplete import evidence, incomplete_copies, keep_incomplete
from mailferry.copying.late_mail import without_twins
from mailferry.copying.lost_copies import Count, forget_lost_copies
from mailferry.copying.maildrop import Maildrop, MaildropHeads
from mailferry.copying.maildrop_names import Listed, list_maildrop
from mailferry.copying.maildrop_numbers import STRIKES, Numbers
from mailferry.copying.maildrop_session import NotNow, login_gap, maildrop_waits, open_maildrop
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.read_back import read_back
from mailferry.copying.rematch import rematch_target
from mailferry.copying.results import MaildropView, Mode
from mailferry.copying.settle import settle_intents
from mailferry.copying.sides import at_target
from mailferry.model.causes import Cause, Unavailable
from mailferry.model.mail import MailboxStatus, MessageFacts
from mailferry.plan.completeness import Evidence
from mailferry.plan.differences import Comparison, Differences, Held
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import mailboxes, maildrops, uidls
from mailferry.store.mailboxes import CopiedMailbox
from mailferry.store.uidls import FactsOf

_RECONNECTS = frozenset({Cause.SERVER_DOWN, Cause.PROTOCOL_ERROR})
LONGEST_PAUSE = 90.0
"""A session that broke is replaced within the pass when the source takes the next login so soon."""


async def copy_maildrop(run: Run) -> None:
    """Bring the target's INBOX up to date. Raises Refused, Unavailable or Stopped."""
    run.result.maildrop_asked = True
    waits = await maildrop_waits(run.register)
    if waits is not None:  # a target that is asked every few seconds for nothing is asked too often
        run.wait(waits)
        raise Stopped
    with at_target():
        target = await run.desk.endpoints.target_imap()
    run.at_cut_off(target.close)
    try:
        await _over_lost_sessions(run, target)
        await target.logout()
    finally:
        target.close()


async def _over_lost_sessions(run: Run, target: ImapClient) -> None:
    """Work in one session after the other while they break; what was on its way then goes alone."""
    work, lost = run.work(INBOX), 0
    while True:
        run.check()
        before = run.result.copied
        try:
            async with open_maildrop(run) as source:
                run.begin_slice(run.desk.limits.slice_seconds)
                await _MaildropPass(run, source, target).go()
            return
        except NotNow as later:
            run.wait(later.waits)
            raise Stopped from later
        except Unavailable as failure:
            work.connection_lost()
            lost = 1 if run.result.copied > before else lost + 1
            over = lost > run.desk.limits.lost_connections
            if over or target.closed or failure.cause not in _RECONNECTS:
                raise
            gap = await login_gap(run.register)
            if gap > LONGEST_PAUSE:
                raise
            run.check()
            await deferLater(run.desk.reactor, gap, lambda: None)


class _MaildropPass:
    """The steps of one session."""

    def __init__(self, run: Run, source: Pop3Client, target: ImapClient) -> None:
        self._run = run
        self._source = source
        self._target = target
        self._work = run.work(INBOX)
        self._mirror = run.request.mode is Mode.MIRROR

    async def go(self) -> None:
        """Take the steps in order."""
        run, account_id = self._run, self._run.request.account_id
        known, renumbered = await run.register.read(
            "maildrop",
            lambda conn: (
                uidls.facts(conn, account_id, FactsOf.SOURCE),
                maildrops.get(conn, account_id).renumbered,
            ),
        )
        listed = await list_maildrop(
            self._source, known, use_uidls=renumbered < STRIKES, in_time=self._first_half()
        )
        numbers = Numbers(run, FactsOf.SOURCE, known)
        box = await self._open(numbers, listed)
        if box.book.pending:
            await settle_intents(box)
        found = await numbers.recognise(box.source, box.book, listed)
        if found:
            await numbers.note_renumbering(known, listed, found)
            run.result.already += found
            box = replace(box, source=self._maildrop(numbers, listed))
        await self._bring_over(box, numbers, listed)
        self._tell_view(numbers, listed)
        if listed.whole:
            await numbers.forget_gone(box.book, listed)
        else:
            run.result.sliced = True

    def _first_half(self) -> Callable[[], bool]:
        """Naming messages leaves half of the slice for copying them."""
        run = self._run
        until = run.elapsed + run.desk.limits.slice_seconds / 2
        return lambda: run.elapsed < until

    async def _open(self, numbers: Numbers, listed: Listed) -> OpenMailbox:
        """Select INBOX at the target and open its books; copies are found again when its UIDs mean nothing."""
        run, account_id = self._run, self._run.request.account_id

        def ensure(conn: Connection) -> CopiedMailbox:
            return mailboxes.ensure(conn, account_id, INBOX, target_name=INBOX, subscribed=True)

        row = await run.register.write("map maildrop", ensure)
        with at_target():
            status = await self._target.select(INBOX)
        book = await open_book(run.register, row)
        was_imap = book.row.source_uidvalidity is not None  # the ledger's numbers are UIDs still
        await numbers.give(listed, above=max(book.source_uids(), default=0) if was_imap else 0)
        await book.note(source_uidvalidity=None)
        book.target_selected(status)
        others = await incomplete_copies(run, row, status.uidvalidity)
        box = OpenMailbox(
            run, self._work, self._maildrop(numbers, listed), self._target, book, status, others
        )
        if book.row.target_uidvalidity not in {None, status.uidvalidity}:
            await rematch_target(self._target, book, status, copies_wanted=self._mirror, source=box.source)
        await book.note(target_uidvalidity=status.uidvalidity)
        if self._mirror:
            await forget_lost_copies(box)
        return box

    def _maildrop(self, numbers: Numbers, listed: Listed) -> Maildrop:
        return Maildrop(self._source, _by_uid(numbers), listed.sizes, alone=True)

    async def _bring_over(self, box: OpenMailbox, numbers: Numbers, listed: Listed) -> None:
        """Copy what is new and let deletions follow."""
        count = Count(box)
        run, work, book = self._run, self._work, box.book
        listing = _listing(book, numbers, listed)
        compared = await self._compared(book, listing)
        await book.drop_skips(listing.listed)
        run.result.mailboxes = 1
        work.total, work.remaining = len(listing.listed), len(compared.new)
        work.known_skips = len(book.settled_skips() & listing.listed)
        self._saw(box, listed)
        box.count_octets(listing, compared.new)
        await run.note_totals()
        new: Sequence[MessageFacts] = compared.new
        if run.request.sweep and new:
            new = await without_twins(box, new)
        try:
            await BatchCopier(box).copy(new)
            await read_back(box, new)
        finally:
            box.count_octets(listing, compared.new)
            self._saw(box, listed)
        if listed.whole:
            heads = MaildropHeads(self._source, _by_uid(numbers))
            await keep_incomplete(box, heads, listing.listed, compared)
        if self._mirror and listed.whole:
            await self._follow(box, compared)
        await self._remember(box, count, len(compared.new))

    def _saw(self, box: OpenMailbox, listed: Listed) -> None:
        delivered = len(listed.names) if listed.whole else listed.announced
        seen = evidence(box.book, listed.announced, delivered)
        self._run.result.evidence = Evidence((seen,), listed.announced)

    async def _compared(self, book: MailboxBook, listing: Comparison) -> Differences:
        """Compare with the ledger, with one more brake than IMAP has.

        Some servers list no message again that was once retrieved. So when all that we copied is gone
        together and no session of ours deleted it, somebody must say that this is meant.
        """
        compared = await compared_with_brake(self._run, book, listing)
        gone = len(compared.vanished) - compared.excused
        approved = self._run.request.approved and book.held_before > 0
        if compared.held is None and 0 < len(book) <= gone and not approved:
            return replace(compared, held=Held.TOO_MANY)
        return compared

    async def _follow(self, box: OpenMailbox, compared: Differences) -> None:
        if compared.held is not None:
            self._run.result.held[INBOX] = (compared.held, len(compared.vanished))
        else:
            await follow_deletions(box, compared)
        await box.book.note(held_deletions=len(compared.vanished) if compared.held is not None else 0)

    async def _remember(self, box: OpenMailbox, count: Count, new: int) -> None:
        with at_target():
            after: MailboxStatus = await self._target.select(INBOX)
        uidnext = box.book.uidnext_seen(after.uidnext)
        await box.book.note(target_uidnext=uidnext, target_exists=count.to_remember(after, new))

    def _tell_view(self, numbers: Numbers, listed: Listed) -> None:
        inbox = {name: numbers.by_number[number] for number, name in listed.names.items()}
        self._run.result.maildrop = MaildropView(
            listed.uidls(), len(listed.names), inbox, unread=not listed.whole
        )


def _by_uid(numbers: Numbers) -> dict[int, int]:
    return {uid: number for number, uid in numbers.by_number.items()}


def _listing(book: MailboxBook, numbers: Numbers, listed: Listed) -> Comparison:
    """Compare the maildrop with the ledger; POP3 shows no flags, so that nothing is re-flagged."""
    keys = book.flags_keys()
    comparison = Comparison(keys, book.settled_skips())
    for number, uid in sorted(numbers.by_number.items()):
        comparison.feed(MessageFacts(uid, frozenset(), b"", listed.sizes.get(number)))
    return comparison
