"""The password keeper: what happens to a password that the source accepted (design A4.1 to A4.5).

It is remembered (verifier, sealed), set at the target under the rules of `plan/password_verdicts`,
and counts there once a login at the target succeeded with it. Only a confidential witness permits
setting it. Work on one account takes turns inside a process; between processes the password epoch
and the hash that is expected at the target are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, DeferredList

from mailferry.model.access import Secret
from mailferry.model.account import BEFORE_FLIP
from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.clock import Clock
from mailferry.model.witness import Witness
from mailferry.observe.log import get_log, shown_address
from mailferry.observe.system_clock import SystemClock
from mailferry.passwords import schemes
from mailferry.passwords.backend import PasswordBackend
from mailferry.passwords.holding import Held
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose, SealBroken
from mailferry.passwords.setting import ChangedAtTarget, Outrun, Setter
from mailferry.passwords.source_word import SourceWord, TryMadeUp, Word
from mailferry.passwords.trust import IN_PLACE, Prove, Trust, failed, refused
from mailferry.passwords.turns import Turn, Turns
from mailferry.passwords.vault import Remembered, Vault
from mailferry.passwords.work_threads import WorkThreads
from mailferry.plan.password_verdicts import (
    Holds,
    Let,
    PasswordFacts,
    PasswordVerdict,
    Push,
    judge,
)
from mailferry.store import accounts, domains
from mailferry.store import passwords as rows
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict, StoreUnavailable
from mailferry.store.passwords import PasswordRecord

MOST_SETTLED = 50_000
"""Of so many accounts this process remembers that nothing is left to do about their password: 5 MB at most."""

_log = get_log("passwords")


class PasswordKeeper:
    """One per process. `prove` logs in at the target; `stop` ends background work and threads.

    `try_made_up` tries a made-up password at a source, whose word counts once it was refused; without
    it every source is believed.
    """

    def __init__(
        self,
        *,
        database: Database,
        keyring: KeyRing,
        backend: PasswordBackend,
        scheme: str,
        prove: Prove,
        threads: WorkThreads,
        push_from_plaintext: bool = False,
        try_made_up: TryMadeUp | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._vault = Vault(database, keyring, threads)
        self._threads = threads
        self._setter = Setter(vault=self._vault, backend=backend, scheme=scheme, threads=threads, prove=prove)
        self._push_from_plaintext = push_from_plaintext
        self._clock = clock or SystemClock()
        self._word = SourceWord(database, try_made_up=try_made_up, clock=self._clock)
        self._nothing_left: dict[int, int] = {}
        self._turns = Turns()
        self._background: set[Deferred[Any]] = set()

    # --- asked by the gate

    async def is_ours(self, account: Account, domain: Domain, password: Secret) -> bool:
        """Whether the target may take this password because we set it there."""
        remembered = await self._vault.read(account, domain)
        if remembered.may_be_pushed and remembered.password == password:
            return True
        pushed = remembered.record.pushed_hash
        if pushed is None:
            return False
        return bool(await self._threads.run(lambda: schemes.holds(pushed, password)))

    async def is_recorded(self, record: PasswordRecord, domain: Domain, password: Secret) -> bool:
        """Whether the password is the one that the source last took, by the account's row just read."""
        if record.verified_at is None:
            return False
        return await self._vault.is_the_verified(await self._vault.opened(record, domain, password), password)

    async def taken_lately(
        self, account: Account, domain: Domain, password: Secret, *, seconds: float
    ) -> bool:
        """Whether the source took this very password within `seconds`, and did not refuse it since."""
        seen = await self._database.glance("taken lately", rows.OF_ACCOUNT, {"this": account.id})
        record = rows.record_of(account.id, seen.rows)
        if record.verified_at is None or seen.at - record.verified_at > seconds:
            return False
        if not await self.is_recorded(record, domain, password):
            return False
        return not await self._vault.was_refused_before(account, password)

    async def accepted_at_source(
        self,
        account: Account,
        domain: Domain,
        password: Secret,
        witness: Witness,
        *,
        seen_epoch: int | None = None,
    ) -> bool:
        """Remember a password that the source just accepted, before the flip; return whether it may want a push.

        It wants none where a login at the target proved it. `seen_epoch` is the password epoch from before the
        source was asked. Raises Conflict when another login recorded another password meanwhile: nobody knows
        which is newer, so ask the source again. The word of a source that takes any password is not recorded.
        """
        if domain.blocked:
            return False
        async with self._turn(account):
            before = await self._vault.read_for(account, domain, password)
            try:
                remembered = await self._remembered(
                    account, domain, password, witness, before=before, seen_epoch=seen_epoch
                )
                return remembered.unproved
            except Conflict:
                now = await self._vault.read(account, domain)
                if not await self._vault.is_the_verified(now, password):
                    raise
            except (KeyDestroyed, SealBroken) as error:
                _log.warning("password not kept", account=shown_address(account.address), why=str(error))
        return True

    async def refused_at_source(self, account: Account, domain: Domain, password: Secret) -> None:
        """Take note that the source refused this password: one that was good once never counts again."""
        async with self._turn(account):
            before = await self._vault.read(account, domain)
            if await self._vault.is_the_verified(before, password) or await self.is_ours(
                account, domain, password
            ):
                await self._vault.remember_refused(account, password)

    def push_soon(self, account_id: int) -> None:
        """Set and prove the remembered password in the background; a failure is logged, not raised."""
        self._in_background(lambda: self._push_later(account_id))

    async def bring_to_target(
        self,
        account: Account,
        domain: Domain,
        password: Secret,
        witness: Witness,
        *,
        seen_epoch: int | None = None,
    ) -> Trust:
        """Bring a password that the source accepted to the target now, under all rules of A4.

        Raises Conflict when another login's password was recorded meanwhile: ask the servers again.
        """
        async with self._turn(account):
            over = witness.server.protocol.value
            worth = await self._word.worth(account, domain, over)
            if worth is not Word.COUNTS:
                return _not_believed(worth, self._word.why_unknown(domain, over))
            before = await self._vault.read(account, domain)
            if seen_epoch not in (None, before.record.password_epoch):
                raise Conflict("the servers were asked before another password was recorded")
            early = account.phase in BEFORE_FLIP
            held = (
                Held(Holds.NOTHING_PUSHED) if early else await self._setter.look.held(account, domain, before)
            )
            before = await self._setter.settled(before, held)
            verdict = await self._verdict(account, domain, password, witness, before=before, holds=held.holds)
            if verdict.sets_target_wins:
                if await self._works_by_now(account, domain, password, before):
                    return IN_PLACE
                await self._changed_at_target(account, password, before)
            if verdict.let is Let.REFUSED:
                return refused(verdict.why)
            if verdict.let is Let.TEMPORARY:
                return failed(Cause.TARGET_DOWN, verdict.why)
            try:
                remembered = await self._remembered(
                    account, domain, password, witness, before=before, seen_epoch=seen_epoch
                )
            except (KeyDestroyed, SealBroken) as error:
                return failed(Cause.INTERNAL, str(error))
            try:
                if verdict.push is Push.NO or not remembered.may_be_pushed or not self._setter.pushes:
                    return await self._setter.prove(account, domain, remembered)
                return await self._setter.bring(
                    account, domain, remembered, overwrite=early, before=(before,)
                )
            except ChangedAtTarget:
                await self._changed_at_target(account, password, before)
                return refused("changed_at_the_target")
            except Outrun:
                raise Conflict("a newer password was recorded meanwhile") from None

    def accepted_at_target(
        self, account: Account, domain: Domain, password: Secret, *, seen: PasswordRecord | None = None
    ) -> None:
        """Take note in the background that the target took this password.

        An unproved push is proved. What was sealed under the key of a window that is over is sealed again,
        when it is the password that the source last accepted. `seen` is the account's row just read: where it
        is the one that left nothing to do the last time, there is nothing to do.
        """
        state = None if seen is None else hash(seen)
        if state is None or self._nothing_left.get(account.id) != state:
            self._in_background(lambda: self._took_at_target(account, domain, password))

    async def own_at_target(self, account: Account, domain: Domain, password: Secret) -> None:
        """Take note that the target took a password which is not ours: somebody chose one there.

        From then on it is not overwritten, except by the late start of an account that is local.
        """
        remembered = await self._vault.read(account, domain)
        if remembered.record.own_seen_at is not None or await self.is_ours(account, domain, password):
            return
        try:
            stored = await self._setter.stands(account)
        except Unavailable:
            stored = None
        await self._vault.own_seen(account, stored)

    # --- asked by the copier

    async def push_and_prove(self, account: Account, domain: Domain) -> Trust:
        """Make sure that the remembered password works at the target; it is set again if it does not."""
        async with self._turn(account):
            remembered = await self._vault.read(account, domain)
            if remembered.password is None:
                return failed(Cause.INTERNAL, "no sealed password; it comes with the user's next login")
            if domain.blocked:
                return _not_believed(Word.WORTHLESS)
            try:
                trust = await self._setter.prove(account, domain, remembered)
                if trust.in_place or trust.cause is not Cause.TARGET_REFUSED:
                    return trust
                return await self._set_again(account, domain, remembered) or self._setter.unsettable(
                    domain, remembered, trust
                )
            except Outrun:
                return failed(Cause.INTERNAL, "a newer password was recorded meanwhile")

    async def sealed_password(self, account: Account, domain: Domain) -> Secret | None:
        """Return the password for our login at the source, None when there is none.

        Raises KeyDestroyed or SealBroken.
        """
        return (await self._vault.read(account, domain, strict=True)).password

    async def settled(self) -> None:
        """Wait until no background work is left."""
        while self._background:
            await DeferredList(list(self._background))

    async def stop(self) -> None:
        """Wait for background work, then end the threads."""
        await self.settled()
        self._threads.stop()

    # --- how

    def _purpose(self, domain: Domain, witness: Witness) -> Purpose:
        plain = self._push_from_plaintext or domain.push_from_plaintext
        mere_code = domain.uses_codes and not domain.push_codes
        return Purpose.PUSH if (witness.confidential or plain) and not mere_code else Purpose.COPY

    async def _verdict(
        self,
        account: Account,
        domain: Domain,
        password: Secret,
        witness: Witness,
        *,
        before: Remembered,
        holds: Holds,
    ) -> PasswordVerdict:
        early = account.phase in BEFORE_FLIP
        facts = PasswordFacts(
            phase=account.phase,
            holds=holds,
            target_wins=before.record.target_wins,
            refused_before=not early and await self._vault.was_refused_before(account, password),
            pushed_by_us=not early and await self._worked_there(before, password),
            may_push=self._setter.pushes and self._purpose(domain, witness) is Purpose.PUSH,
        )
        return judge(facts)

    async def _worked_there(self, before: Remembered, password: Secret) -> bool:
        """Whether this is the password that we pushed last and that the target took."""
        pushed = before.record.pushed_hash
        if pushed is None or before.record.proved_at is None:
            return False
        if before.may_be_pushed:
            return before.password == password
        return bool(await self._threads.run(lambda: schemes.holds(pushed, password)))

    async def _works_by_now(
        self, account: Account, domain: Domain, password: Secret, before: Remembered
    ) -> bool:
        """Look once more before a change at the target is believed.

        Another process may have set a password after this login had asked the target: then what stands
        there is no stranger's, and the refusal is an old one. Raises Conflict when a password was recorded
        or set since `before` was read.
        """
        if not await self._setter.is_still(account, domain, before):
            raise Conflict("another password was set meanwhile")
        if before.password != password:
            return False
        return (await self._setter.prove(account, domain, before)).in_place

    async def _remembered(
        self,
        account: Account,
        domain: Domain,
        password: Secret,
        witness: Witness,
        *,
        before: Remembered,
        seen_epoch: int | None,
    ) -> Remembered:
        """Return the row in which `password` is the verified one; raises Conflict, KeyDestroyed."""
        purpose = self._purpose(domain, witness)
        again = (
            before.verified
            and before.password == password
            and (purpose is Purpose.COPY or before.purpose is Purpose.PUSH)
            and before.record.sealed_window == domain.window_number
        )
        if again:
            await self._vault.seen_again(before, now=self._clock.now())
            return before
        epoch = before.record.password_epoch if seen_epoch is None else seen_epoch
        over = witness.server.protocol
        return await self._vault.keep(account, domain, password, purpose, over=over, epoch=epoch)

    async def _changed_at_target(self, account: Account, password: Secret, before: Remembered) -> None:
        _log.warning("the password was changed at the target", account=shown_address(account.address))
        await self._vault.target_wins(account)
        if await self._vault.is_the_verified(before, password):
            await self._vault.remember_refused(account, password)

    async def _push_later(self, account_id: int) -> None:
        def look(conn: Connection) -> tuple[Account, Domain] | None:
            if not Remembered(rows.get(conn, account_id)).unproved:
                return None
            account = accounts.get(conn, account_id)
            return account, domains.get(conn, account.domain)

        found = await self._database.read("unproved", look)
        if found is None:
            return
        account, domain = found
        async with self._turn(account):
            remembered = await self._vault.read(account, domain)
            if not remembered.unproved:
                return
            try:
                trust = await self._set_again(account, domain, remembered) or IN_PLACE
            except Outrun:
                return  # the login that was newer pushes its own
        if not trust.in_place:
            _log.warning(
                "password not at the target yet",
                account=shown_address(account.address),
                cause=trust.cause.value,
                text=trust.text,
            )

    async def _set_again(self, account: Account, domain: Domain, remembered: Remembered) -> Trust | None:
        """Set the remembered password again; None when it may not be set. Raises Outrun."""
        if not (self._setter.pushes and remembered.may_be_pushed) or remembered.record.target_wins:
            return None
        over = remembered.record.verified_over
        worth = await self._word.worth(account, domain, over)
        if worth is not Word.COUNTS:
            return _not_believed(worth, self._word.why_unknown(domain, over))
        try:
            early = account.phase in BEFORE_FLIP
            return await self._setter.bring(account, domain, remembered, overwrite=early)
        except ChangedAtTarget:
            await self._vault.target_wins(account)
            return failed(Cause.TARGET_REFUSED, "the password was changed at the target")

    async def _took_at_target(self, account: Account, domain: Domain, password: Secret) -> None:
        async with self._turn(account):
            remembered = await self._vault.read(account, domain)
            try:
                if remembered.unproved and remembered.may_be_pushed and remembered.password == password:
                    await self._setter.confirm(account, remembered)
                if remembered.password is None and await self._vault.is_the_verified(remembered, password):
                    await self._vault.seal_again(account, domain, remembered, password)
                elif remembered.password is not None and not remembered.unproved:
                    if len(self._nothing_left) >= MOST_SETTLED:
                        self._nothing_left.clear()
                    self._nothing_left[account.id] = hash(remembered.record)
            except (Conflict, Outrun):
                return  # a newer password took its place
            except (KeyDestroyed, SealBroken) as error:
                _log.warning("password not kept", account=shown_address(account.address), why=str(error))

    def _turn(self, account: Account) -> Turn:
        """Wait for the turn at this account's password inside this process."""
        return self._turns.take(account.id)

    def _in_background(self, work: Callable[[], Any]) -> None:
        running = Deferred.fromCoroutine(self._quietly(work))
        self._background.add(running)
        running.addBoth(lambda _result: self._background.discard(running))

    async def _quietly(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except (StoreUnavailable, RemoteFailure) as error:
            _log.warning("password work put off", error=type(error).__name__, text=str(error))
        except Exception as error:  # loop edge: the login that started it was answered long ago
            _log.error("password work broke", exc_info=error)


def _not_believed(worth: Word, why: RemoteFailure | None = None) -> Trust:
    if worth is Word.WORTHLESS:
        return failed(
            Cause.SOURCE_TAKES_ANY_PASSWORD, "the old host takes any password; the domain is blocked"
        )
    text = "the old host could not be asked yet whether it refuses a made-up password"
    return failed(Cause.SERVER_DOWN, text) if why is None else failed(why.cause, f"{text}: {why.text}")
