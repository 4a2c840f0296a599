"""The password row of an account, with its sealed password opened: what is remembered of a password.

Reading and writing go through the store; sealing and slow hashes run in threads. Every write
compares the password epoch that was read, so that the later of two racing logins is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from mailferry.model.access import Protocol, Secret
from mailferry.model.account import FOLLOWED_ON_TARGET, Phase
from mailferry.observe.crash_points import crash_point
from mailferry.passwords import verifiers
from mailferry.passwords.recognised import Recognised
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose, SealBroken, purpose_of
from mailferry.passwords.work_threads import WorkThreads
from mailferry.store import accounts, domains, remarks
from mailferry.store import passwords as rows
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.passwords import PasswordRecord
from mailferry.store.remarks import RemarkKind

SEEN_AGAIN_SECONDS = 3600.0
"""A repeated password is noted at most this often; the 24 hours of other checks need no more."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The row, and the sealed password where it can be opened."""

    record: PasswordRecord
    password: Secret | None = field(default=None, repr=False)
    purpose: Purpose | None = None

    @property
    def verified(self) -> bool:
        """Whether some login at the source proved the sealed password."""
        return self.record.verified_at is not None and not self.record.sealed_by_import

    @property
    def may_be_pushed(self) -> bool:
        """Whether a confidential witness stood behind the sealed password."""
        return self.password is not None and self.verified and self.purpose is Purpose.PUSH

    @property
    def unproved(self) -> bool:
        """Whether the password was verified and no target login has shown yet that it is there."""
        return self.verified and self.record.proved_at is None


class Vault:
    """Reads and writes what is remembered."""

    def __init__(self, database: Database, keyring: KeyRing, threads: WorkThreads) -> None:
        self._database = database
        self._keyring = keyring
        self._threads = threads
        self._recognised = Recognised()

    async def read(self, account: Account, domain: Domain, *, strict: bool = False) -> Remembered:
        """Return what is remembered; `strict` raises KeyDestroyed or SealBroken where it cannot be opened."""
        return await self._read(account.id, domain, strict=strict)

    async def read_for(self, account: Account, domain: Domain, typed: Secret) -> Remembered:
        """Return what is remembered, by a shorter way where `typed` is known to be what was sealed."""
        seen = await self._database.glance("password", rows.OF_ACCOUNT, {"this": account.id})
        return await self.opened(rows.record_of(account.id, seen.rows), domain, typed)

    async def opened(self, record: PasswordRecord, domain: Domain, typed: Secret) -> Remembered:
        """Return `record` with the sealed password; read anew where the seal must be opened for it."""
        purpose = self._recognised.purpose(record.account_id, record.sealed, typed)
        if purpose is not None:
            return Remembered(record, typed, purpose)
        if record.sealed is None:
            return Remembered(record)
        remembered = await self._read(record.account_id, domain)
        self._recognise(remembered, typed)
        return remembered

    def _recognise(self, remembered: Remembered, password: Secret) -> None:
        record, purpose = remembered.record, remembered.purpose
        if record.sealed is not None and purpose is not None and remembered.password == password:
            self._recognised.note(record.account_id, record.sealed, password, purpose)

    async def _read(self, account_id: int, domain: Domain, *, strict: bool = False) -> Remembered:
        def read(conn: Connection) -> Remembered:
            record = rows.get(conn, account_id)
            sealed, window = record.sealed, record.sealed_window
            if sealed is None or window is None:
                return Remembered(record)
            try:  # here, because a second way to another thread and back would cost more than opening it
                purpose = purpose_of(sealed)
                password = self._keyring.unseal(domain.name, window, account_id, purpose, sealed)
            except (KeyDestroyed, SealBroken):
                if strict:
                    raise
                return Remembered(record)
            return Remembered(record, password, purpose)

        return await self._database.read("password", read)

    async def is_the_verified(self, remembered: Remembered, password: Secret) -> bool:
        """Whether `password` is the one that the source last accepted."""
        if not remembered.verified:
            return False
        if remembered.password is not None:
            return remembered.password == password
        verifier = remembered.record.verifier
        return await self._threads.run(lambda: verifiers.matches(verifier, password))

    async def keep(
        self,
        account: Account,
        domain: Domain,
        password: Secret,
        purpose: Purpose,
        *,
        over: Protocol,
        epoch: int,
    ) -> Remembered:
        """Record a password that the source's server for `over` just accepted, in place of the one before.

        Raises Conflict when another login was first, KeyDestroyed when the window's key is gone,
        SealBroken when it does not open.
        """
        window, utf8 = domain.window_number, _is_utf8(password)

        def prepared() -> tuple[str, bytes]:
            sealed = self._keyring.seal(domain.name, window, account.id, purpose, password)
            return verifiers.make_verifier(password), sealed

        verifier, sealed = await self._threads.run(prepared)

        def write(conn: Connection) -> PasswordRecord:
            record = rows.verified(
                conn,
                account.id,
                password_epoch=epoch,
                verifier=verifier,
                sealed=sealed,
                window_number=window,
                over=over.value,
            )
            if not utf8:
                remarks.note(conn, account.id, RemarkKind.NOT_UTF8, number=0)
            elif epoch:
                remarks.forget(conn, account.id, RemarkKind.NOT_UTF8)
            return record

        record = await self._database.run("password verified", write)
        crash_point("password-sealed")
        return Remembered(record, password, purpose)

    async def seal_again(
        self, account: Account, domain: Domain, remembered: Remembered, password: Secret
    ) -> None:
        """Seal the verified password under the key of the present window, and have the copier come for it.

        For the copy alone: nothing new is known of who saw it. Nothing is written for an account that is
        closed meanwhile. Raises Conflict when another password was recorded, KeyDestroyed, SealBroken.
        """
        window, epoch = domain.window_number, remembered.record.password_epoch
        sealed = await self._threads.run(
            lambda: self._keyring.seal(domain.name, window, account.id, Purpose.COPY, password)
        )

        def write(conn: Connection) -> None:
            phase = accounts.locked(conn, account.id).phase
            if phase not in FOLLOWED_ON_TARGET or domains.get(conn, domain.name).window_number != window:
                return
            rows.sealed_again(conn, account.id, password_epoch=epoch, sealed=sealed, window_number=window)
            if phase is Phase.SWITCHED:
                accounts.ask_sweep(conn, account.id)
            else:
                accounts.wake(conn, account.id)

        await self._database.run("password sealed again", write)

    async def seen_again(self, remembered: Remembered, *, now: float) -> None:
        """Note that the source accepted the remembered password once more."""
        record = remembered.record
        if record.verified_at is not None and 0 <= now - record.verified_at < SEEN_AGAIN_SECONDS:
            return
        await self._database.run(
            "password again",
            lambda conn: rows.seen_again(conn, record.account_id, password_epoch=record.password_epoch),
        )

    async def note_pushed(self, remembered: Remembered, stored_hash: str) -> Remembered:
        """Record the hash that now stands at the target; raises Conflict."""
        before = remembered.record
        record = await self._database.run(
            "password pushed",
            lambda conn: rows.pushed(
                conn, before.account_id, password_epoch=before.password_epoch, pushed_hash=stored_hash
            ),
        )
        return Remembered(record, remembered.password, remembered.purpose)

    async def note_proved(self, remembered: Remembered) -> None:
        """Record that the target took the password; raises Conflict."""
        before = remembered.record
        await self._database.run(
            "password proved",
            lambda conn: rows.proved(conn, before.account_id, password_epoch=before.password_epoch),
        )

    async def was_refused_before(self, account: Account, password: Secret) -> bool:
        """Whether this password was good once, was refused later, and so never counts again."""
        known = await self._database.read("refused passwords", lambda conn: rows.refused(conn, account.id))
        return bool(known) and await self._threads.run(lambda: verifiers.matches_any(known, password))

    async def remember_refused(self, account: Account, password: Secret) -> None:
        """Remember a once good password as refused for ever."""
        if await self.was_refused_before(account, password):
            return
        verifier = await self._threads.run(lambda: verifiers.make_verifier(password))
        await self._database.run(
            "password refused", lambda conn: rows.remember_refused(conn, account.id, verifier)
        )

    async def own_seen(self, account: Account, stored_hash: str | None) -> None:
        """Record that the target took a password that we had not set; only the first note counts."""
        await self._database.run("own password", lambda conn: rows.own_seen(conn, account.id, stored_hash))
        crash_point("own-password-noted")

    async def target_wins(self, account: Account) -> None:
        """Record that somebody changed the password at the target."""
        await self._database.run("target wins", lambda conn: rows.target_wins(conn, account.id))


def _is_utf8(password: Secret) -> bool:
    try:
        password.reveal().decode()
    except UnicodeDecodeError:
        return False
    return True
