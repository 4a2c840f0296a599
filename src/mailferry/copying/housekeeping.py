"""What ends by itself: windows, and with them the passwords that were kept for the move.

When a domain's window has been over for an hour of running time, its switched accounts are closed
and their sealed passwords go. The window's key is destroyed once no copy needs it any more, at the
latest 30 days later, when copies that are still not done wait for the administrator; that ends every
copy of what it sealed, back-ups included. The keys of a domain's earlier windows go once nothing is
sealed under them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.internet import task, threads

from mailferry.model.account import COPIED_IN, Event, Phase
from mailferry.model.causes import Cause
from mailferry.observe.log import Log
from mailferry.passwords.sealing import KeyRing
from mailferry.store import (
    account_listing,
    accounts,
    clock_mending,
    domains,
    flips_log,
    notices,
    pace_hours,
    passwords,
    samples,
)
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable

ROUND_SECONDS = 60.0
SAMPLES_KEPT_SECONDS = 400 * 86400.0
NOTICES_KEPT_SECONDS = 90 * 86400.0
AT_ONCE = 200

_UNFINISHED = (Phase.PRECOPY, Phase.FREEZE, Phase.BLOCKED, Phase.BACKFILL, Phase.STALLED)
"""Phases whose copy still needs source and password."""


class Housekeeping:
    """One round a minute; every copier process runs it, and twice does no harm."""

    def __init__(
        self, database: Database, *, keyring: KeyRing, flips_file: Path, reactor: Any, log: Log
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._flips_file = flips_file
        self._reactor = reactor
        self._log = log
        self._loop = task.LoopingCall(self.round)
        self._loop.clock = reactor

    def begin(self) -> None:
        """Start with a round at once."""
        self._loop.start(ROUND_SECONDS)

    def finish(self) -> None:
        """Stop after the running round."""
        if self._loop.running:
            self._loop.stop()

    async def round(self) -> None:
        """Do what is due; a store that does not answer is for the next round."""
        try:
            await self._in_thread(flips_log.catch_up, self._database, self._flips_file)
            if await self._database.read("times ahead?", clock_mending.ahead):
                mended = await self._database.run("mend times", clock_mending.mend)
                self._log.warning("a clock was wrong: times far ahead are taken back", times=mended)
            ended = await self._database.run(
                "windows", lambda conn: domains.confirm_ended(conn, seconds=ROUND_SECONDS)
            )
            for domain in ended:
                await self._close(domain)
            await self._tidy_windows()
            await self._database.run(
                "prune", lambda conn: samples.prune(conn, before=db_now(conn) - SAMPLES_KEPT_SECONDS)
            )
            await self._database.run("prune", pace_hours.prune)
            await self._database.run(
                "prune", lambda conn: notices.prune(conn, before=db_now(conn) - NOTICES_KEPT_SECONDS)
            )
        except StoreUnavailable as error:
            self._log.error("housekeeping waits", why=str(error))

    async def _close(self, domain: Domain) -> None:
        closed = 0
        while True:
            count = await self._database.run("close accounts", lambda conn: _close_some(conn, domain.name))
            closed += count
            if count < AT_ONCE:
                break
        if closed:
            self._log.info("window over", domain=domain.name, accounts_closed=closed)
        unfinished = await self._database.read("unfinished?", lambda conn: _unfinished(conn, domain))
        if unfinished:
            if domain.grace_open(await self._database.read("now", db_now)):
                return
            await self._database.run("give up", lambda conn: _give_up(conn, domain.name))
        for window in await self._held_windows(domain):
            await self._destroy(domain, window)

    async def _tidy_windows(self) -> None:
        """Destroy the keys of windows before the present one under which nothing is sealed any more."""
        for domain in await self._database.read("domains", domains.listing):
            if domain.window_number == 1:
                continue
            earlier = [n for n in await self._held_windows(domain) if n < domain.window_number]
            if not earlier:
                continue
            for window in set(earlier) - set(await self._windows_in_use(domain)):
                await self._destroy(domain, window)

    async def _windows_in_use(self, domain: Domain) -> Sequence[int]:
        return await self._database.read("in use", lambda conn: passwords.sealed_windows(conn, domain.name))

    async def _held_windows(self, domain: Domain) -> list[int]:
        numbers: list[int] = await self._in_thread(self._keyring.windows, domain.name)
        return numbers

    async def _destroy(self, domain: Domain, window: int) -> None:
        """End every copy of what was sealed under the window's key."""
        forgotten = await self._database.run(
            "forget", lambda conn: passwords.forget_sealed_of_window(conn, domain.name, window)
        )
        await self._in_thread(self._keyring.destroy, domain.name, window)
        if forgotten:
            await self._in_thread(self._database.scrub)
            self._log.info("passwords of a window destroyed", domain=domain.name, passwords=forgotten)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await threads.deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *arguments)


def _close_some(conn: Connection, domain: str) -> int:
    found = account_listing.in_phase(conn, domain, Phase.SWITCHED, limit=AT_ONCE)
    for account in found:
        accounts.apply(conn, account.id, Event.WINDOW_OVER, epoch=account.epoch)
        passwords.forget_sealed(conn, account.id)
    return len(found)


def _give_up(conn: Connection, domain: str) -> None:
    """Let copies that are not done wait for the administrator: nothing of them goes on by itself."""
    for phase in COPIED_IN:
        for account in account_listing.in_phase(conn, domain, phase, limit=1_000_000):
            accounts.apply(
                conn,
                account.id,
                Event.GAVE_UP,
                epoch=account.epoch,
                cause=Cause.WINDOW_OVER,
                cause_text="the window and its 30 days were over before the copy was done",
                next_retry_at=None,
                next_due_at=None,
            )


def _unfinished(conn: Connection, domain: Domain) -> bool:
    return any(account_listing.in_phase(conn, domain.name, phase, limit=1) for phase in _UNFINISHED)
