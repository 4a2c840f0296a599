"""Serving accounts from the target before their copy is complete: `account switch`, `domain switch`.

At most one side is open to a user's sessions at any time, so an account is drained first; and the
target must hold a password that the user knows, or nobody could log in there. A domain's accounts are
drained and moved some at a time, all of these together: sessions that do not end hold up their batch
for ten seconds and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from mailferry.model.account import Event, Phase
from mailferry.roster.lookup import account_at, domain_at
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import account_pages, audit, cutovers, flips_log, passwords
from mailferry.store.account_listing import AccountFilter
from mailferry.store.accounts import Account
from mailferry.store.database import Database, db_now
from mailferry.store.faults import Conflict, NotAllowed, StillOpen

DRAIN_SECONDS = 10.0
AT_ONCE = 100
"""Accounts of a domain that are drained and moved together; a long transaction would keep logins waiting."""
REQUEST_SECONDS = 10.0
"""How long a page or a program is kept waiting before no further accounts are begun with; the last ones take
as long as a drain at most."""
_LOOK_SECONDS = 0.25
AT_SOURCE = (Phase.PRECOPY, Phase.BLOCKED)
"""Phases of accounts that can be switched."""
_CHANGED = "has just changed by itself; look at it again"


@dataclass(frozen=True, slots=True)
class Switched:
    """What `domain switch` did: addresses moved, and those left with the reason.

    `next_after` is where to go on when time was over before everybody was looked at, else None.
    """

    moved: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    next_after: str | None = None


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
    why = database.read_now("may switch", lambda conn: _why_not(conn, account, force=force))
    if why is None:
        _, left = _switch_together(database, [account], who=who, sleep=sleep)
        why = left.get(account.address)
    if why is not None:
        raise RosterRefusal(f"{account.address}{why}")
    flips_log.catch_up(database, flips_file)


def switch_domain(
    database: Database,
    name: str,
    *,
    who: str,
    flips_file: Path,
    after: str | None = None,
    seconds: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Switched:
    """Switch the domain's accounts that are still at the source and whose password the target holds.

    Begins where `after`, the `next_after` of an earlier one, says. When `seconds` are over no further accounts are begun with, and
    `next_after` says where to go on. What was moved stays moved whatever ends it. Raises NoSuchDomain, and
    RosterRefusal for an `after` that there never was.
    """
    domain = database.read_now("domain", lambda conn: domain_at(conn, name)).name
    until = None if seconds is None else clock() + seconds
    moved: list[str] = []
    left: list[tuple[str, str]] = []
    while True:
        here, following = database.read_now("at the source", partial(_some, domain=domain, after=after))
        may = database.read_now("may switch", partial(_sorted_out, accounts=here))
        ready = [account for account in here if may[account.address] is None]
        done, stayed = _switch_together(database, ready, who=who, sleep=sleep)
        flips_log.catch_up(database, flips_file)
        why = {**may, **stayed}
        for account in here:
            if account.address in done:
                moved.append(account.address)
            else:
                left.append((account.address, f"{account.address}{why[account.address]}"))
        if following is None or (until is not None and clock() >= until):
            return Switched(moved=tuple(moved), left=tuple(left), next_after=following)
        after = following


def _some(conn: Connection, domain: str, after: str | None) -> tuple[Sequence[Account], str | None]:
    """Return the next accounts at the source, phase by phase, and the key of those behind them."""
    word, _, address = (after or AT_SOURCE[0].value).partition(" ")
    if word not in AT_SOURCE:
        raise RosterRefusal("no switch of a domain ended there")
    phase = Phase(word)
    only = AccountFilter(domain=domain, phase=phase)
    page = account_pages.listing(conn, only, after=address or None, limit=AT_ONCE)
    if page.next_after is not None:
        return page.accounts, f"{phase.value} {page.next_after}"
    behind = AT_SOURCE[AT_SOURCE.index(phase) + 1 :]
    return page.accounts, behind[0].value if behind else None


def _sorted_out(conn: Connection, accounts: Sequence[Account]) -> dict[str, str | None]:
    return {account.address: _why_not(conn, account, force=False) for account in accounts}


def _switch_together(
    database: Database, accounts: Sequence[Account], *, who: str, sleep: Callable[[float], None]
) -> tuple[frozenset[str], Mapping[str, str]]:
    """End the accounts' sessions and move them; return who was moved, and why each of the others was not."""
    if not accounts:
        return frozenset(), {}
    waiting = sorted(accounts, key=lambda account: account.id)  # rows are always locked in this order
    left: dict[str, str] = database.run_now("drain", partial(_drain, accounts=waiting))
    moved: set[str] = set()
    waited = 0.0
    while True:
        waiting = [one for one in waiting if one.address not in moved and one.address not in left]
        gone, changed, still = database.run_now("switch", partial(_leave, accounts=waiting, who=who))
        moved |= gone
        left |= dict.fromkeys(changed, f" {_CHANGED}")
        if not still:
            return frozenset(moved), left
        if waited >= DRAIN_SECONDS:
            numbers = [one.id for one in waiting if one.address in still]
            database.run_now("end drain", partial(_end_drain, numbers=numbers))
            after = f"after {DRAIN_SECONDS:g} seconds; try again in a quiet moment"
            left |= {address: f": {words} {after}" for address, words in still.items()}
            return frozenset(moved), left
        sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS


def _why_not(conn: Connection, account: Account, *, force: bool) -> str | None:
    """Return why the account cannot be switched, in words that follow its address; None when it can."""
    if account.phase not in AT_SOURCE:
        return (
            f" is in phase {account.phase.value}; only accounts that are served by the source "
            "and have begun to move (PRECOPY, BLOCKED) can be switched"
        )
    if not force and passwords.get(conn, account.id).pushed_at is None:
        return (
            ": its password was never set at the target, so the user could not log in there; "
            "let the user log in once, or force it"
        )
    return None


def _drain(conn: Connection, accounts: Sequence[Account]) -> dict[str, str]:
    """Let no new sessions of the accounts open; return those that have changed meanwhile."""
    until = db_now(conn) + DRAIN_SECONDS + 1
    changed = {}
    for account in accounts:
        try:
            cutovers.start_drain(conn, account.id, account.epoch, until=until)
        except (Conflict, NotAllowed):
            changed[account.address] = f" {_CHANGED}"
    return changed


def _leave(
    conn: Connection, accounts: Sequence[Account], who: str
) -> tuple[set[str], list[str], dict[str, str]]:
    """Move those without sessions; return them, those that have changed, and those that wait, with the words."""
    now = db_now(conn)
    moved: set[str] = set()
    changed: list[str] = []
    still: dict[str, str] = {}
    for account in accounts:
        try:
            cutovers.leave_early(
                conn,
                account.id,
                Event.EARLY_SWITCH,
                epoch=account.epoch,
                now=now,
                who=who,
                detail="account switch",
            )
        except StillOpen as error:
            still[account.address] = str(error)
        except (Conflict, NotAllowed):
            changed.append(account.address)
        else:
            audit.write(conn, who=who, what="account.switch", subject=account.address)
            moved.add(account.address)
    return moved, changed, still


def _end_drain(conn: Connection, numbers: Sequence[int]) -> None:
    for number in numbers:
        cutovers.end_drain(conn, number)
