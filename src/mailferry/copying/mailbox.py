"""One pass over one mailbox: list, compare with the ledger, copy what is new, let changes follow."""

from __future__ import annotations

from mailferry.copying.batches import BatchCopier
from mailferry.copying.book import open_book
from mailferry.copying.desk import Run
from mailferry.copying.following import compared_with_brake, follow_deletions, follow_flags
from mailferry.copying.late_mail import without_twins
from mailferry.copying.open_mailbox import OpenMailbox
from mailferry.copying.preparing import MailboxJob, require_other_uidvalidity
from mailferry.copying.results import Mode
from mailferry.copying.settle import rematch_source, rematch_target, settle_intents
from mailferry.copying.sides import Pair, at_target
from mailferry.copying.sources import ImapBodies
from mailferry.model.mail import MailboxStatus, MessageFacts
from mailferry.observe.crash_points import crash_point
from mailferry.plan.differences import Comparison, Differences
from mailferry.remote.imap_client import ImapClient


async def copy_mailbox(run: Run, pair: Pair, job: MailboxJob) -> None:
    """Bring one mailbox up to date; what was done and seen goes into the run's result.

    Raises Refused or Unavailable for what ends the work on it, Stopped at the pass's end. May be
    called again for the same mailbox after a lost connection.
    """
    run.check()
    source = await pair.source.select(job.source_name, read_only=True)
    with at_target():
        target = await pair.target.select(job.row.target_name)
    book = await open_book(run.register, job.row)
    target = await require_other_uidvalidity(run, pair, book.row, source, target)
    book.target_selected(target)
    work = run.work(job.source_name)
    box = OpenMailbox(run, work, ImapBodies(pair.source), pair.target, book, target)
    await _MailboxPass(box, pair.source, source).go()


class _MailboxPass:
    """The steps of one pass over a mailbox that is selected on both sides."""

    def __init__(self, box: OpenMailbox, client: ImapClient, source: MailboxStatus) -> None:
        self._box = box
        self._run = box.run
        self._work = box.work
        self._book = box.book
        self._client = client
        self._source = source
        self._target = box.status
        self._mirror = box.run.request.mode is Mode.MIRROR

    async def go(self) -> None:
        """Take the steps in order."""
        await self._same_numbers()
        if self._book.pending:
            await settle_intents(self._box)
        if self._mirror:
            await self._forget_lost_copies()
        listing = await self._listing()
        listed = listing.listed
        compared = await compared_with_brake(self._run, self._book, listing)
        await self._book.drop_skips(listed)
        self._work.total = len(listed)
        self._work.remaining = len(compared.new)
        self._work.known_skips = len(self._book.settled_skips() & listed)
        self._box.count_octets(listing, compared.new)
        self._run.tell()
        if compared.new:
            await self._run.note_totals()
        try:
            await self._copy(compared)
        finally:
            self._box.count_octets(listing, compared.new)
            self._run.saw(self._book.source_name, self._source.exists, len(listed), self._book.header_only)
        await self._follow(compared)
        crash_point("mailbox-finished")
        await self._remember(compared)

    # --- are the numbers of both sides still those of the ledger?

    async def _same_numbers(self) -> None:
        """Find copies again whose UIDs lost their meaning on either side."""
        row, here, there = self._book.row, self._source.uidvalidity, self._target.uidvalidity
        if row.target_uidvalidity not in {None, there}:
            await rematch_target(self._box.target, self._book, self._target, copies_wanted=self._mirror)
        if row.source_uidvalidity not in {None, here}:
            everything = Comparison({})
            await self._read_listing(everything)
            await rematch_source(self._box, here, everything.listed)
            lost = sum(1 for entry in self._book.entries() if entry.source_uid not in everything.listed)
            await self._book.note(held_deletions=max(lost, row.held_deletions))
        if (row.source_uidvalidity, row.target_uidvalidity) != (here, there):
            await self._book.note(source_uidvalidity=here, target_uidvalidity=there)

    async def _forget_lost_copies(self) -> None:
        """Before the flip a copy that somebody removed at the target is copied again: the source wins."""
        row, there = self._book.row, self._target
        as_left = there.uidnext is not None and (row.target_exists, row.target_uidnext) == (
            there.exists,
            there.uidnext,
        )
        if as_left or not len(self._book):
            return
        alive: set[int] = set()
        if there.exists:
            with at_target():
                await self._box.target.fetch_flags(b"1:*", lambda uid, _flags: alive.add(uid))
        await self._book.forget(self._book.without_copy(alive))

    # --- the source's listing

    async def _listing(self) -> Comparison:
        comparison = Comparison(self._book.flags_keys(), self._book.settled_skips())
        await self._read_listing(comparison)
        return comparison

    async def _read_listing(self, comparison: Comparison) -> None:
        """List the mailbox; ask twice when less came than SELECT announced (omission is not absence)."""
        for _ in range(2):
            if self._source.exists:
                await self._client.fetch_facts(b"1:*", comparison.feed)
            if len(comparison.listed) >= self._source.exists:
                return
            self._source = await self._client.select(self._book.source_name, read_only=True)

    # --- what follows from it

    async def _copy(self, compared: Differences) -> None:
        new: list[MessageFacts] = list(compared.new)
        if self._run.request.sweep and new:
            new = await without_twins(self._box, new)
        if self._run.request.newest_first:
            new.reverse()
        await BatchCopier(self._box).copy(new)

    async def _follow(self, compared: Differences) -> None:
        if not self._mirror:
            return
        await follow_flags(self._box, compared.reflagged)
        if compared.held is not None:
            self._run.result.held[self._book.source_name] = (compared.held, len(compared.vanished))
            return
        await follow_deletions(self._box, compared.vanished)

    async def _remember(self, compared: Differences) -> None:
        """Write down what was seen, so that a pass over an unchanged mailbox need not list it."""
        with at_target():
            after = await self._box.target.select(self._book.target_name)
        held = len(compared.vanished) if compared.held is not None and self._mirror else 0
        whole = self._work.remaining == 0
        await self._book.note(
            source_uidnext=self._source.uidnext if whole else None,
            source_highestmodseq=self._source.highestmodseq if whole else None,
            source_exists=self._source.exists if whole else None,
            source_octets=self._work.octets,
            target_uidnext=after.uidnext,
            target_highestmodseq=after.highestmodseq,
            target_exists=after.exists,
            held_deletions=held,
        )
