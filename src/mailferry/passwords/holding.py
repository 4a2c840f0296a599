"""Whose password the target holds: ours, as it was written, or one that somebody chose there.

Nothing is concluded from what was planned; the state is read from the target itself. Where the place
can be read, the stored hash is compared with what was written. Where it cannot, the last password
that was set must still log in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.model.causes import Refused, Unavailable
from mailferry.passwords import schemes
from mailferry.passwords.backend import PasswordBackend
from mailferry.passwords.trust import Prove
from mailferry.passwords.vault import Remembered
from mailferry.passwords.work_threads import WorkThreads
from mailferry.plan.password_verdicts import Holds
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain


@dataclass(frozen=True, slots=True)
class Held:
    """What the target holds, and whose it is."""

    holds: Holds
    stored: str | None = field(default=None, repr=False)
    """The hash itself; None where there is no account, or nothing can be read."""


class TargetLook:
    """Looks at the target."""

    def __init__(self, *, backend: PasswordBackend, threads: WorkThreads, prove: Prove) -> None:
        self._backend = backend
        self._threads = threads
        self._prove = prove

    async def held(self, account: Account, domain: Domain, before: Remembered) -> Held:
        """Return what the target holds; `before` is what was remembered when the login began."""
        if not self._backend.pushes:
            return Held(Holds.NOTHING_PUSHED)
        if not self._backend.readable:
            return Held(await self._by_login(account, domain, before))
        try:
            stored = await self._backend.current(account.address)
        except Unavailable:
            return Held(Holds.UNKNOWN)
        return Held(await self.whose(account, stored, (before,)), stored)

    async def whose(self, account: Account, stored: str | None, known: Sequence[Remembered]) -> Holds:
        """Say whose the stored hash is; `known` is what was and is remembered, the oldest first.

        A hash that a remembered, still unproved password fits is our own push that nobody lived to note.
        """
        written = [one.record.pushed_hash for one in known if one.record.pushed_hash is not None]
        if stored is not None and stored in written:
            proved = any(
                one.record.pushed_hash == stored and one.record.proved_at is not None for one in known
            )
            return Holds.OURS if proved else Holds.OURS_UNPROVED
        if stored:
            for one in known:
                if one.may_be_pushed and one.unproved and await self.fits(stored, one.password):
                    return Holds.OURS_UNPROVED
        return Holds.FOREIGN if written else _unpushed(account, known[-1], stored)

    async def fits(self, stored: str, password: Secret | None) -> bool:
        """Whether the stored hash is of this password; False for a scheme that is not known here."""
        if password is None:
            return False
        return bool(await self._threads.run(lambda: schemes.holds(stored, password)))

    async def _by_login(self, account: Account, domain: Domain, before: Remembered) -> Holds:
        record = before.record
        if record.pushed_hash is None:
            return _unpushed(account, before, None)
        if record.proved_at is None:
            return Holds.OURS_UNPROVED
        if before.password is None:
            return Holds.UNKNOWN
        try:
            await self._prove(account.address, domain, before.password)
        except Refused:
            return Holds.FOREIGN
        except Unavailable:
            return Holds.UNKNOWN
        return Holds.OURS


def _unpushed(account: Account, remembered: Remembered, stored: str | None) -> Holds:
    """Say whose it is where we never wrote anything.

    A password that the target was seen to take is somebody's own, and stays. Only a LOCAL account
    keeps the promise that its old password starts the move after all: as long as the same stands
    there as when it became local.
    """
    record = remembered.record
    if record.own_seen_at is None:
        return Holds.NOTHING_PUSHED
    unchanged = record.own_hash is None or record.own_hash == stored
    return Holds.NOTHING_PUSHED if account.phase is Phase.LOCAL and unchanged else Holds.FOREIGN
