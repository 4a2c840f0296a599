"""One pass over one account: prepare, leave out what did not change, work on the rest, tell.

Idempotent: it resumes from the ledger, whatever ended the pass before it. A mailbox that fails does
not stop the others; a lost connection is replaced a few times, then the pass ends with its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mailferry.copying.courtesy import USER_FIRST
from mailferry.copying.desk import CopyDesk, Run, Stopped
from mailferry.copying.gone_mailboxes import follow_gone, note_gone
from mailferry.copying.left_behind import note_left_behind
from mailferry.copying.mailbox import copy_mailbox
from mailferry.copying.mailbox_refusals import nothing_opens
from mailferry.copying.maildrop_look import look_at_maildrop
from mailferry.copying.moves import Departures, look_for_departures
from mailferry.copying.pairs import Pairs, Step
from mailferry.copying.pop3_pass import copy_maildrop
from mailferry.copying.preparing import MailboxJob, Prepared, prepare
from mailferry.copying.results import Mode, OnProgress, PassRequest, PassResult
from mailferry.copying.sides import Pair
from mailferry.copying.unchanged import Changed, changed_jobs
from mailferry.copying.view_window import note_window
from mailferry.copying.waiting_copies import note_waiting
from mailferry.model.access import Protocol
from mailferry.model.causes import RemoteFailure
from mailferry.observe import metrics
from mailferry.store.remarks import RemarkKind


async def run_pass(desk: CopyDesk, request: PassRequest, on_progress: OnProgress | None = None) -> PassResult:
    """Run one pass and tell what it did; what a server does or does not do is in the result.

    Raises LeaseLost when another copier has the account, StoreUnavailable when the store has gone.
    """
    run = Run(desk, request, on_progress)
    mirror = request.mode is Mode.MIRROR
    imap = _ImapPass(run) if desk.endpoints.source_imap is not None else None
    budget = request.budget_seconds
    cut_off = None if budget is None else desk.reactor.callLater(budget, _cut_off, run)
    try:
        await run.remarks.read()
        if mirror:
            await run.acknowledged.read()
            await run.bypass.begin()
        if request.slice_seconds is not None:
            run.begin_slice(request.slice_seconds)
        with desk.courtesy.holding(Protocol.IMAP, partial(run.leave, USER_FIRST)):
            await (imap.go() if imap is not None else copy_maildrop(run))
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
    if mirror:
        await run.bypass.write(whole=run.result.complete)
    await note_window(run)
    await note_left_behind(run)
    await note_waiting(run)
    await _remark(run)
    run.result.verified = request.last and run.result.clean and not run.result.unsettled
    metrics.COPY_PASS_SECONDS.took(run.elapsed)
    return run.result


def _cut_off(run: Run) -> None:
    """The budget is used up: break everything off where it stands."""
    run.result.overrun = True
    run.stop()
    run.break_off()


async def _remark(run: Run) -> None:
    """Write down what the pass found odd, and take back what is so no longer."""
    for seen in run.result.evidence.mailboxes:
        if seen.delivered < seen.exists:
            text = f"{seen.exists} announced, {seen.delivered} listed"
            missing = seen.exists - seen.delivered
            run.remarks.note(RemarkKind.WITHHELD, seen.name, number=missing, detail=text)
        else:
            run.remarks.over(RemarkKind.WITHHELD, seen.name)
    if run.result.doubled > run.result.doubles_removed:
        left = run.result.doubled - run.result.doubles_removed
        run.remarks.note(RemarkKind.DOUBLED, number=left, add=True)
    await run.remarks.write()


class _ImapPass:
    """The rounds of a pass over an account whose source has IMAP."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pairs = Pairs(run)
        self._departures = Departures()

    async def go(self) -> None:
        """Copy, move and delete in all mailboxes."""
        pair = await self._pairs.one()
        prepared = await prepare(self._run, pair)
        changed = await changed_jobs(self._run, pair, prepared.jobs)
        if changed.gained:
            await note_gone(self._run, pair, prepared.gone, self._departures)
        self._pairs.rest(pair)
        losers = await self._losers(changed)
        for jobs, losing in ((changed.others(losers), False), (losers, True)):
            await self._pairs.round(jobs, self._copying(keep_vanished=losing))
        if losers:
            await self._pairs.round(losers, self._copying(keep_vanished=False))
        nothing_opens(self._run, len(prepared.jobs))
        await self._gone(prepared)
        if self._run.desk.endpoints.source_pop3 is not None:
            pair = await self._pairs.one()
            await look_at_maildrop(self._run, pair)
            self._pairs.rest(pair)
        await self._pairs.leave()

    async def _losers(self, changed: Changed) -> Sequence[MailboxJob]:
        """Look where messages left, when some have turned up as well: return the mailboxes that lost some."""
        losers = changed.may_have_lost
        if not changed.gained or not losers:
            return ()
        await self._pairs.round(losers, self._looking)
        elsewhere = any(job not in losers for job in changed.gained)
        if not elsewhere and not self._departures.expected:
            self._departures.forget()
        return losers if self._departures else ()

    async def _looking(self, pair: Pair, job: MailboxJob) -> None:
        await look_for_departures(self._run, pair, job, self._departures)

    def _copying(self, *, keep_vanished: bool) -> Step:
        async def step(pair: Pair, job: MailboxJob) -> None:
            await copy_mailbox(self._run, pair, job, self._departures, keep_vanished=keep_vanished)

        return step

    async def _gone(self, prepared: Prepared) -> None:
        if self._run.request.mode is not Mode.MIRROR or not prepared.gone:
            return
        pair = await self._pairs.one()
        await follow_gone(self._run, pair, prepared.gone)
        self._pairs.rest(pair)
