"""Two real Dovecots, a store and a desk: what a pass of the copier needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from mailferry.copying.account import run_pass
from mailferry.copying.desk import CopyDesk
from mailferry.copying.results import CopyLimits, Mode, PassRequest, PassResult
from mailferry.copying.sides import Endpoints
from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.model.profile import Profile
from mailferry.net.connect import Connector
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.open import open_session
from mailferry.remote.pop3_client import Pop3Client
from mailferry.store import accounts, domains
from mailferry.store.database import Database
from tests.kit import peers

OLD, NEW = "u1@old.test", "u1@old.test"
PASSWORD = "pw1"
PROFILE = Profile(profile_id="generic", names={})


async def turn() -> None:
    """Let the reactor do what it has put off."""
    from twisted.internet import reactor

    await deferLater(reactor, 0, lambda: None)


def dovecots(tmp_path: Path, **options: Any) -> tuple[Any, Any]:
    """Start a source and a target whose INBOXes have different UIDVALIDITYs."""
    source = peers.start("dovecot", tmp_path, users={OLD: PASSWORD}, **options.get("source", {}))
    target = peers.start("dovecot", tmp_path, users={NEW: PASSWORD}, **options.get("target", {}))
    target.doveadm("mailbox", "update", "-u", NEW, "--uid-validity", "77", "INBOX")
    return source, target


def endpoints(
    reactor: Any, old: dict[str, int], new: dict[str, int], profile: Profile = PROFILE
) -> Endpoints:
    """Return endpoints for hosts on loopback, by port; a protocol without a port is not there."""
    connector = Connector(reactor)

    def opener(protocol: Protocol, port: int, user: str) -> Callable[[], Any]:
        server = Server(protocol, "127.0.0.1", port, TlsMode.NONE)

        async def opening() -> Any:
            session = await open_session(
                connector, server, Credentials(user, Secret(PASSWORD.encode())), profile, reactor=reactor
            )
            kind = ImapClient if protocol is Protocol.IMAP else Pop3Client
            return kind(session, profile, reactor)

        return opening

    return Endpoints(
        target_imap=opener(Protocol.IMAP, new["imap"], NEW),
        source_imap=opener(Protocol.IMAP, old["imap"], OLD) if "imap" in old else None,
        source_pop3=opener(Protocol.POP3, old["pop3"], OLD) if "pop3" in old else None,
        target_pop3=opener(Protocol.POP3, new["pop3"], NEW) if "pop3" in new else None,
    )


def make_account(store: Database) -> int:
    """Add the domain and the account that the hosts know; return the account's id."""

    def work(conn: Any) -> int:
        if accounts.find(conn, OLD) is None:
            domains.add(conn, "old.test", source_imap="imaps://old.test")
        return accounts.ensure(conn, OLD, "old.test").id

    return store.run_now("make account", work)


@dataclass
class Rig:
    """One account between two hosts."""

    source: Any
    target: Any
    store: Database
    account_id: int
    desk: CopyDesk
    results: list[PassResult] = field(default_factory=list)

    async def run(self, mode: Mode = Mode.MIRROR, **request: Any) -> PassResult:
        """Run one pass."""
        result = await run_pass(self.desk, PassRequest(self.account_id, mode, **request))
        self.results.append(result)
        await turn()  # what was closed is gone after the reactor's next turn
        return result

    def limited(self, **limits: Any) -> None:
        """Use other limits from now on."""
        self.desk = replace(self.desk, limits=replace(self.desk.limits, **limits))


def make_rig(source: Any, target: Any, store: Database, **limits: Any) -> Rig:
    """Put the parts together."""
    from twisted.internet import reactor

    account_id = make_account(store)
    ends = endpoints(reactor, source.ports, target.ports)
    desk = CopyDesk(
        store, reactor, ends, PROFILE, CopyLimits(settle_patience=0.2, deletions_patience=0.0, **limits)
    )
    return Rig(source, target, store, account_id, desk)
