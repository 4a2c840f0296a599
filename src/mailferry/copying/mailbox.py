"""One pass over one mailbox: list, compare with the ledger, copy what is new, let changes follow."""

from __future__ import annotations

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import open_book
from mailferry.copying.desk import Run
from mailferry.copying.following import compared_with_brake, follow_deletions, follow_flags, note_held
from mailferry.copying.hidden_mail import without_those_over_pop3
from mailferry.copying.incomplete import evidence, incomplete_copies, keep_incomplete
from mailferry.copying.late_mail import without_twins
from mailferry.copying.listing import SourceListing
from mailferry.copying.lost_copies import Count, forget_lost_copies
from mailferry.copying.mailbox_refusals import CannotOpen, opened
from mailferry.copying.moves import Departures, without_moved
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.preparing import MailboxJob, require_other_uidvalidity
from mailferry.copying.read_back import read_back
from mailferry.copying.rematch import rematch_source, rematch_target, source_counts_anew, target_counts_anew
from mailferry.copying.results import Mode
from mailferry.copying.settle import settle_intents
from mailferry.copying.sides import Pair, at_target
from mailferry.copying.sources import ImapBodies
from mailferry.copying.view_window import note_view
from mailferry.model.causes import Refused
from mailferry.model.mail import MailboxStatus, MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import Comparison, Differences
from mailferry.plan.mailbox_mapping import INBOX
from mailferry.remote.imap_client import ImapClient


async def copy_mailbox(
    run: Run, pair: Pair, job: MailboxJob, departures: Departures, *, keep_vanished: bool = False
) -> None:
    """Bring one mailbox up to date; what was done and seen goes into the run's result.

    `departures` left other mailboxes in this pass. With `keep_vanished` nothing is deleted yet, because
    another mailbox may still turn out to have it: call it again without. Raises CannotOpen, Refused or
    Unavailable for what ends the work on it, Stopped at the pass's end. May be called again for the
    same mailbox after a lost connection.
    """
    run.check()
    try:
        source = await pair.source.select(job.source_name, read_only=True)
    except Refused as refusal:
        raise CannotOpen(refusal) from refusal
    opened(run, job)
    with at_target():
        target = await pair.target.select(job.row.target_name)
    book = await open_book(run.register, job.row)
    target = await require_other_uidvalidity(run, pair, book.row, source, target)
    book.target_selected(target)
    work = run.work(job.source_name)
    others = await incomplete_copies(run, job.row, target.uidvalidity)
    box = OpenMailbox(run, work, ImapBodies(pair.source), pair.target, book, target, others)
    await _MailboxPass(box, pair.source, source, departures, keep_vanished=keep_vanished).go()


class _MailboxPass:
    """The steps of one pass over a mailbox that is selected on both sides."""

    def __init__(
        self,
        box: OpenMailbox,
        client: ImapClient,
        source: MailboxStatus,
        departures: Departures,
        *,
        keep_vanished: bool,
    ) -> None:
        self._box = box
        self._run = box.run
        self._work = box.work
        self._book = box.book
        self._client = client
        self._listing = SourceListing(client, box.book, source)
        self._modseq = source.highestmodseq
        """From before the listing: what changed meanwhile is listed again by the next pass."""
        self._departures = departures
        self._keep_vanished = keep_vanished
        self._mirror = box.run.request.mode is Mode.MIRROR

    async def go(self) -> None:
        """Take the steps in order."""
        await self._same_numbers()
        if self._book.pending:
            await settle_intents(self._box)
        if self._mirror:
            await forget_lost_copies(self._box)
        count = Count(self._box)
        listing = await self._listing.compare()
        listed = listing.listed
        if self._keep_vanished:
            compared = listing.result()
        else:
            compared = await compared_with_brake(self._run, self._book, listing)
        await self._book.drop_skips(listed)
        self._work.total = len(listed)
        self._work.remaining = len(compared.new)
        self._work.known_skips = len(self._book.settled_skips() & listed)
        self._box.count_octets(listing, compared.new)
        self._run.tell()
        status = self._listing.status
        await note_view(self._box, compared.new, status.exists, status.uidnext)
        if compared.new:
            await self._run.note_totals()
        try:
            await self._copy(compared)
        finally:
            self._box.count_octets(listing, compared.new)
            self._saw(len(listed))
        if self._keep_vanished:
            return
        await keep_incomplete(self._box, self._client, listed, compared)
        await self._follow(compared)
        crash_point("mailbox-finished")
        await self._remember(compared, count)

    # --- are the numbers of both sides still those of the ledger?

    async def _same_numbers(self) -> None:
        """Find copies again whose UIDs lost their meaning on either side."""
        box, row = self._box, self._book.row
        here, there = self._listing.status.uidvalidity, box.status.uidvalidity
        if row.target_uidvalidity not in {None, there} or await target_counts_anew(box):
            await rematch_target(
                box.target, self._book, box.status, copies_wanted=self._mirror, source=box.source
            )
        # books without UIDVALIDITY count in the numbers of a maildrop: the source had POP3 only before
        renumbered = row.source_uidvalidity != here and (
            row.source_uidvalidity is not None or len(self._book) or self._book.pending
        )
        if renumbered or await source_counts_anew(box, self._listing.status):
            everything = Comparison({})
            await self._listing.read(everything)
            await rematch_source(box, here, everything.listed)
            lost = sum(1 for uid in self._book.source_uids() if uid not in everything.listed)
            await self._book.note(
                held_deletions=max(lost, row.held_deletions),
                source_uidnext=None,  # what was remembered of the listing counted in the old numbers
                source_highestmodseq=None,
                source_exists=None,
            )
        if (row.source_uidvalidity, row.target_uidvalidity) != (here, there):
            await self._book.note(source_uidvalidity=here, target_uidvalidity=there)

    def _saw(self, delivered: int) -> None:
        self._run.saw(evidence(self._book, self._listing.status.exists, delivered))

    # --- what follows from the listing

    async def _copy(self, compared: Differences) -> None:
        new: list[MessageFacts] = await without_moved(self._box, compared.new, self._departures)
        new = await without_those_over_pop3(self._box, new)
        if self._run.request.sweep and new:
            new = await without_twins(self._box, new)
        if self._run.request.newest_first:
            new.reverse()
        await BatchCopier(self._box).copy(new)
        await read_back(self._box, new)

    async def _follow(self, compared: Differences) -> None:
        if not self._mirror:
            return
        await follow_flags(self._box, compared.reflagged)
        if compared.held is not None:
            note_held(self._run, self._book, compared)
            self._run.result.held[self._book.source_name] = (compared.held, len(compared.vanished))
            return
        await follow_deletions(self._box, compared)

    async def _remember(self, compared: Differences, count: Count) -> None:
        """Write down what was seen, so that a pass over an unchanged mailbox need not list it."""
        with at_target():
            after = await self._box.target.select(self._book.target_name)
        held = len(compared.vanished) if compared.held is not None and self._mirror else 0
        source = self._listing.status
        whole = self._work.remaining == 0
        waits = bool(self._run.left_inbox.uids) and self._book.source_name.upper() == INBOX
        await self._book.note(
            source_uidnext=source.uidnext if whole else None,
            source_highestmodseq=self._modseq if whole and not waits else None,  # None: it is listed again
            source_exists=source.exists if whole else None,
            source_octets=self._work.octets,
            target_uidnext=self._book.uidnext_seen(after.uidnext),
            target_highestmodseq=after.highestmodseq,
            target_exists=count.to_remember(after, len(compared.new)),
            held_deletions=held,
        )
