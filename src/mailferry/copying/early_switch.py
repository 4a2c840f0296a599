"""Serving accounts from the target because their source has been gone for long (design A2).

An account leaves its source only when the target takes the password that its user knows, with no
session of its user open, under the lease of the copier that found the source gone. Other accounts of
the domain that had no contact either follow, though their own turn at a dead host may be far away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.internet import task, threads

from mailferry.model.access import Side
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.observe.log import Log, shown_address
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.early_switch import GONE_CAUSES, Absence, gone_for_good
from mailferry.store import account_listing, accounts, cutovers, flips_log, leases, passwords, sessions
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict, NotAllowed, StillOpen
from mailferry.store.leases import Lease

DRAIN_SECONDS = 40.0
"""Logins that are still dialling a source which does not answer give up within this time."""
LOOK_SECONDS = 0.5
SEEN_AGAIN_SECONDS = 3600.0
"""A source that takes the password, though passes fail, is noted at most this often."""
MOST_PEERS = 200
"""So many other accounts follow in one turn."""


@dataclass(frozen=True, slots=True)
class EarlySwitch:
    """Decides and does it for the accounts of one domain. `after` in seconds; None: never."""

    database: Database
    keeper: PasswordKeeper
    reactor: Any
    log: Log
    flips_file: Path
    after: float | None

    async def consider(
        self, account: Account, domain: Domain, lease: Callable[[], Lease], *, cause: Cause, answered: bool
    ) -> bool:
        """Look at the account after a failed turn; return whether it is served by the target now.

        `answered` says that the source let us in during the turn. Raises LeaseLost, StoreUnavailable.
        """
        if self.after is None or cause not in GONE_CAUSES:
            return False
        if answered:
            await self.database.run("source answered", lambda conn: _note_contact(conn, account.id))
            return False
        gone = await self.database.read("gone?", lambda conn: self._gone(conn, account.id))
        if not gone or not await self._leave(account.id, domain, lease):
            return False
        peers = await self.database.read("gone with it?", lambda conn: self._peers(conn, domain.name))
        for account_id in peers:
            await self._leave(account_id, domain, None)
        return True

    def _gone(self, conn: Connection, account_id: int, *, itself: bool = True) -> bool:
        absence = absence_of(conn, account_id)
        return gone_for_good(absence, now=db_now(conn), after=self.after, itself=itself)

    def _peers(self, conn: Connection, domain: str) -> list[int]:
        """Return accounts of the domain that nobody works on and that had no contact either."""
        now = db_now(conn)
        found: list[int] = []
        for phase in (Phase.BLOCKED, Phase.PRECOPY):
            for peer in account_listing.in_phase(conn, domain, phase, limit=4 * MOST_PEERS):
                if len(found) < MOST_PEERS and _free(peer, now) and self._gone(conn, peer.id, itself=False):
                    found.append(peer.id)
        return found

    async def _leave(self, account_id: int, domain: Domain, lease: Callable[[], Lease] | None) -> bool:
        """Move one account when its user can log in at the target; `lease` is None for one without a turn."""
        account = await self.database.read("account", lambda conn: accounts.get(conn, account_id))
        trust = await self.keeper.push_and_prove(account, domain)
        if not trust.in_place:
            self.log.info(
                "the source is gone and the target does not take the password: nothing is switched",
                account=shown_address(account.address),
                cause=trust.cause.value,
                why=trust.text,
            )
            return False
        try:
            left = await self._between_sessions(account, lease)
        except (Conflict, NotAllowed):
            return False  # somebody else changed it meanwhile: the next turn sees how
        if left:
            await threads.deferToThreadPool(
                self.reactor,
                self.reactor.getThreadPool(),
                flips_log.catch_up,
                self.database,
                self.flips_file,
            )
            self.log.warning(
                "the source has been gone for long: the target serves", account=shown_address(account.address)
            )
        return left

    async def _between_sessions(self, account: Account, lease: Callable[[], Lease] | None) -> bool:
        """Commit the switch once no session is open; logins wait meanwhile, for a moment only."""

        def leave(conn: Connection) -> None:
            if lease is not None:
                leases.hold(conn, lease())
            elif not _free(accounts.locked(conn, account.id), db_now(conn)):
                raise Conflict(f"{account.address}: a copier has it")
            hours = (self.after or 0.0) / 3600
            detail = f"the source has been gone for {hours:g} hours"
            cutovers.leave_early(conn, account.id, Event.EARLY_SWITCH, epoch=account.epoch, detail=detail)

        def drain(conn: Connection) -> None:
            cutovers.start_drain(conn, account.id, account.epoch, until=db_now(conn) + DRAIN_SECONDS)

        began: float | None = None
        while True:
            try:
                await self.database.run("early switch", leave)
                return True
            except StillOpen:
                now = self.reactor.seconds()
                if began is None:
                    began = now
                    await self.database.run("drain", drain)
                if now - began >= DRAIN_SECONDS:
                    await self.database.run("end drain", lambda conn: cutovers.end_drain(conn, account.id))
                    return False
                await task.deferLater(self.reactor, LOOK_SECONDS, lambda: None)


def absence_of(conn: Connection, account_id: int) -> Absence:
    """Return what the store knows of an account's contact with its source."""
    account = accounts.get(conn, account_id)
    record = passwords.get(conn, account_id)
    gave_up = (row.at for row in accounts.log(conn, account_id, limit=10) if row.event == Event.GAVE_UP.value)
    open_there = (row for row in sessions.of_account(conn, account_id) if row.side is Side.SOURCE)
    return Absence(
        account.phase,
        account.cause,
        (account.last_run_ended_at, record.verified_at, account.started_at),
        failed_since=next(gave_up, None),
        sessions_opened=[row.opened_at for row in open_there],
    )


def _note_contact(conn: Connection, account_id: int) -> None:
    """Remember that the source took the sealed password just now, though the pass behind it failed."""
    record = passwords.get(conn, account_id)
    if record.verified_at is not None and db_now(conn) - record.verified_at >= SEEN_AGAIN_SECONDS:
        passwords.seen_again(conn, account_id, password_epoch=record.password_epoch)


def _free(account: Account, now: float) -> bool:
    return not account.paused and (account.lease_until is None or account.lease_until <= now)
