"""Serving accounts from the target before their copy is complete: `account switch`, `domain switch`.

At most one side is open to a user's sessions at any time, so the account is drained first; and the
target must hold a password that the user knows, or nobody could log in there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from mailferry.model.account import Event, Phase
from mailferry.roster.lookup import account_at, domain_at
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import account_listing, audit, cutovers, flips_log, passwords
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.faults import Conflict, NotAllowed, StillOpen

DRAIN_SECONDS = 10.0
_LOOK_SECONDS = 0.25
_AT_SOURCE = (Phase.PRECOPY, Phase.BLOCKED)


@dataclass(frozen=True, slots=True)
class Switched:
    """What `domain switch` did: addresses moved, and those left with the reason."""

    moved: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


def switch(
    database: Database,
    address: str,
    *,
    who: str,
    flips_file: Path,
    force: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Serve the account from the target from now on; its history arrives there meanwhile.

    Ends its sessions first, for which it waits up to ten seconds. `force` moves an account whose
    password was never set at the target. Raises RosterRefusal when it cannot be done, and nothing has
    changed then.
    """
    account = database.read_now("account", lambda conn: account_at(conn, address))
    database.read_now("may switch", lambda conn: _check(conn, account, force=force))
    database.run_now("drain", lambda conn: _drain(conn, account))
    waited = 0.0
    while True:
        try:
            database.run_now("switch", lambda conn: _leave(conn, account, who))
            break
        except StillOpen as error:
            if waited >= DRAIN_SECONDS:
                database.run_now("end drain", lambda conn: cutovers.end_drain(conn, account.id))
                raise RosterRefusal(
                    f"{account.address}: {error} after {DRAIN_SECONDS:g} seconds; try again in a quiet moment"
                ) from None
        except (Conflict, NotAllowed):
            raise RosterRefusal(f"{account.address} has just changed by itself; look at it again") from None
        sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
    flips_log.catch_up(database, flips_file)


def switch_domain(
    database: Database,
    name: str,
    *,
    who: str,
    flips_file: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> Switched:
    """Switch all accounts of the domain that are still at the source and whose password the target holds."""

    def candidates(conn: Connection) -> list[str]:
        domain = domain_at(conn, name)
        return [
            account.address
            for phase in _AT_SOURCE
            for account in account_listing.in_phase(conn, domain.name, phase, limit=1_000_000)
        ]

    moved: list[str] = []
    left: list[tuple[str, str]] = []
    for address in database.read_now("accounts at the source", candidates):
        try:
            switch(database, address, who=who, flips_file=flips_file, sleep=sleep)
        except RosterRefusal as refusal:
            left.append((address, str(refusal)))
        else:
            moved.append(address)
    return Switched(moved=tuple(moved), left=tuple(left))


def _check(conn: Connection, account: Account, *, force: bool) -> None:
    if account.phase not in _AT_SOURCE:
        raise RosterRefusal(
            f"{account.address} is in phase {account.phase.value}; only accounts that are served by the source "
            "and have begun to move (PRECOPY, BLOCKED) can be switched"
        )
    if not force and passwords.get(conn, account.id).pushed_at is None:
        raise RosterRefusal(
            f"{account.address}: its password was never set at the target, so the user could not log in there; "
            "let the user log in once, or force it"
        )


def _drain(conn: Connection, account: Account) -> None:
    try:
        cutovers.start_drain(conn, account.id, account.epoch, until=db_now(conn) + DRAIN_SECONDS + 1)
    except (Conflict, NotAllowed):
        raise RosterRefusal(f"{account.address} has just changed by itself; look at it again") from None


def _leave(conn: Connection, account: Account, who: str) -> None:
    cutovers.leave_early(
        conn, account.id, Event.EARLY_SWITCH, epoch=account.epoch, who=who, detail="account switch"
    )
    audit.write(conn, who=who, what="account.switch", subject=account.address)
