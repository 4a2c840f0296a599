"""Setting a password at the target: look what stands there, write if it may be overwritten, prove it.

Crash-safe in every step, because nothing is concluded from what was planned (`passwords/holding`).
"""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.model.access import Secret
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.observe import metrics
from mailferry.observe.crash_points import crash_point
from mailferry.passwords import schemes
from mailferry.passwords.backend import NewPassword, PasswordBackend, PushResult
from mailferry.passwords.holding import Held, TargetLook
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
        self.look = TargetLook(backend=backend, threads=threads, prove=prove)

    @property
    def pushes(self) -> bool:
        """Whether there is a backend that takes passwords."""
        return self._backend.pushes

    async def stands(self, account: Account) -> str | None:
        """Return the hash at the target, None where none can be read. Raises Unavailable."""
        return await self._backend.current(account.address) if self._backend.readable else None

    async def settled(self, remembered: Remembered, held: Held) -> Remembered:
        """Note a push of ours that a crash kept us from noting; else the next one would take it for foreign.

        Raises Conflict.
        """
        unnoted = held.holds is Holds.OURS_UNPROVED and held.stored != remembered.record.pushed_hash
        if not unnoted or held.stored is None:
            return remembered
        return await self._vault.note_pushed(remembered, held.stored)

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
        if not self._backend.readable:
            if not overwrite and remembered.record.proved_at is not None:
                raise ChangedAtTarget  # it worked there once, and the target refuses it now
            return await self._write_unread(account, domain, remembered, password)
        known = (*before, remembered)
        new: NewPassword | None = None
        for _ in range(TRIES):
            stored = await self._backend.current(account.address)
            whose = await self.look.whose(account, stored, known)
            if whose is Holds.FOREIGN and not overwrite:
                if not await self.is_still(account, domain, remembered):
                    raise Outrun  # another process set its own
                raise ChangedAtTarget
            if stored and await self.look.fits(stored, password):
                return await self._noted(account, domain, remembered, stored)
            if new is None:
                new = await self._hashed(password)
            await self._still_newest(account, domain, remembered)
            result = await self._backend.push(account.address, new, expected=stored)
            if result is PushResult.CONFLICT:
                metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="conflict")
                continue
            if result is PushResult.MISSING:
                return None
            crash_point("password-pushed")
            metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result=result.value)
            return await self._noted(account, domain, remembered, new.stored)
        raise Unavailable(Cause.TARGET_DOWN, "the stored password kept changing while it was set")

    async def _write_unread(
        self, account: Account, domain: Domain, remembered: Remembered, password: Secret
    ) -> Remembered | None:
        """Write where nothing can be read or compared; the caller asked the target whose password it has."""
        new = await self._hashed(password)
        await self._still_newest(account, domain, remembered)
        result = await self._backend.push(account.address, new, expected=None)
        if result is PushResult.MISSING:
            return None
        crash_point("password-pushed")
        metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result=result.value)
        return await self._noted(account, domain, remembered, new.stored)

    async def _hashed(self, password: Secret) -> NewPassword:
        stored = await self._threads.run(lambda: schemes.make_hash(self._scheme, password))
        return NewPassword(stored, password)

    async def is_still(self, account: Account, domain: Domain, remembered: Remembered) -> bool:
        """Whether no password was recorded or set since `remembered` was read."""
        now, then = (await self._vault.read(account, domain)).record, remembered.record
        return (now.password_epoch, now.pushed_hash) == (then.password_epoch, then.pushed_hash)

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
        new = await self._hashed(newest.password)
        expected = ours if self._backend.readable else None
        result = await self._backend.push(account.address, new, expected=expected)
        if result is PushResult.DONE:
            try:
                await self._vault.note_pushed(newest, new.stored)
            except Conflict:
                await self._repair(account, domain, new.stored)

    async def confirm(self, account: Account, remembered: Remembered) -> None:
        """Note that a user's login at the target proved the remembered password.

        The hash there is noted as well when a crash kept us from it. Raises Conflict.
        """
        assert remembered.password is not None
        stored = await self.stands(account)
        if not self._backend.readable and remembered.record.pushed_hash is None:
            new = await self._hashed(remembered.password)
            remembered = await self._vault.note_pushed(remembered, new.stored)
        elif (
            stored
            and stored != remembered.record.pushed_hash
            and await self.look.fits(stored, remembered.password)
        ):
            remembered = await self._vault.note_pushed(remembered, stored)
        await self._vault.note_proved(remembered)
        metrics.PASSWORD_PUSHES.add(backend=self._backend.name, result="proved")

    def unsettable(self, domain: Domain, remembered: Remembered, trust: Trust) -> Trust:
        """Say why a password that the target does not take is not set there."""
        if not self.pushes:
            why = "no backend sets passwords at the target"
        elif remembered.record.target_wins:
            why = "the password was changed at the target"
        elif not remembered.verified:
            why = "it was imported; the user must log in once"
        elif domain.uses_codes and not domain.push_codes:
            why = "the domain's users log in with authorization codes, which are not set there"
        else:
            why = "the login went over a link that others can read"
        return failed(trust.cause, f"the target does not take the password and it is not set there: {why}")

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
