"""Setting a password at the target: read what stands there, write if it may be overwritten, prove it.

Crash-safe in every step, because nothing is concluded from what was planned: the state is read
from the target itself. A hash there that the remembered, still unproved password fits is our own
push that nobody lived to note; only any other foreign hash is a change made at the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailferry.model.access import Secret
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.observe import metrics
from mailferry.observe.crash_points import crash_point
from mailferry.passwords import schemes
from mailferry.passwords.backend import PasswordBackend, PushResult
from mailferry.passwords.trust import IN_PLACE, Prove, Trust, failed
from mailferry.passwords.vault import Remembered, Vault
from mailferry.passwords.work_threads import WorkThreads
from mailferry.plan.password_verdicts import Holds
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict

SETTLING_SECONDS = 1.5
"""Dovecot looks at its passwd-file once a second at most: a password set a moment ago is asked for again."""

TRIES = 5
"""How often a push starts again because something else was written in between."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the target holds, and whose it is."""

    holds: Holds
    stored: str | None = field(default=None, repr=False)
    """The hash itself; None where there is no account."""


class Outrun(Exception):
    """A newer password was recorded while this one was on its way; the newer one counts."""


class ChangedAtTarget(Exception):
    """Somebody changed the password at the target; nothing was written."""


class Setter:
    """Brings remembered passwords to the target."""

    def __init__(
        self, *, vault: Vault, backend: PasswordBackend, scheme: str, threads: WorkThreads, prove: Prove
    ) -> None:
        self._vault = vault
        self._backend = backend
        self._scheme = scheme
        self._threads = threads
        self._prove = prove

    @property
    def pushes(self) -> bool:
        """Whether there is a backend that takes passwords."""
        return self._backend.pushes

    async def held(self, account: Account, known: Sequence[Remembered]) -> Held:
        """Return what the target holds; `known` is what was and is remembered, the oldest first."""
        if not self._backend.pushes:
            return Held(Holds.NOTHING_PUSHED)
        try:
            stored = await self._backend.current(account.address)
        except Unavailable:
            return Held(Holds.UNKNOWN)
        return Held(await self._whose(stored, known), stored)

    async def settled(self, remembered: Remembered, held: Held) -> Remembered:
        """Note a push of ours that a crash kept us from noting; else the next one would take it for foreign.

        Raises Conflict.
        """
        unnoted = held.holds is Holds.OURS_UNPROVED and held.stored != remembered.record.pushed_hash
        if not unnoted or held.stored is None:
            return remembered
        return await self._vault.note_pushed(remembered, held.stored)

    async def _whose(self, stored: str | None, known: Sequence[Remembered]) -> Holds:
        written = [one.record.pushed_hash for one in known if one.record.pushed_hash is not None]
        if stored is not None and stored in written:
            proved = any(
                one.record.pushed_hash == stored and one.record.proved_at is not None for one in known
            )
            return Holds.OURS if proved else Holds.OURS_UNPROVED
        if stored:
            for one in known:
                if one.may_be_pushed and one.unproved and await self._fits(stored, one.password):
                    return Holds.OURS_UNPROVED
        return Holds.FOREIGN if written else Holds.NOTHING_PUSHED

    async def _fits(self, stored: str, password: Secret | None) -> bool:
        if password is None:
            return False
        return bool(await self._threads.run(lambda: schemes.holds(stored, password)))

    async def bring(
        self,
        account: Account,
        domain: Domain,
        remembered: Remembered,
        *,
        overwrite: bool,
        before: Sequence[Remembered] = (),
    ) -> Trust:
        """Write the remembered password to the target, note it, and prove it by a login there.

        `overwrite`: the source is the authority and anything that stands there is replaced; else
        only what is ours (`before` and `remembered` tell), and ChangedAtTarget is raised.
        Raises Outrun, StoreUnavailable.
        """
        assert remembered.may_be_pushed, "no witness stood behind this password"
        try:
            noted = await self._write(account, domain, remembered, overwrite=overwrite, before=before)
        except RemoteFailure as failure:
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="failed")
            return failed(failure.cause, failure.text)
        except schemes.UnfitPassword as unfit:
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="refused")
            return failed(Cause.TARGET_PASSWORD_POLICY, str(unfit))
        if noted is None:
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="missing")
            return failed(Cause.TARGET_REFUSED, "the target has no such account")
        trust = await self.prove(account, domain, noted)
        if trust.cause is Cause.TARGET_REFUSED and not trust.in_place:
            await self._threads.pause(SETTLING_SECONDS)
            trust = await self.prove(account, domain, noted)
        return trust

    async def _write(
        self,
        account: Account,
        domain: Domain,
        remembered: Remembered,
        *,
        overwrite: bool,
        before: Sequence[Remembered],
    ) -> Remembered | None:
        """Return the row with the hash noted; None for a missing account."""
        password = remembered.password
        assert password is not None
        known = (*before, remembered)
        fresh: str | None = None
        for _ in range(TRIES):
            stored = await self._backend.current(account.address)
            whose = await self._whose(stored, known)
            if whose is Holds.FOREIGN and not overwrite:
                raise ChangedAtTarget
            if stored and await self._fits(stored, password):
                return await self._noted(account, domain, remembered, stored)
            if fresh is None:
                fresh = await self._hashed(password)
            await self._still_newest(account, domain, remembered)
            result = await self._backend.push(account.address, fresh, expected=stored)
            if result is PushResult.CONFLICT:
                metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="conflict")
                continue
            if result is PushResult.MISSING:
                return None
            crash_point("password-pushed")
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result=result.value)
            return await self._noted(account, domain, remembered, fresh)
        raise Unavailable(Cause.TARGET_DOWN, "the stored password kept changing while it was set")

    async def _hashed(self, password: Secret) -> str:
        return await self._threads.run(lambda: schemes.make_hash(self._scheme, password))

    async def _still_newest(self, account: Account, domain: Domain, remembered: Remembered) -> None:
        newest = await self._vault.read(account, domain)
        if newest.record.password_epoch != remembered.record.password_epoch:
            raise Outrun

    async def _noted(
        self, account: Account, domain: Domain, remembered: Remembered, stored: str
    ) -> Remembered:
        """Note what stands at the target; whoever finds a newer password there repairs it at once."""
        try:
            return await self._vault.note_pushed(remembered, stored)
        except Conflict:
            await self._repair(account, domain, stored)
            raise Outrun from None

    async def _repair(self, account: Account, domain: Domain, ours: str) -> None:
        """Replace `ours`, which came late, by the newest password, unless somebody did already."""
        newest = await self._vault.read(account, domain)
        if not newest.may_be_pushed or newest.password is None:
            return
        fresh = await self._hashed(newest.password)
        result = await self._backend.push(account.address, fresh, expected=ours)
        if result is PushResult.DONE:
            try:
                await self._vault.note_pushed(newest, fresh)
            except Conflict:
                await self._repair(account, domain, fresh)

    async def confirm(self, account: Account, remembered: Remembered) -> None:
        """Note that a user's login at the target proved the remembered password.

        The hash there is noted as well when a crash kept us from it. Raises Conflict.
        """
        stored = await self._backend.current(account.address) if self._backend.pushes else None
        if (
            stored
            and stored != remembered.record.pushed_hash
            and await self._fits(stored, remembered.password)
        ):
            remembered = await self._vault.note_pushed(remembered, stored)
        await self._vault.note_proved(remembered)
        metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="proved")

    async def prove(self, account: Account, domain: Domain, remembered: Remembered) -> Trust:
        """Log in at the target with the remembered password; note success. Raises Outrun."""
        assert remembered.password is not None
        try:
            await self._prove(account.address, domain, remembered.password)
        except Refused as refusal:
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="unproved")
            return failed(Cause.TARGET_REFUSED, refusal.text)
        except Unavailable as failure:
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="unproved")
            return failed(Cause.TARGET_DOWN, failure.text)
        crash_point("password-proved")
        if remembered.record.proved_at is None:
            try:
                await self._vault.note_proved(remembered)
            except Conflict:
                raise Outrun from None
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="proved")
        return IN_PLACE
