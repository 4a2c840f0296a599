"""What is done with one leased account: by its phase a round of passes, a cutover, or a sweep.

Everything here ends by giving the account back with the time of its next turn; nothing is kept in
memory between two turns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

from twisted.internet import defer, task

from mailferry.copying.account import run_pass
from mailferry.copying.cutover import Cutover, Ended, LastPass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.early_switch import EarlySwitch
from mailferry.copying.maildrop_session import login_gap, maildrop_waits
from mailferry.copying.register import Register
from mailferry.copying.results import Mode, PassRequest, PassResult, Waits
from mailferry.copying.sides import Endpoints
from mailferry.copying.sweep import sweep
from mailferry.copying.turn_notes import WAITS, TurnNotes
from mailferry.copying.uidls import UidlState, learn_uidls
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause, RemoteFailure
from mailferry.observe.log import Log
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.trust import Trust
from mailferry.plan.completeness import Grade
from mailferry.plan.cutover import PassFigures, Step, next_step
from mailferry.plan.mailbox_mapping import shown_name
from mailferry.plan.retry import RETRIED_IN, after_failure
from mailferry.plan.sweep_times import seconds_to_next_sweep
from mailferry.store import accounts, leases, samples
from mailferry.store.accounts import Account, AccountChanges
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.leases import Lease

Client = TypeVar("Client")

SOON_SECONDS = 15.0
"""The next try at a cutover that met no quiet moment."""
NOT_QUIET = Waits(SOON_SECONDS, "the user's sessions are at work: the account moves in a quiet moment")
MAILDROP_PAUSE_SECONDS = 2.0
"""Between two slices of a maildrop, for the user's own programs."""
RETRY_SLICE_SECONDS = 30.0
"""A failed account that works again is shown as moving no later than this."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all accounts' work shares."""

    database: Database
    keeper: PasswordKeeper
    reactor: Any
    log: Log
    flips_file: Path
    freeze_budget: float
    pass_interval: float
    turn_seconds: float = 600.0
    """A pass of an account that others wait behind ends after this time and goes on in its next turn."""
    opens_with_password: bool = False
    """Whether mailboxes at the target open with their user's own password only."""
    early_switch_after: float | None = None
    """A source that has been gone for so many seconds is left to itself; None: never."""


class AccountWork:
    """One turn of one account. `desk` is made for this account; `lease` tells the lease as renewed."""

    def __init__(
        self,
        tools: Tools,
        account: Account,
        domain: Domain,
        desk: CopyDesk,
        lease: Callable[[], Lease],
    ) -> None:
        self._tools = tools
        self._account = account
        self._domain = domain
        self._answered = False
        """Whether the source let us in during this turn."""
        self._desk = replace(desk, endpoints=self._noting(desk.endpoints))
        self._lease = lease
        self._log = tools.log.bind(session=f"copy{account.id}")
        self._notes = TurnNotes(tools.database, domain.name, lease, self._log)

    async def run(self) -> float | None:
        """Do what is due; return the seconds until the next turn, None for none by itself.

        Raises LeaseLost when another copier took over, StoreUnavailable when nothing can be noted.
        """
        phase = self._account.phase
        if phase in RETRIED_IN:
            return await self._retry()
        if phase is Phase.IDLE:
            return await self._begin_imported()
        if phase is Phase.PRECOPY:
            return await self._precopy()
        if phase is Phase.BACKFILL:
            return await self._backfill()
        if phase is Phase.SWITCHED:
            return await self._late_mail()
        return None

    async def _retry(self) -> float | None:
        """Try a failed account again: it counts as failed until a pass, or a slice of one, went well."""
        before_flip = self._account.phase is Phase.BLOCKED
        if before_flip and self._tools.opens_with_password:
            trust = await self._tools.keeper.push_and_prove(self._account, self._domain)
            if not trust.in_place:
                return await self._failed(trust.cause, trust.text, None)
        request = self._request(Mode.MIRROR if before_flip else Mode.ADD_ONLY)
        seconds = min(self._tools.turn_seconds, RETRY_SLICE_SECONDS)
        result = await self._pass(replace(request, slice_seconds=seconds))
        if result.cause is not None:
            return await self._failed(result.cause, result.cause_text, result.retry_after)
        if result.waits is not None and not result.mailboxes:  # it is not known yet
            await self._notes.put_off(self._account, result.waits.seconds)
            return result.waits.seconds
        await self._apply(Event.RETRIED)
        return 0.0

    # --- before the flip

    async def _begin_imported(self) -> float | None:
        """Start the copy of an account whose password an import named: the source must accept it first.

        Nothing is pushed for it and nothing is switched before its user has logged in.
        """
        ends = self._desk.endpoints
        opening = ends.source_imap or ends.source_pop3
        assert opening is not None, "the store admits no domain without a source"
        try:
            client = await opening()
        except RemoteFailure as failure:
            return await self._failed(failure.cause, failure.text, failure.retry_after)
        client.close()
        await self._apply(Event.SOURCE_ACCEPTED, trigger=Trigger.IMPORT)
        return 0.0

    async def _precopy(self) -> float | None:
        round_number = 0
        poll = await self._still_waits()
        if poll is not None:
            return poll
        if self._tools.opens_with_password:
            trust = await self._tools.keeper.push_and_prove(self._account, self._domain)
            if not trust.in_place:  # new mail is visible nowhere meanwhile: somebody must know at once
                return await self._failed(trust.cause, trust.text, None)
        while True:
            round_number += 1
            result = await self._pass(self._request(Mode.MIRROR))
            if result.cause is not None:
                return await self._failed(result.cause, result.cause_text, result.retry_after)
            early = await self._ended_early(result)
            if early is not None:
                return early
            uidls = await self._uidls(result)
            trust = await self._tools.keeper.push_and_prove(self._account, self._domain)
            figures = self._figures(result, uidls, round_number, proved=trust.in_place)
            step = next_step(
                figures,
                freeze_budget=self._tools.freeze_budget,
                overruns=self._account.freeze_overruns,
            )
            if step is Step.GIVE_UP:
                return await self._failed(Cause.FREEZE_TOO_LONG, "three freezes were too long", None)
            if step is Step.CUT_OVER:
                return await self._cut_over()
            if step is Step.HOLD:
                again = await self._maildrop_again(uidls, result) if result.clean else None
                if again is not None:
                    return again
                cause, text = self._why_held(result, uidls, figures, trust)
                await self._notes.waiting(self._account, cause, text)
                return self._tools.pass_interval
            await self._reload()
            if self._account.phase is not Phase.PRECOPY:
                return 0.0

    def _figures(
        self, result: PassResult, uidls: UidlState, round_number: int, *, proved: bool
    ) -> PassFigures:
        return PassFigures(
            round_number=round_number,
            seconds=result.seconds,
            copied=result.copied,
            clean=result.clean,
            deletions_held=result.deletions_wait,
            quality_good=self._believed(result),
            uidls_ready=uidls.ready or not self._account.used_pop3,
            password_proved=proved,
        )

    def _believed(self, result: PassResult) -> bool:
        """Whether the source seems to show everything, or an administrator said that this is all."""
        return self._account.approved_at is not None or result.completeness.grade is Grade.GOOD

    @staticmethod
    def _why_held(
        result: PassResult, uidls: UidlState, figures: PassFigures, trust: Trust
    ) -> tuple[Cause, str]:
        """Name what the account waits for, so that somebody can do something about it."""
        if not figures.clean:
            failed = "; ".join(
                f"{shown_name(f.name)}: {f.cause.value}: {f.text}" for f in result.failures[:3]
            )
            return Cause.INCOMPLETE, failed or f"{result.remaining} messages have no copy yet"
        if result.held:
            return Cause.DELETIONS_HELD, f"{result.held_deletions} deletions wait for account approve"
        if figures.deletions_held:
            text = f"{result.waiting_copies} messages left INBOX: a look at POP3, or account approve, tells if for ever"
            return Cause.DELETIONS_HELD, text
        if not figures.quality_good:
            return _doubted(result)
        if not figures.password_proved:
            return trust.cause, trust.text
        text = f"{uidls.unpaired} messages of the POP3 maildrop have no pair, {uidls.waiting} wait"
        return Cause.UIDL_UNPAIRED, text

    async def _cut_over(self) -> float | None:
        await self._until_the_maildrop_opens()
        await self._reload()
        if self._account.phase is not Phase.PRECOPY:
            return 0.0
        cutover = Cutover(
            self._tools.database,
            reactor=self._tools.reactor,
            log=self._log,
            flips_file=self._tools.flips_file,
            freeze_budget=self._tools.freeze_budget,
            last_pass=self._last_pass,
        )
        ended = await cutover.attempt(self._account)
        if ended is Ended.FLIPPED:
            return seconds_to_next_sweep(0.0)
        if ended is Ended.NOT_QUIET:
            return await self._notes.paused(self._account, NOT_QUIET)
        return SOON_SECONDS

    async def _until_the_maildrop_opens(self) -> None:
        """A source with POP3 alone may want a pause before the login of the last pass: not inside the freeze."""
        if self._desk.endpoints.source_imap is not None:
            return
        gap = await login_gap(Register(self._tools.database, self._account.id, None))
        if gap:
            await task.deferLater(self._tools.reactor, gap, lambda: None)

    async def _last_pass(self, budget: float) -> LastPass:
        request = self._request(Mode.MIRROR)
        result = await self._pass(replace(request, last=True, budget_seconds=budget, slice_seconds=None))
        if not result.clean:
            return LastPass(result, uidls_ready=False)
        uidls = await self._uidls(result, seconds=max(budget - result.seconds, 0.1))
        ready = uidls.ready or not self._account.used_pop3
        return LastPass(result, uidls_ready=ready, believed=self._believed(result))

    # --- from the flip on

    async def _backfill(self) -> float | None:
        result = await self._pass(self._request(Mode.ADD_ONLY))
        if result.cause is not None:
            return await self._failed(result.cause, result.cause_text, result.retry_after)
        early = await self._ended_early(result)
        if early is not None:
            return early
        if result.clean and not self._believed(result):
            await self._notes.waiting(self._account, *_doubted(result))
            return self._tools.pass_interval
        uidls = await self._uidls(result)
        if result.clean and (uidls.ready or not self._account.used_pop3):
            now = await self._tools.database.read("now", db_now)
            await self._apply(Event.HISTORY_COMPLETE, next_due_at=now)
            return seconds_to_next_sweep(0.0)
        again = await self._maildrop_again(uidls, result) if result.clean else None
        return self._tools.pass_interval if again is None else again

    async def _late_mail(self) -> float | None:
        """Fetch late mail while the window is open; a failure is a warning and never turns *done* into *failed*."""
        database, account = self._tools.database, self._account
        began = await database.read("now", db_now)
        if not self._domain.window_open(began):
            return None
        pause = seconds_to_next_sweep(began - (account.finished_at or began))
        result = await sweep(self._desk, account.id, lease=self._lease())
        if result.cause is not None:
            self._log.warning("late mail was not fetched", why=f"{result.cause}: {result.cause_text}")
            delay = after_failure(result.cause, failures=1, named_delay=result.retry_after).delay
            return None if delay is None else max(delay, pause)
        early = await self._ended_early(result)
        if early is not None:
            return early

        def swept(conn: Any) -> None:
            leases.hold(conn, self._lease())
            accounts.note(conn, account.id, sweep_asked_at=None, swept_at=db_now(conn))
            if result.copied:
                samples.add(conn, self._domain.name, late=result.copied)

        self._log.info("late mail", messages=result.copied, already_there=result.already)
        await database.run("swept", swept)
        return pause

    # --- common steps

    def _request(self, mode: Mode) -> PassRequest:
        """Return what a pass is asked for: from the flip on the newest mail first, as nothing is taken away."""
        mirror = mode is Mode.MIRROR
        return PassRequest(
            self._account.id,
            mode,
            approved=mirror and self._account.approved_at is not None,
            newest_first=not mirror,
            slice_seconds=self._tools.turn_seconds,
            lease=self._lease(),
        )

    async def _uidls(self, result: PassResult, seconds: float | None = None) -> UidlState:
        """Learn UIDLs; a server that does not let us leaves the map not ready, and the pass as it is."""
        learning = defer.Deferred.fromCoroutine(
            learn_uidls(
                self._desk,
                self._account.id,
                result.maildrop,
                asked=result.maildrop_asked,
                lease=self._lease(),
                seconds=seconds,
            )
        )
        if seconds is not None:
            learning.addTimeout(seconds, self._tools.reactor)
        try:
            return await learning
        except RemoteFailure as failure:
            self._log.info("UIDLs are not learnt yet", cause=failure.cause.value, why=failure.text)
        except defer.TimeoutError:
            self._log.info("UIDLs are not learnt yet", why="no time left in the freeze")
        return UidlState(unread=True)

    async def _pass(self, request: PassRequest) -> PassResult:
        result = await run_pass(self._desk, request)
        await self._notes.passed(self._account, request, result)
        return result

    async def _ended_early(self, result: PassResult) -> float | None:
        """Return when the turn after a pass that did not come to its end is; None when it came to its end."""
        if result.waits is not None:
            return await self._notes.paused(self._account, result.waits)
        if result.sliced:
            return 0.0 if self._desk.endpoints.source_imap is not None else MAILDROP_PAUSE_SECONDS
        return None

    async def _maildrop_again(self, uidls: UidlState, result: PassResult) -> float | None:
        """Return when to go on with a maildrop that was not looked through; None when there is no such thing."""
        unread = uidls.unread and self._account.used_pop3
        if not unread and not result.waiting_copies:
            return None
        waits = await maildrop_waits(Register(self._tools.database, self._account.id, None))
        if waits is None:
            return MAILDROP_PAUSE_SECONDS if unread else None
        return min(await self._notes.paused(self._account, waits), self._tools.pass_interval)

    async def _still_waits(self) -> float | None:
        """Return when to look again while all that is missing is a maildrop that the user has just now.

        Asking the store costs the source nothing; a pass, for what arrives meanwhile, comes in its own time.
        """
        account, database = self._account, self._tools.database
        if account.last_result != WAITS or account.last_run_ended_at is None:
            return None
        waits = await maildrop_waits(Register(database, account.id, None))
        left = account.last_run_ended_at + self._tools.pass_interval - await database.read("now", db_now)
        return None if waits is None or left <= 0 else min(waits.seconds, left)

    async def _failed(self, cause: Cause, text: str, retry_after: float | None) -> float | None:
        wait = await self._notes.failed(self._account, cause, text, retry_after)
        tools = self._tools
        early = EarlySwitch(
            tools.database, tools.keeper, tools.reactor, self._log, tools.flips_file, tools.early_switch_after
        )
        before_flip = self._account.phase in {Phase.PRECOPY, Phase.BLOCKED}
        if before_flip and await early.consider(
            self._account, self._domain, self._lease, cause=cause, answered=self._answered
        ):
            return 0.0
        return wait

    def _noting(self, ends: Endpoints) -> Endpoints:
        """Return the same endpoints, but we are told when a session at the source was opened."""

        def noting(opening: Callable[[], Awaitable[Client]]) -> Callable[[], Awaitable[Client]]:
            async def opened() -> Client:
                client = await opening()
                self._answered = True
                return client

            return opened

        return replace(
            ends,
            source_imap=ends.source_imap and noting(ends.source_imap),
            source_pop3=ends.source_pop3 and noting(ends.source_pop3),
        )

    async def _apply(self, event: Event, **changes: Unpack[AccountChanges]) -> None:
        account = self._account

        def apply(conn: Any) -> None:
            leases.hold(conn, self._lease())
            accounts.apply(conn, account.id, event, epoch=account.epoch, **changes)

        await self._tools.database.run(event.value, apply)
        await self._reload()

    async def _reload(self) -> None:
        account_id = self._account.id
        self._account = await self._tools.database.read("reload", lambda conn: accounts.get(conn, account_id))


def _doubted(result: PassResult) -> tuple[Cause, str]:
    """Name what keeps an account waiting whose copy is as whole as both hosts let it be."""
    return result.completeness.cause, "; ".join(result.completeness.details)
