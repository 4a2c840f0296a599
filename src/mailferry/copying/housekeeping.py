"""What ends by itself: windows, and with them the passwords that were kept for the move.

When a domain's window has been over for an hour of running time, its switched accounts are closed
and their sealed passwords go. The window's key is destroyed once no copy needs it any more, at the
latest 30 days later; that ends every copy of what it sealed, back-ups included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.internet import task, threads

from mailferry.model.account import Event, Phase
from mailferry.observe.log import Log
from mailferry.passwords.sealing import KeyRing
from mailferry.store import account_listing, accounts, domains, flips_log, passwords, samples
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable

ROUND_SECONDS = 60.0
SAMPLES_KEPT_SECONDS = 400 * 86400.0
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
            ended = await self._database.run(
                "windows", lambda conn: domains.confirm_ended(conn, seconds=ROUND_SECONDS)
            )
            for domain in ended:
                await self._close(domain)
            await self._database.run(
                "prune", lambda conn: samples.prune(conn, before=db_now(conn) - SAMPLES_KEPT_SECONDS)
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
        if not self._keyring.holds(domain.name, domain.window_number):
            return
        if await self._database.read("needed?", lambda conn: _still_needed(conn, domain)):
            return
        forgotten = await self._database.run(
            "forget", lambda conn: passwords.forget_sealed_of_window(conn, domain.name, domain.window_number)
        )
        await self._in_thread(self._keyring.destroy, domain.name, domain.window_number)
        if forgotten:
            await self._in_thread(self._database.scrub)
            self._log.info("passwords of a window destroyed", domain=domain.name, passwords=forgotten)

    async def _in_thread(self, work: Any, *arguments: Any) -> None:
        await threads.deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *arguments)


def _close_some(conn: Connection, domain: str) -> int:
    found = account_listing.in_phase(conn, domain, Phase.SWITCHED, limit=AT_ONCE)
    for account in found:
        accounts.apply(conn, account.id, Event.WINDOW_OVER, epoch=account.epoch)
        passwords.forget_sealed(conn, account.id)
    return len(found)


def _still_needed(conn: Connection, domain: Domain) -> bool:
    if not domain.grace_open(db_now(conn)):
        return False
    return any(account_listing.in_phase(conn, domain.name, phase, limit=1) for phase in _UNFINISHED)
