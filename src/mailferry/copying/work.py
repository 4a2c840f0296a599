"""What is done with one leased account: by its phase a round of passes, a cutover, or a sweep.

Everything here ends by giving the account back with the time of its next turn; nothing is kept in
memory between two turns.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import defer

from mailferry.copying.account import run_pass
from mailferry.copying.cutover import Cutover, Ended, LastPass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import Mode, PassRequest, PassResult
from mailferry.copying.sweep import sweep
from mailferry.copying.uidls import UidlState, learn_uidls
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause, RemoteFailure
from mailferry.observe.log import Log
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.completeness import Grade
from mailferry.plan.cutover import PassFigures, Step, next_step
from mailferry.plan.retry import after_failure
from mailferry.store import accounts, leases, samples
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.leases import Lease

SOON_SECONDS = 15.0
"""The next try at a cutover that met no quiet moment."""

SECOND_LISTING_SECONDS = 600.0
"""After the flip all source mailboxes are listed once more."""


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
        self._desk = desk
        self._lease = lease
        self._log = tools.log.bind(session=f"copy{account.id}")

    async def run(self) -> float | None:
        """Do what is due; return the seconds until the next turn, None for none by itself.

        Raises LeaseLost when another copier took over, StoreUnavailable when nothing can be noted.
        """
        phase = self._account.phase
        if phase in {Phase.BLOCKED, Phase.STALLED}:
            await self._apply(Event.RETRIED)
            return 0.0
        if phase is Phase.IDLE:
            return await self._begin_imported()
        if phase is Phase.PRECOPY:
            return await self._precopy()
        if phase is Phase.BACKFILL:
            return await self._backfill()
        if phase is Phase.SWITCHED:
            return await self._late_mail()
        return None

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
        while True:
            round_number += 1
            request = PassRequest(
                self._account.id,
                Mode.MIRROR,
                approved=self._account.approved_at is not None,
                lease=self._lease(),
            )
            result = await self._pass(request)
            if result.cause is not None:
                return await self._failed(result.cause, result.cause_text, result.retry_after)
            uidls = await self._uidls()
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
                cause, text = self._why_held(result, uidls, figures, trust.text)
                await self._note_waiting(cause, text)
                return self._tools.pass_interval
            await self._reload()
            if self._account.phase is not Phase.PRECOPY:
                return 0.0

    def _figures(
        self, result: PassResult, uidls: UidlState, round_number: int, *, proved: bool
    ) -> PassFigures:
        approved = self._account.approved_at is not None
        return PassFigures(
            round_number=round_number,
            seconds=result.seconds,
            copied=result.copied,
            clean=result.clean,
            deletions_held=bool(result.held),
            quality_good=approved or result.completeness.grade is Grade.GOOD,
            uidls_ready=uidls.ready or not self._account.used_pop3,
            password_proved=proved,
        )

    @staticmethod
    def _why_held(
        result: PassResult, uidls: UidlState, figures: PassFigures, trust: str
    ) -> tuple[Cause, str]:
        """Name what the account waits for, so that somebody can do something about it."""
        if not figures.clean:
            failed = "; ".join(f"{f.cause.value}: {f.text}" for f in result.failures[:3])
            return Cause.INCOMPLETE, failed or f"{result.remaining} messages have no copy yet"
        if figures.deletions_held:
            return Cause.DELETIONS_HELD, f"{result.held_deletions} deletions wait for account approve"
        if not figures.quality_good:
            return Cause.INCOMPLETE, ", ".join(doubt.value for doubt in result.completeness.doubts)
        if not figures.password_proved:
            return Cause.TARGET_PASSWORD_POLICY, trust
        text = f"{uidls.unpaired} messages of the POP3 maildrop have no pair, {uidls.waiting} wait"
        return Cause.UIDL_UNPAIRED, text

    async def _cut_over(self) -> float | None:
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
            return SECOND_LISTING_SECONDS
        return SOON_SECONDS

    async def _last_pass(self, budget: float) -> LastPass:
        request = PassRequest(
            self._account.id,
            Mode.MIRROR,
            last=True,
            budget_seconds=budget,
            approved=self._account.approved_at is not None,
            lease=self._lease(),
        )
        result = await self._pass(request)
        if not result.clean:
            return LastPass(result, uidls_ready=False)
        uidls = await self._uidls(seconds=max(budget - result.seconds, 0.1))
        return LastPass(result, uidls_ready=uidls.ready or not self._account.used_pop3)

    # --- from the flip on

    async def _backfill(self) -> float | None:
        request = PassRequest(self._account.id, Mode.ADD_ONLY, newest_first=True, lease=self._lease())
        result = await self._pass(request)
        if result.cause is not None:
            return await self._failed(result.cause, result.cause_text, result.retry_after)
        uidls = await self._uidls()
        if result.clean and (uidls.ready or not self._account.used_pop3):
            await self._apply(Event.HISTORY_COMPLETE)
            return None
        return self._tools.pass_interval

    async def _late_mail(self) -> float | None:
        """Fetch late mail; a failure is a warning and never turns *done* into *failed*."""
        result = await sweep(self._desk, self._account.id, lease=self._lease())
        account_id = self._account.id
        if result.cause is not None:
            self._log.warning("late mail was not fetched", why=f"{result.cause}: {result.cause_text}")
            return after_failure(result.cause, failures=1).delay

        def swept(conn: Any) -> float | None:
            """Note the run; returns the seconds to the second listing while that is still to come."""
            held = leases.hold(conn, self._lease())
            now = db_now(conn)
            accounts.note(conn, account_id, sweep_asked_at=None, swept_at=now)
            if result.copied:
                samples.add(conn, self._domain.name, late=result.copied)
            left = (held.finished_at or 0.0) + SECOND_LISTING_SECONDS - now
            return left if left > 0 else None

        self._log.info("late mail", messages=result.copied, already_there=result.already)
        return await self._tools.database.run("swept", swept)

    # --- common steps

    async def _uidls(self, seconds: float | None = None) -> UidlState:
        """Learn UIDLs; a server that does not let us leaves the map not ready, and the pass as it is."""
        learning = defer.Deferred.fromCoroutine(
            learn_uidls(self._desk, self._account.id, lease=self._lease())
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
        self._log.info(
            "pass",
            mode=request.mode.value,
            last=request.last,
            total=result.total,
            copied=result.copied,
            deleted=result.deleted,
            reflagged=result.reflagged,
            skipped=result.skipped,
            remaining=result.remaining,
            seconds=round(result.seconds, 2),
            **({"cause": result.cause.value, "why": result.cause_text} if result.cause else {}),
        )
        await self._note_result(request, result)
        return result

    async def _note_result(self, request: PassRequest, result: PassResult) -> None:
        account_id, domain = self._account.id, self._domain.name

        def note(conn: Any) -> None:
            leases.hold(conn, self._lease())
            if result.cause is None:
                skipped = result.skipped + result.known_skips
                accounts.note(
                    conn,
                    account_id,
                    total=result.total,
                    copied=max(result.total - result.remaining - skipped, 0),
                    skipped=skipped,
                    bytes_total=result.total_octets,
                    bytes_copied=max(
                        result.total_octets - result.remaining_octets - result.skipped_octets, 0
                    ),
                    completeness=result.completeness.grade.value,
                    last_result="done" if result.clean else "more",
                    last_run_ended_at=db_now(conn),
                    failed_runs=0,
                    cause=None,
                    cause_text=None,
                )
                if request.approved and result.deleted:
                    accounts.note(conn, account_id, approved_at=None)  # the next deletions ask again
            if result.copied or result.skipped:
                samples.add(
                    conn, domain, messages=result.copied, octets=result.octets, skipped=result.skipped
                )

        await self._tools.database.run("note pass", note)

    async def _note_waiting(self, cause: Cause, text: str) -> None:
        account_id = self._account.id
        await self._tools.database.run(
            "waits", lambda conn: accounts.note(conn, account_id, cause=cause, cause_text=text)
        )
        self._log.info("waits before its cutover", cause=cause.value, why=text)

    async def _failed(self, cause: Cause, text: str, retry_after: float | None) -> float | None:
        """Note a failed turn; the account counts as failed once nobody may expect it to heal by itself."""
        account, database = self._account, self._tools.database
        failures = account.failed_runs + 1
        since = account.last_run_ended_at or account.started_at
        now = await database.read("now", db_now)
        disposition = after_failure(
            cause,
            failures=failures,
            failing_seconds=0.0 if since is None or failures == 1 else max(now - since, 0.0),
            named_delay=retry_after,
            spread=random.random(),  # noqa: S311 - spreads load, protects nothing
        )
        retry_at = None if disposition.delay is None else now + disposition.delay

        def note(conn: Any) -> None:
            held = leases.hold(conn, self._lease())
            accounts.note(
                conn,
                account.id,
                failed_runs=failures,
                last_result="failed",
                cause=cause,
                cause_text=text,
                next_retry_at=retry_at,
            )
            if disposition.failed and held.phase in {Phase.PRECOPY, Phase.BACKFILL}:
                accounts.apply(
                    conn,
                    account.id,
                    Event.GAVE_UP,
                    epoch=held.epoch,
                    cause=cause,
                    cause_text=text,
                    next_retry_at=retry_at,
                    next_due_at=retry_at,
                )

        await database.run("failed", note)
        return disposition.delay

    async def _apply(self, event: Event, *, trigger: Trigger | None = None) -> None:
        account = self._account

        def apply(conn: Any) -> None:
            leases.hold(conn, self._lease())
            if trigger is None:
                accounts.apply(conn, account.id, event, epoch=account.epoch)
            else:
                accounts.apply(conn, account.id, event, epoch=account.epoch, trigger=trigger)

        await self._tools.database.run(event.value, apply)
        await self._reload()

    async def _reload(self) -> None:
        account_id = self._account.id
        self._account = await self._tools.database.read("reload", lambda conn: accounts.get(conn, account_id))
