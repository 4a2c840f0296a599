"""A whole move in one reactor: two lab hosts, a store, the gate and the copier, as the roles build them.

For behaviour that depends on who answers what and in which phase; kills and signals are for
`tests/kit/service.py`, which runs real processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from mailferry.app.copier import Desks
from mailferry.app.node import NodeMembership
from mailferry.app.parts import Parts, make_penalty
from mailferry.config.settings import Settings
from mailferry.copying.queue import CopyQueue
from mailferry.copying.work import Tools
from mailferry.gate.admission import Admission, Admitted, ClientAddress, LoginAttempt, Rejected
from mailferry.gate.carrying_out import Hands
from mailferry.gate.gatekeeper import Gatekeeper
from mailferry.gate.judges import Judges, TargetServers
from mailferry.gate.live_sessions import SessionBook
from mailferry.gate.penalty import Penalty
from mailferry.gate.tap_choice import TapChoice
from mailferry.lab.host import LabHost
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.model.account import Phase
from mailferry.net.connect import Connector
from mailferry.observe.log import get_log
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import service_key
from mailferry.passwords.work_threads import WorkThreads
from mailferry.providers.loader import load_profiles
from mailferry.remote.open import open_session
from mailferry.remote.target_login import TargetAccess, TargetLogin
from mailferry.store import accounts, domains
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain

DOMAIN = "old.test"
USER = "li@old.test"
OLD = b"old password"
OTHER = b"another password"
MASTER = ("mailferry", b"master secret")
CLIENT = ClientAddress("127.0.0.9", 40000)


def server(protocol: Protocol, port: int) -> Server:
    return Server(protocol, "127.0.0.1", port, TlsMode.NONE)


def url(protocol: str, port: int) -> str:
    return f"{protocol}://127.0.0.1:{port}?tls=none"


@dataclass
class Move:
    """Source, target, store, gate and copier of one domain."""

    source: LabHost
    target: LabHost
    database: Database
    parts: Parts
    book: SessionBook
    penalty: Penalty
    gate: Gatekeeper
    queue: CopyQueue
    node: NodeMembership
    users: Path

    async def login(
        self, password: bytes = OLD, *, protocol: Protocol = Protocol.IMAP, name: str = USER
    ) -> Admission:
        """Ask the gate; a refusal does not make the test wait for its floor."""
        attempt = LoginAttempt(protocol, Credentials(name, Secret(password)), CLIENT, "test")
        admission: Admission = await self.gate.admit(attempt)
        return admission

    async def admitted(self, password: bytes = OLD, **more: Any) -> Admitted:
        """Log in and expect a session."""
        admission = await self.login(password, **more)
        assert isinstance(admission, Admitted), admission
        return admission

    async def rejected(self, password: bytes = OLD, **more: Any) -> Rejected:
        """Log in and expect none."""
        admission = await self.login(password, **more)
        assert isinstance(admission, Rejected), admission
        return admission

    async def logout(self, admission: Admitted) -> None:
        """End a session that was admitted, as the relay does."""
        ended: Deferred[None] = Deferred()

        class User:
            def received(self, data: bytes) -> None: ...

            def pressure(self, full: bool) -> None: ...

            def closed(self, reason: object) -> None:
                ended.callback(None)

        admission.carrier.attach(User())
        admission.carrier.abort()
        await ended
        admission.session.ended()
        await self.book.settled()

    def account(self, address: str = USER) -> Account | None:
        return self.database.read_now("account", lambda conn: accounts.find(conn, address))

    def phase(self, address: str = USER) -> Phase | None:
        account = self.account(address)
        return None if account is None else account.phase

    def domain(self) -> Domain:
        return self.database.read_now("domain", lambda conn: domains.get(conn, DOMAIN))

    def set_rules(self, **rules: Any) -> None:
        self.database.run_now("rules", lambda conn: domains.set_rules(conn, DOMAIN, **rules))

    async def wait_for(self, phase: Phase, address: str = USER) -> None:
        """Wait until the account is in `phase`; the test's deadline bounds it."""
        from twisted.internet import reactor, task

        while (account := self.account(address)) is None or account.phase is not phase:
            assert account is None or account.failed_runs == 0, (account.cause, account.cause_text)
            await task.deferLater(reactor, 0.05, lambda: None)


async def make_move(
    tmp_path: Path,
    database: Database,
    *,
    source_accounts: Mapping[str, LabAccount] | None = None,
    source_quirks: frozenset[str] = frozenset(),
    target_hash: str | None = None,
    copy: Mapping[str, Any] | None = None,
    shield: Mapping[str, Any] | None = None,
    source_protocols: tuple[str, ...] = ("imap", "pop3"),
) -> tuple[Move, Callable[[], Deferred[None]]]:
    """Return a move that serves, and what ends it."""
    from twisted.internet import reactor

    users = tmp_path / "users"
    users.write_text(f"{USER}:{target_hash or '{PLAIN}not the old one'}:::::: \n")
    own = {USER: LabAccount(password=OLD)}
    source = LabHost(reactor, "source", accounts=source_accounts or own, quirks=source_quirks)
    empty = LabAccount(store=Mailstore(first_uidvalidity=5000, uidl_prefix=b"new"))
    target = LabHost(reactor, "target", accounts={USER: empty}, passwd_file=users, master=MASTER)
    await source.start()
    await target.start()
    settings = Settings.model_validate(
        {
            "service": {"state_dir": str(tmp_path), "allow_networks": ["127.0.0.0/8"]},
            "target": {"imap": url("imap", target.imap_port), "pop3": url("pop3", target.pop3_port)},
            "copy": {"quiet_seconds": 1, "pass_interval_seconds": 1, **(copy or {})},
            "shield": shield or {},
        }
    )
    parts = _parts(settings, database, target, users, tmp_path)
    database.run_now(
        "domain",
        lambda conn: domains.add(
            conn,
            DOMAIN,
            source_imap=url("imap", source.imap_port) if "imap" in source_protocols else None,
            source_pop3=url("pop3", source.pop3_port) if "pop3" in source_protocols else None,
            provider="generic",
            login_form="full",
            switch="when-copied",
            language="en",
        ),
    )
    node = NodeMembership(
        database,
        role="test",
        state_dir=tmp_path,
        reactor=reactor,
        log=get_log("test"),
        on_silent=lambda: None,
        on_void=lambda: None,
    )
    await node.register()
    book = SessionBook(
        database, node=lambda: node.id, reactor=reactor, quiet_seconds=1.0, log=get_log("test")
    )
    book.begin()
    judges = Judges(connector=parts.connector, profiles=parts.profiles, target=parts.target, reactor=reactor)
    penalty = make_penalty(parts, judges)
    hands = Hands(
        database=database,
        judges=judges,
        penalty=penalty,
        keeper=parts.keeper,
        book=book,
        taps=TapChoice(database),
    )
    gate = Gatekeeper(hands, reactor=reactor, log=get_log("gate"))
    tools = Tools(
        database=database,
        keeper=parts.keeper,
        reactor=reactor,
        log=get_log("copier"),
        flips_file=tmp_path / "flips.log",
        freeze_budget=20.0,
        pass_interval=1.0,
    )
    queue = CopyQueue(tools, node=lambda: node.id, make_desk=Desks(parts).make, at_once=4)
    move = Move(source, target, database, parts, book, penalty, gate, queue, node, users)

    async def end() -> None:
        await queue.finish()
        await penalty.settled()
        await book.finish()
        await node.leave()
        await parts.keeper.stop()
        await source.stop()
        await target.stop()

    return move, lambda: Deferred.fromCoroutine(end())


def _parts(settings: Settings, database: Database, target: LabHost, users: Path, tmp_path: Path) -> Parts:
    from twisted.internet import reactor

    connector = Connector(reactor)
    profiles = load_profiles(None)
    imap = server(Protocol.IMAP, target.imap_port)
    threads = WorkThreads(reactor)
    backend = PasswdFile(users, threads=threads, create=False)

    async def prove(address: str, domain: Domain, password: Secret) -> None:
        credentials = Credentials(address, password)
        session = await open_session(connector, imap, credentials, profiles["generic"], reactor=reactor)
        session.carrier.close()

    keyring = KeyRing(tmp_path / "keys", service_key(None, tmp_path))
    keeper = PasswordKeeper(
        database=database,
        keyring=keyring,
        backend=backend,
        scheme="SSHA512",
        prove=prove,
        threads=threads,
    )
    return Parts(
        settings=settings,
        reactor=reactor,
        log=get_log("test"),
        database=database,
        profiles=profiles,
        connector=connector,
        target=TargetServers(imap, server(Protocol.POP3, target.pop3_port)),
        target_access=TargetAccess(TargetLogin.DOVECOT_MASTER, MASTER[0], Secret(MASTER[1])),
        keyring=keyring,
        backend=backend,
        keeper=keeper,
    )
