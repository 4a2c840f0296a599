"""A source, a target with its users file, and a keeper between them; nothing of it is imitated but the servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.model.access import Protocol, Secret, Server, TlsMode
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.model.witness import Witness
from mailferry.passwords import schemes
from mailferry.passwords.backend import NewPassword, PasswordBackend, PushResult
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.source_word import TryMadeUp
from mailferry.passwords.trust import Trust
from mailferry.passwords.work_threads import WorkThreads
from mailferry.store import accounts, domains, passwords
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.passwords import PasswordRecord

USER = "zhang@a.test"
SERVER = Server(Protocol.IMAP, "old.test", 993, TlsMode.IMPLICIT)

WAYS: dict[Phase, tuple[Event, ...]] = {
    Phase.IDLE: (),
    Phase.PRECOPY: (Event.SOURCE_ACCEPTED,),
    Phase.BACKFILL: (Event.SOURCE_ACCEPTED_AT_ONCE,),
    Phase.SWITCHED: (Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE),
    Phase.LOCAL: (Event.TARGET_ONLY,),
}


def witness(*, confidential: bool = True) -> Witness:
    return Witness(SERVER, USER, confidential, "NAMESPACE")


class UnreadFile(PasswdFile):
    """The users file as a place that can be written and not read, as the site's own program is."""

    readable = False

    async def current(self, address: str) -> str | None:
        raise AssertionError("it cannot be read")

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        assert expected is None, "nothing can be compared"
        return await super().push(address, new, expected=await super().current(address))


@dataclass
class World:
    store: Database
    keyring: KeyRing
    threads: WorkThreads
    users: Path
    target_up: bool = True
    scheme: str = "SSHA512"  # fast; the slow ones are compared elsewhere
    logins: list[bytes] = field(default_factory=list)
    before_prove: Callable[[], None] = lambda: None
    backend: PasswordBackend | None = None
    """In place of the users file's own: it must write there as well."""
    try_made_up: TryMadeUp | None = None

    def __post_init__(self) -> None:
        if not self.users.exists():
            self.users.write_text(f"{USER}:{{PLAIN}}first\nother@a.test:{{PLAIN}}other\n")
        self.keeper = self.fresh_keeper()

    def fresh_keeper(self) -> PasswordKeeper:
        return PasswordKeeper(
            database=self.store,
            keyring=self.keyring,
            backend=self.backend or PasswdFile(self.users, threads=self.threads),
            scheme=self.scheme,
            prove=self.prove,
            threads=self.threads,
            try_made_up=self.try_made_up,
        )

    # the target

    async def prove(self, address: str, domain: Domain, password: Secret) -> None:
        self.before_prove()
        self.logins.append(password.reveal())
        if not self.target_up:
            raise Unavailable(Cause.SERVER_DOWN, "connection refused")
        if not self.target_takes(password.reveal(), address):
            raise Refused(Cause.BAD_CREDENTIALS, "no")

    def stored(self, address: str = USER) -> str:
        for line in self.users.read_text().splitlines():
            if line.startswith(f"{address}:"):
                return line.split(":")[1]
        raise AssertionError(f"{address} is gone")

    def target_takes(self, octets: bytes, address: str = USER) -> bool:
        return schemes.holds(self.stored(address), Secret(octets)) is True

    def change_at_target(self, octets: bytes) -> None:
        text = self.users.read_text()
        self.users.write_text(text.replace(self.stored(), schemes.make_hash("SSHA256", Secret(octets))))

    # the store

    def account(self, phase: Phase = Phase.PRECOPY) -> Account:
        def work(conn):
            if domains.find(conn, "a.test") is None:
                domains.add(conn, "a.test", source_imap="imaps://old.test")
            account = accounts.find(conn, USER) or accounts.ensure(conn, USER, "a.test")
            for event in WAYS[phase]:
                account = accounts.apply(conn, account.id, event, epoch=account.epoch, trigger=Trigger.IMAP)
            return account

        return self.store.run_now("account", work)

    def moved(self, account: Account, event: Event) -> Account:
        return self.store.run_now(
            event.value, lambda conn: accounts.apply(conn, account.id, event, epoch=account.epoch)
        )

    @property
    def domain(self) -> Domain:
        return self.store.read_now("domain", lambda conn: domains.get(conn, "a.test"))

    def record(self, account: Account) -> PasswordRecord:
        return self.store.read_now("record", lambda conn: passwords.get(conn, account.id))

    # what a gate does

    async def login_before_flip(self, account: Account, octets: bytes, *, confidential: bool = True) -> None:
        await self.keeper.accepted_at_source(
            account, self.domain, Secret(octets), witness(confidential=confidential)
        )
        self.keeper.push_soon(account.id)

    async def login_after_flip(self, account: Account, octets: bytes, *, confidential: bool = True) -> Trust:
        """The target refused, the source accepted."""
        return await self.keeper.bring_to_target(
            account, self.domain, Secret(octets), witness(confidential=confidential)
        )

    async def login_at_target(self, account: Account, octets: bytes) -> None:
        """The target takes a password that is not ours."""
        assert self.target_takes(octets)
        await self.keeper.own_at_target(account, self.domain, Secret(octets))

    async def settled(self) -> None:
        """Wait for background work."""
        await self.keeper.settled()
