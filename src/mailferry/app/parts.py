"""The parts that several roles are built from: store, keys, profiles, connections, passwords."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailferry.app.worker import CannotStart, WorkerContext
from mailferry.config.settings import Settings, TlsSettings
from mailferry.gate.judges import Judges, TargetServers
from mailferry.gate.penalty import Penalty
from mailferry.model.access import Credentials, Protocol, Secret
from mailferry.model.profile import Profile
from mailferry.model.server_url import parse_server_url
from mailferry.net.connect import Connector
from mailferry.net.dial import IpAddress
from mailferry.net.tls_server import BadTlsFiles, ServerContexts
from mailferry.observe.log import Log
from mailferry.passwords.backend import PasswordBackend
from mailferry.passwords.backends import make_backend
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import BadServiceKey, service_key
from mailferry.passwords.sql import BadSqlBackend
from mailferry.passwords.work_threads import WorkThreads
from mailferry.providers.loader import BadProfile, load_profiles
from mailferry.remote.open import open_session
from mailferry.remote.target_login import TargetAccess, TargetLogin
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.wrong_tries import TryLimits

FLIPS_FILE = "flips.log"


@dataclass(frozen=True, slots=True)
class Parts:
    """What proxy, copier and web share; one of each per process."""

    settings: Settings
    reactor: Any
    log: Log
    database: Database
    profiles: dict[str, Profile]
    connector: Connector
    target: TargetServers
    target_access: TargetAccess
    keyring: KeyRing
    backend: PasswordBackend
    keeper: PasswordKeeper

    async def close(self) -> None:
        """Wait for what still runs in the background and close the store."""
        await self.keeper.stop()
        self.database.close()

    @property
    def flips_file(self) -> Path:
        """Where flips are logged."""
        return self.settings.service.state_dir / FLIPS_FILE


def build_parts(context: WorkerContext) -> Parts:
    """Build them; raises CannotStart with one clear line."""
    settings, reactor = context.settings, context.reactor
    database = Database(settings.service.database_url.reveal().decode(), reactor=reactor)
    try:
        profiles = load_profiles(
            None if settings.service.providers_dir is None else str(settings.service.providers_dir)
        )
        keyring = key_ring(settings)
    except (BadProfile, BadServiceKey) as error:
        raise CannotStart(str(error)) from error
    threads = WorkThreads(reactor)
    try:
        backend = make_backend(settings.passwords, threads)
    except BadSqlBackend as error:
        raise CannotStart(str(error)) from error
    connector = Connector(
        reactor,
        source_addresses=[str(address) for address in settings.service.source_addresses],
        permitted=permitted_networks(settings),
    )
    target = TargetServers(imap=settings.target.imap, pop3=settings.target.pop3)
    generic = profiles["generic"]

    async def prove(address: str, domain: Domain, password: Secret) -> None:
        """Log in at the target as the user; raises Refused or Unavailable."""
        server = parse_server_url(domain.target_imap) if domain.target_imap else target.imap
        session = await open_session(
            connector, server, Credentials(address, password), generic, reactor=reactor
        )
        session.carrier.close()

    keeper = PasswordKeeper(
        database=database,
        keyring=keyring,
        backend=backend,
        scheme=settings.passwords.scheme,
        prove=prove,
        threads=threads,
        push_from_plaintext=settings.passwords.push_from_plaintext,
    )
    return Parts(
        settings=settings,
        reactor=reactor,
        log=context.log,
        database=database,
        profiles=profiles,
        connector=connector,
        target=target,
        target_access=TargetAccess(
            TargetLogin(settings.target.login.value),
            settings.target.master_user,
            settings.target.master_password,
        ),
        keyring=keyring,
        backend=backend,
        keeper=keeper,
    )


def key_ring(settings: Settings) -> KeyRing:
    """Return the ring of sealing keys in the state directory."""
    state_dir = settings.service.state_dir
    return KeyRing(state_dir / "keys", service_key(settings.service.key, state_dir))


def make_penalty(parts: Parts, judges: Judges) -> Penalty:
    """Return the shield before the judges; a process that asks sources has one."""
    service, shield = parts.settings.service, parts.settings.shield
    return Penalty(
        database=parts.database,
        judges=judges,
        keeper=parts.keeper,
        key=service_key(service.key, service.state_dir).derive("refusals"),
        limits=TryLimits(shield.wrong_per_account, shield.wrong_per_source_minute),
        reactor=parts.reactor,
    )


def permitted_networks(settings: Settings) -> Any:
    """Return the rule which addresses may be dialled: public ones, and the networks listed.

    Hosts are named by administrators only, but a name may resolve to anything (T37).
    """
    own = {str(s.host) for s in (settings.target.imap, settings.target.pop3) if s is not None}
    allowed = settings.service.allow_networks

    def permitted(address: IpAddress) -> bool:
        if str(address) in own or any(address in network for network in allowed):
            return True
        return address.is_global

    return permitted


def server_contexts(
    tls: TlsSettings | None, protocol: Protocol, reactor: Any, log: Log
) -> ServerContexts | None:
    """Return our certificate for one protocol's listeners; raises CannotStart."""
    if tls is None:
        return None
    try:
        return ServerContexts(
            tls.certificate,
            tls.key,
            protocol,
            reactor=reactor,
            on_problem=lambda why: log.error("the certificate is not read again", why=why),
        )
    except BadTlsFiles as error:
        raise CannotStart(str(error)) from error
