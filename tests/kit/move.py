"""A whole move in one reactor: two lab hosts, a store, and the proxy and copier roles as `serve` builds them.

With a `WorldTime` every time limit, pass, lease and window runs on a clock that the test moves;
without one on the real clock. Kills and signals are for `tests/kit/service.py`, which runs real processes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from mailferry.app import copier, proxy
from mailferry.app.copier import CopierRole
from mailferry.app.listeners import bind_listeners
from mailferry.app.parts import Parts
from mailferry.app.proxy import ProxyRole
from mailferry.app.times import Times
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.gate.admission import Admission, Admitted, LoginAttempt, Rejected
from mailferry.gate.gatekeeper import Gatekeeper
from mailferry.gate.live_sessions import SessionBook
from mailferry.gate.penalty import Penalty
from mailferry.lab.certificates import CertificateFiles
from mailferry.lab.host import LabHost
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Credentials, Protocol, Secret
from mailferry.model.account import Phase
from mailferry.observe.log import get_log
from mailferry.store import accounts, domains
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.wire.proxy_header import Endpoint
from tests.kit.clocked import WorldTime
from tests.kit.fault_relay import FR, Fault, Kind
from tests.kit.scripted import Talk, dial

T = TypeVar("T")

DOMAIN = "old.test"
USER = "li@old.test"
OLD = b"old password"
OTHER = b"another password"
MASTER = ("mailferry", b"master secret")
CLIENT = Endpoint("127.0.0.9", 40000)

_LOOK_SECONDS = 0.05


def url(protocol: str, port: int) -> str:
    return f"{protocol}://127.0.0.1:{port}?tls=none"


@dataclass
class Move:
    """Source, target, store and both roles of one domain."""

    source: LabHost
    target: Any
    """A LabHost, or what has its ports, its start and its stop."""
    database: Database
    """The test's own way into the store."""
    proxy: ProxyRole
    copier: CopierRole
    users: Path
    """The target's passwd-file."""
    ports: Mapping[Protocol, int]
    """Where mail programs connect."""
    clocked: WorldTime | None = None
    relay: FR | None = None
    target_relay: FR | None = None
    _copies: bool = field(default=False, init=False)

    @property
    def time(self) -> WorldTime:
        """The time of this move; only where it was made with one."""
        assert self.clocked is not None, "this move runs on the real clock"
        return self.clocked

    @property
    def parts(self) -> Parts:
        """The proxy's."""
        return self.proxy.parts

    @property
    def gate(self) -> Gatekeeper:
        """The gate behind the doors."""
        return self.proxy.gate.gatekeeper

    @property
    def book(self) -> SessionBook:
        """The sessions of the proxy."""
        return self.proxy.gate.book

    @property
    def penalty(self) -> Penalty:
        """The shield of the proxy."""
        return self.proxy.gate.penalty

    @property
    def state_dir(self) -> Path:
        """Where keys and the log of flips lie."""
        return self.parts.settings.service.state_dir

    # --- logins behind the door

    def admit(
        self, password: bytes = OLD, *, protocol: Protocol = Protocol.IMAP, name: str = USER
    ) -> Deferred[Admission]:
        """Ask the gate; time stands still meanwhile."""
        attempt = LoginAttempt(protocol, Credentials(name, Secret(password)), CLIENT, "test")
        return self.gate.admit(attempt)

    async def login(self, password: bytes = OLD, **more: Any) -> Admission:
        """Ask the gate and let pass the time that it takes."""
        return await self.done(self.admit(password, **more))

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

    # --- logins through the door

    async def program(self, protocol: Protocol = Protocol.IMAP, password: bytes = OLD) -> Talk:
        """Return a mail program that logged in; `hang_up` ends it."""
        talk = await dial(self.ports[protocol])
        if protocol is Protocol.POP3:
            talk.send(b"USER %s\r\nPASS %s\r\n" % (USER.encode(), password))
            for _ in range(3):
                await self.done(talk.expect(b"+OK"))
        else:
            talk.send(b'l LOGIN "%s" "%s"\r\n' % (USER.encode(), password))
            await self.done(talk.expect(b"l OK"))
        return talk

    # --- the store

    def account(self, address: str = USER) -> Account | None:
        return self.database.read_now("account", lambda conn: accounts.find(conn, address))

    def phase(self, address: str = USER) -> Phase | None:
        account = self.account(address)
        return None if account is None else account.phase

    def known(self, address: str = USER) -> Account:
        """Return the account, which is there."""
        account = self.account(address)
        assert account is not None
        return account

    def domain(self) -> Domain:
        return self.database.read_now("domain", lambda conn: domains.get(conn, DOMAIN))

    def set_rules(self, **rules: Any) -> None:
        self.database.run_now("rules", lambda conn: domains.set_rules(conn, DOMAIN, **rules))

    # --- the way to the source's IMAP, where it leads through a relay

    def stall_the_source(self) -> None:
        """Let new connections wait for a greeting that never comes."""
        assert self.relay is not None, "the move was made without a relay"
        self.relay.faults.append(Fault(Kind.STALL, "to_client", 0))

    def let_the_source_answer(self) -> None:
        """Let new connections pass; those that wait go on waiting."""
        assert self.relay is not None
        self.relay.faults.clear()

    # --- what goes on

    async def copy(self) -> None:
        """Start the copier."""
        self._copies = True
        await self.done(self.copier.start())

    async def done(self, work: Awaitable[T], *, within: float = 120.0) -> T:
        """Wait for `work`; on a clock of ours the time that it takes passes."""
        return await (work if self.clocked is None else self.clocked.run(work, within=within))

    async def until(self, condition: Callable[[], Any], *, within: float = 400.0) -> None:
        """Wait until `condition` is true; on the real clock the test's deadline bounds it."""
        if self.clocked is not None:
            await self.clocked.until(condition, within=within)
            return
        from twisted.internet import reactor, task

        while not condition():
            await task.deferLater(reactor, _LOOK_SECONDS, lambda: None)

    async def wait_for(self, phase: Phase, address: str = USER) -> None:
        """Wait until the account is in `phase`, and fail as soon as a run of its copy failed."""

        def reached() -> bool:
            account = self.account(address)
            assert account is None or account.failed_runs == 0, (account.cause, account.cause_text)
            return account is not None and account.phase is phase

        await self.until(reached)

    def unlike(self) -> bool:
        """Whether both sides hold different mail."""
        return self.target.mailstore(USER).fingerprint() != self.source.mailstore(USER).fingerprint()

    async def end(self) -> None:
        """End both roles as a stop of the service does, then the hosts."""
        if self._copies:
            await self.done(self.copier.drain())
        await self.done(self.proxy.drain())
        for relay in (self.relay, self.target_relay):
            if relay is not None:
                await relay.stop()
        await self.source.stop()
        await self.target.stop()
        if self.clocked is not None:
            await self.clocked.settle()
            assert not self.clocked.left_behind, f"left behind: {self.clocked.left_behind}"


async def make_move(
    tmp_path: Path,
    database: Database,
    *,
    clocked: WorldTime | None = None,
    source_accounts: Mapping[str, LabAccount] | None = None,
    source_quirks: frozenset[str] = frozenset(),
    source_tls: CertificateFiles | None = None,
    provider: str = "generic",
    relayed: bool = False,
    target_relayed: bool = False,
    target_hash: str | None = None,
    copy: Mapping[str, Any] | None = None,
    shield: Mapping[str, Any] | None = None,
    source_protocols: tuple[str, ...] = ("imap", "pop3"),
    drain_seconds: int = 30,
    target: Any = None,
    passwords: Mapping[str, Any] | None = None,
    notices: Mapping[str, Any] | None = None,
    master: bool = True,
    default_domain: str | None = None,
) -> Move:
    """Return a move whose doors are open; `copy()` starts its copier, `end()` ends it.

    `target` stands in for the lab's, `passwords` for the settings of its passwd-file. Without `master`
    the target opens with each user's own password only.

    With `relayed` the way to the source's IMAP leads through `relay`, which breaks what it is told to;
    with `target_relayed` the way to the target's through `target_relay`.
    """
    from twisted.internet import reactor

    inside: Any = reactor if clocked is None else clocked.reactor
    users = tmp_path / "users"
    users.write_text(f"{USER}:{target_hash or '{PLAIN}not the old one'}:::::: \n")
    own = {USER: LabAccount(password=OLD)}
    source = LabHost(inside, "source", accounts=source_accounts or own, quirks=source_quirks, tls=source_tls)
    empty = LabAccount(store=Mailstore(first_uidvalidity=5000, uidl_prefix=b"new"))
    target = target or LabHost(inside, "target", accounts={USER: empty}, passwd_file=users, master=MASTER)
    await source.start()
    await target.start()
    target_relay = await FR(target.imap_port).start() if target_relayed else None
    target_port = target.imap_port if target_relay is None else target_relay.port
    settings = _settings(
        tmp_path,
        database,
        target,
        users,
        imap_port=target_port,
        copy=copy or {},
        shield=shield or {},
        drain_seconds=drain_seconds,
        passwords=passwords,
        notices=notices or {},
        master=master,
        default_domain=default_domain,
    )
    relay = await FR(source.imap_port).start() if relayed else None
    imap_port = source.imap_port if relay is None else relay.port
    source_imap = url("imap", imap_port)
    if source_tls is not None:
        source_imap = f"imap://localhost:{imap_port}?ca={source_tls.authority}"
    database.run_now(
        "domain",
        lambda conn: domains.add(
            conn,
            DOMAIN,
            source_imap=source_imap if "imap" in source_protocols else None,
            source_pop3=url("pop3", source.pop3_port) if "pop3" in source_protocols else None,
            provider=provider,
            login_form="full",
            switch="when-copied",
            language="en",
        ),
    )

    def context(role: str) -> WorkerContext:
        def leave(why: str) -> None:
            raise AssertionError(f"the {role} left: {why}")

        times = Times() if clocked is None else clocked.times
        return WorkerContext(settings, inside, get_log(role), 0, leave, times)

    listeners = bind_listeners(settings.listen)
    move = Move(
        source,
        target,
        database,
        proxy.build(context("proxy"), listeners),
        copier.build(context("copier")),
        users,
        {Protocol(one.settings.service.value): one.socket.getsockname()[1] for one in listeners},
        clocked,
        relay,
        target_relay,
    )
    await move.done(move.proxy.start())
    for one in listeners:
        one.socket.close()
    return move


def _settings(
    tmp_path: Path,
    database: Database,
    target: Any,
    users: Path,
    *,
    imap_port: int,
    copy: Mapping[str, Any],
    shield: Mapping[str, Any],
    drain_seconds: int,
    passwords: Mapping[str, Any] | None,
    master: bool,
    notices: Mapping[str, Any],
    default_domain: str | None,
) -> Settings:
    place = database.place
    sqlite = place.sqlite_path
    return Settings.model_validate(
        {
            "service": {
                "state_dir": str(tmp_path if sqlite is None else sqlite.parent),
                "database": "sqlite" if sqlite else place.url.render_as_string(hide_password=False),
                "allow_networks": ["127.0.0.0/8"],
                "drain_seconds": drain_seconds,
                "default_domain": default_domain,
            },
            "listen": [
                {"service": protocol.value, "endpoint": "tcp:0:interface=127.0.0.1", "tls": "none"}
                for protocol in Protocol
            ],
            "target": {
                "imap": url("imap", imap_port),
                "pop3": url("pop3", target.pop3_port),
                **(
                    {
                        "login": "dovecot-master",
                        "master_user": MASTER[0],
                        "master_password": Secret(MASTER[1]),
                    }
                    if master
                    else {"login": "user"}
                ),
            },
            "passwords": passwords
            or {"backend": "passwd-file", "scheme": "SSHA512", "passwd-file": {"path": str(users)}},
            "copy": copy,
            "notices": notices,
            "shield": shield,
        }
    )
