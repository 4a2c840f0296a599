"""One pass over one account: prepare, leave out what did not change, work on the rest, tell.

Idempotent: it resumes from the ledger, whatever ended the pass before it. A mailbox that fails does
not stop the others; a lost connection is replaced a few times, then the pass ends with its cause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred

from mailferry.copying.book import MailboxBook, open_book
from mailferry.copying.desk import CopyDesk, Run, Stopped
from mailferry.copying.following import delete_copies, forget_copies
from mailferry.copying.mailbox import copy_mailbox
from mailferry.copying.pop3_pass import copy_maildrop
from mailferry.copying.preparing import MailboxJob, Prepared, prepare
from mailferry.copying.results import MailboxFailure, Mode, OnProgress, PassRequest, PassResult
from mailferry.copying.sides import Pair, at_target, open_pair
from mailferry.copying.unchanged import changed_jobs
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.observe import metrics
from mailferry.plan.differences import Held, excusable
from mailferry.store.mailboxes import CopiedMailbox

_RECONNECTS = frozenset({Cause.SERVER_DOWN, Cause.TARGET_DOWN, Cause.PROTOCOL_ERROR})
"""A session that broke is replaced; a server that throttles is left alone until the next pass."""
_ENDS_PASS = frozenset({Cause.TARGET_OVER_QUOTA, Cause.UIDVALIDITY_EQUAL})


async def run_pass(desk: CopyDesk, request: PassRequest, on_progress: OnProgress | None = None) -> PassResult:
    """Run one pass and tell what it did; what a server does or does not do is in the result.

    Raises LeaseLost when another copier has the account, StoreUnavailable when the store has gone.
    """
    run = Run(desk, request, on_progress)
    pool = _Pool(run)
    budget = request.budget_seconds
    cut_off = None if budget is None else desk.reactor.callLater(budget, _cut_off, run)
    try:
        mirror = request.mode is Mode.MIRROR
        if mirror:
            await run.acknowledged.read()
        await (pool.imap() if desk.endpoints.source_imap is not None else pool.pop3())
        if mirror and not run.result.failures:
            await run.acknowledged.drop_rest()
    except Stopped:
        pass
    except RemoteFailure as failure:
        if not run.result.overrun:
            run.result.cause = failure.cause
            run.result.cause_text = failure.text
            run.result.retry_after = failure.retry_after
    finally:
        if cut_off is not None and cut_off.active():
            cut_off.cancel()
        run.break_off()
        run.tell()
    run.result.verified = request.last and run.result.clean
    metrics.COPY_PASS_SECONDS.took(run.elapsed)
    return run.result


def _cut_off(run: Run) -> None:
    """The budget is used up: break everything off where it stands."""
    run.result.overrun = True
    run.stop()
    run.break_off()


class _Pool:
    """The connections of one pass: some pairs, each working on one mailbox after the other."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pairs: set[Pair] = set()
        self._opening: set[Deferred[Pair]] = set()
        self._queue: deque[MailboxJob] = deque()
        run.at_cut_off(self._close)

    # --- the two kinds of source

    async def imap(self) -> None:
        """Copy from IMAP, all mailboxes."""
        pair = await self._open()
        prepared, jobs = await self._prepared(pair)
        self._queue.extend(jobs)
        hands = min(self._run.desk.limits.connections, max(1, len(jobs)))
        await self._together([self._work(pair), *(self._work(None) for _ in range(hands - 1))])
        if self._run.request.mode is Mode.MIRROR and prepared.gone:
            await self._follow_gone(prepared.gone)
        for left in list(self._pairs):
            await left.leave()

    async def pop3(self) -> None:
        """Copy a maildrop into INBOX."""
        await copy_maildrop(self._run)

    async def _prepared(self, pair: Pair) -> tuple[Prepared, Sequence[MailboxJob]]:
        prepared = await prepare(self._run, pair)
        return prepared, await changed_jobs(self._run, pair, prepared.jobs)

    # --- connections

    async def _open(self) -> Pair:
        self._run.check()
        opening = ensureDeferred(open_pair(self._run.desk.endpoints))
        self._opening.add(opening)
        try:
            pair = await opening
        except CancelledError as error:
            raise Stopped from error
        finally:
            self._opening.discard(opening)
        self._pairs.add(pair)
        return pair

    def _drop(self, pair: Pair) -> None:
        pair.close()
        self._pairs.discard(pair)

    def _close(self) -> None:
        """Close what is open, and open no more."""
        for opening in list(self._opening):
            opening.cancel()
        for pair in list(self._pairs):
            self._drop(pair)

    # --- work

    async def _together(self, hands: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Let all hands work; when one fails the others end at their next step, then it is raised."""
        failures: list[BaseException] = []

        async def guarded(hand: Coroutine[Any, Any, None]) -> None:
            try:
                await hand
            except Stopped:
                pass
            except Exception as failure:  # loop edge: whatever it is, the other hands must stop first
                failures.append(failure)
                self._run.stop()

        await DeferredList([ensureDeferred(guarded(hand)) for hand in hands])
        if failures:
            raise failures[0]
        self._run.check()

    async def _work(self, pair: Pair | None) -> None:
        """Work on mailboxes until none is left. A further pair that cannot be opened is done without."""
        if pair is None:
            try:
                pair = await self._open()
            except RemoteFailure:
                return
        while self._queue and not self._run.stopped:
            pair = await self._one(pair, self._queue.popleft())

    async def _one(self, pair: Pair, job: MailboxJob) -> Pair:
        """Work on one mailbox over lost connections; return the pair that stands then."""
        work = self._run.work(job.source_name)
        lost = 0
        while True:
            before = self._run.result.copied
            try:
                if not pair.usable:
                    self._drop(pair)
                    pair = await self._open()
                await copy_mailbox(self._run, pair, job)
                return pair
            except Unavailable as failure:
                work.connection_lost()
                lost = 1 if self._run.result.copied > before else lost + 1
                if failure.cause not in _RECONNECTS or lost > self._run.desk.limits.lost_connections:
                    raise
                self._run.check()
                self._drop(pair)
            except Refused as failure:
                if failure.cause in _ENDS_PASS:
                    raise
                self._run.result.failures.append(MailboxFailure(job.source_name, failure.cause, failure.text))
                return pair

    # --- mailboxes that the source does not list any more

    async def _follow_gone(self, gone: Sequence[CopiedMailbox]) -> None:
        """Their messages vanished all at once: held until an administrator approves.

        Unless a session of ours deleted or renamed the mailbox.
        """
        pair = next(iter(self._pairs), None)
        if pair is None or not pair.usable:
            pair = await self._open()
        for row in gone:
            self._run.check()
            book = await open_book(self._run.register, row)
            excused = await self._excused(book)
            if len(book) and not excused and not self._run.request.approved:
                self._run.result.held[row.source_name] = (Held.EMPTY, len(book))
                await book.note(held_deletions=len(book))
                continue
            if len(book):
                await self._delete_all(pair, book)
            await book.note(gone=True, held_deletions=0)

    async def _excused(self, book: MailboxBook) -> bool:
        """Whether our own sessions saw all these deletions acknowledged."""
        acknowledged, name = self._run.acknowledged, book.source_name
        uids = [entry.source_uid for entry in book.entries()]
        wanted = 0 if book.row.held_deletions else excusable(uids)
        if wanted > acknowledged.free_for(name):
            await acknowledged.read_again(wait=not self._run.request.last)
        taken = min(wanted, acknowledged.free_for(name))
        acknowledged.take(name, taken)
        return taken == len(uids)

    async def _delete_all(self, pair: Pair, book: MailboxBook) -> None:
        """Delete the copies of a mailbox that is gone; where the target's is gone too, forget them."""
        uids = [entry.source_uid for entry in book.entries()]
        try:
            with at_target():
                status = await pair.target.select(book.target_name)
        except Refused:
            await forget_copies(self._run, book, uids)
            return
        if status.uidvalidity == book.row.target_uidvalidity:
            await delete_copies(self._run, pair.target, book, uids)
