"""The move of one account from the source to the target, between two sessions of its user.

Wait for a quiet moment, drain, freeze, last pass, compare, flip. Any error and any overrun backs out
to PRECOPY: only the committed flip means that the target serves (design A6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from twisted.internet import task, threads

from mailferry.copying.results import PassResult
from mailferry.model.causes import Cause
from mailferry.observe import metrics
from mailferry.observe.crash_points import crash_point
from mailferry.observe.log import Log
from mailferry.plan.cutover import DRAIN_SECONDS, FREEZE_MARGIN_SECONDS
from mailferry.store import cutovers, flips_log
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.faults import Conflict, NotAllowed, StillOpen

LOOK_SECONDS = 0.5
QUIET_PATIENCE_SECONDS = 30.0
"""How long one try looks for a quiet moment before the account's turn is over for now."""


class Ended(StrEnum):
    """How one try at a cutover ended."""

    FLIPPED = "flipped"
    NOT_QUIET = "not_quiet"
    DRAIN_FAILED = "drain_failed"
    BACKED_OUT = "backed_out"
    OVERRUN = "overrun"
    LOST = "lost"
    """Somebody else changed the account meanwhile."""


@dataclass(frozen=True, slots=True)
class LastPass:
    """What the last pass inside the freeze showed."""

    result: PassResult
    uidls_ready: bool
    believed: bool = True
    """Whether the source seems to show everything that it has."""

    @property
    def clean(self) -> bool:
        """Whether the flip may be committed."""
        result = self.result
        settled = result.verified and not result.deletions_wait
        return result.clean and settled and self.uidls_ready and self.believed


class Cutover:
    """Tries to flip one account. `last_pass` runs with the seconds it may take."""

    def __init__(
        self,
        database: Database,
        *,
        reactor: Any,
        log: Log,
        flips_file: Path,
        freeze_budget: float,
        last_pass: Callable[[float], Awaitable[LastPass]],
    ) -> None:
        self._database = database
        self._reactor = reactor
        self._log = log
        self._flips_file = flips_file
        self._budget = freeze_budget
        self._last_pass = last_pass

    async def attempt(self, account: Account) -> Ended:
        """Make one try; the account is in PRECOPY at `account.epoch`."""
        try:
            if not await self._quiet(account):
                return Ended.NOT_QUIET
            frozen = await self._drained_and_frozen(account)
        except (Conflict, NotAllowed):
            return Ended.LOST
        if frozen is None:
            metrics.CUTOVERS.add(result="drain_failed")
            return Ended.DRAIN_FAILED
        return await self._in_freeze(frozen)

    async def _quiet(self, account: Account) -> bool:
        """Wait a while for a moment in which no POP3 session is open and each IMAP session rests."""
        deadline = self._reactor.seconds() + QUIET_PATIENCE_SECONDS
        await self._database.run("want", lambda conn: cutovers.want(conn, account.id, wanted=True))
        while True:
            if await self._database.read("quiet?", lambda conn: cutovers.quiet(conn, account.id)):
                return True
            if self._reactor.seconds() >= deadline:
                return False
            await self._pause()

    async def _drained_and_frozen(self, account: Account) -> Account | None:
        """End the sessions that rest and freeze; None when some did not end in time."""
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        await self._database.run(
            "drain",
            lambda conn: cutovers.start_drain(
                conn, account.id, account.epoch, until=db_now(conn) + DRAIN_SECONDS
            ),
        )
        seconds = self._budget + FREEZE_MARGIN_SECONDS
        while True:
            try:
                return await self._database.run(
                    "freeze",
                    lambda conn: cutovers.freeze(conn, account.id, account.epoch, db_now(conn) + seconds),
                )
            except StillOpen:
                if self._reactor.seconds() >= deadline:
                    await self._database.run("end drain", lambda conn: cutovers.end_drain(conn, account.id))
                    return None
                await self._pause()

    async def _in_freeze(self, frozen: Account) -> Ended:
        began = self._reactor.seconds()
        crash_point("frozen")
        ended = Ended.BACKED_OUT
        why = "the last pass did not run"
        try:
            last = await self._last_pass(self._budget)
            if last.clean:
                why = "the flip was not committed"
                crash_point("last-pass-clean")
                ended = await self._flip(frozen)
            else:
                ended = Ended.OVERRUN if last.result.overrun else Ended.BACKED_OUT
                why = _reason(last)
        finally:
            seconds = self._reactor.seconds() - began
            if ended is not Ended.FLIPPED:
                await self._back_out(frozen, why, overrun=ended is Ended.OVERRUN)
            metrics.FREEZE_SECONDS.took(seconds)
            metrics.CUTOVERS.add(result=ended.value if ended is not Ended.LOST else "deadline")
            reason = {} if ended is Ended.FLIPPED else {"why": why}
            self._log.info("cutover", result=ended.value, freeze_seconds=round(seconds, 2), **reason)
        return ended

    async def _flip(self, frozen: Account) -> Ended:
        try:
            await self._database.run("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch))
        except (Conflict, NotAllowed, StillOpen) as error:
            self._log.error("the flip was refused", why=str(error))
            return Ended.LOST
        crash_point("flip-committed")
        await threads.deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), flips_log.catch_up, self._database, self._flips_file
        )
        return Ended.FLIPPED

    async def _back_out(self, frozen: Account, why: str, *, overrun: bool) -> None:
        try:
            await self._database.run(
                "back out",
                lambda conn: cutovers.back_out(conn, frozen.id, frozen.epoch, overrun=overrun, detail=why),
            )
        except (Conflict, NotAllowed):
            return  # its deadline passed and somebody set it back already

    async def _pause(self) -> None:
        await task.deferLater(self._reactor, LOOK_SECONDS, lambda: None)


def _reason(last: LastPass) -> str:
    result = last.result
    if result.cause is not None:
        return f"{result.cause.value}: {result.cause_text}"
    if result.overrun:
        return "the last pass needed more time than the freeze has"
    if result.held:
        return "deletions are held"
    if result.waiting_copies:
        return "messages left INBOX and POP3 could not be asked for them"
    if not last.believed:
        return f"{result.completeness.cause.value}: {'; '.join(result.completeness.details)}"
    if result.clean and not result.verified:
        return "a broken connection is not settled yet"
    if result.clean and not last.uidls_ready:
        return Cause.UIDL_UNPAIRED.value
    return f"{result.remaining} messages without a copy, {len(result.failures)} mailboxes failed"
