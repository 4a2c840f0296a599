"""The parts that several roles are built from: store, keys, profiles, connections, passwords."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailferry.app.times import Times
from mailferry.app.worker import CannotStart, WorkerContext
from mailferry.config.settings import Settings, TlsSettings
from mailferry.model.access import Credentials, Protocol, Secret
from mailferry.model.profile import Profile
from mailferry.model.server_url import parse_server_url
from mailferry.net.connect import Connector
from mailferry.net.dial import IpAddress
from mailferry.net.served_certificates import BadTlsFiles
from mailferry.net.tls_server import ServerContexts
from mailferry.observe.log import Log
from mailferry.passwords.backend import PasswordBackend
from mailferry.passwords.backends import make_backend
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import BadServiceKey, service_key
from mailferry.passwords.sql import BadSqlBackend
from mailferry.passwords.work_threads import WorkThreads
from mailferry.plan.addresses import source_login
from mailferry.providers.loader import BadProfile, load_profiles
from mailferry.remote.made_up import made_up_login
from mailferry.remote.open import open_session
from mailferry.remote.target_login import TargetAccess, TargetLogin
from mailferry.remote.target_servers import Forwarding, TargetServers
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.flips_log import LOG_FILE
from mailferry.store.restored import Restored

KEYS_FOLDER = "keys"


@dataclass(frozen=True, slots=True)
class Parts:
    """What proxy, copier and web share; one of each per process."""

    settings: Settings
    reactor: Any
    times: Times
    log: Log
    database: Database
    profiles: dict[str, Profile]
    connector: Connector
    target: TargetServers
    target_access: TargetAccess
    keyring: KeyRing
    backend: PasswordBackend
    keeper: PasswordKeeper
    restored: Restored

    async def close(self) -> None:
        """Wait for what still runs in the background and close the store."""
        await self.keeper.stop()
        self.database.close()

    @property
    def flips_file(self) -> Path:
        """Where flips are logged."""
        return self.settings.service.state_dir / LOG_FILE


def build_parts(context: WorkerContext) -> Parts:
    """Build them; raises CannotStart with one clear line."""
    settings, reactor, times = context.settings, context.reactor, context.times
    database = Database(settings.service.database_url.reveal().decode(), reactor=reactor, now=times.store)
    try:
        profiles = load_profiles(settings.service.profiles_folder)
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
    forwarding = Forwarding(settings.target.forward_client_address.value)
    target = TargetServers(settings.target.imap, settings.target.pop3, forwarding)
    tries = _Tries(connector, profiles, target, reactor)
    keeper = PasswordKeeper(
        database=database,
        keyring=keyring,
        backend=backend,
        scheme=settings.passwords.scheme,
        prove=tries.prove,
        threads=threads,
        push_from_plaintext=settings.passwords.push_from_plaintext,
        try_made_up=tries.made_up,
        clock=times.wall,
    )
    return Parts(
        settings=settings,
        reactor=reactor,
        times=times,
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
        restored=Restored(database, settings.service.state_dir / LOG_FILE),
    )


class _Tries:
    """Logins that are made to find something out, and closed again."""

    def __init__(
        self, connector: Connector, profiles: dict[str, Profile], target: TargetServers, reactor: Any
    ) -> None:
        self._connector = connector
        self._profiles = profiles
        self._target = target
        self._reactor = reactor

    async def prove(self, address: str, domain: Domain, password: Secret) -> None:
        """Log in at the target as the user; raises Refused or Unavailable."""
        server = self._target.serving(domain, Protocol.IMAP)
        assert server is not None, "every target speaks IMAP"
        credentials, generic = Credentials(address, password), self._profiles["generic"]
        session = await open_session(self._connector, server, credentials, generic, reactor=self._reactor)
        session.carrier.close()

    async def made_up(self, account: Account, domain: Domain, protocol: Protocol) -> None:
        """Try a made-up password at the source as the account's user; raises Refused or Unavailable."""
        url = domain.source_imap if protocol is Protocol.IMAP else domain.source_pop3
        assert url is not None, "only a protocol that the source speaks is asked"
        login = source_login(account.address, domain.login_form, account.source_login)
        profile = self._profiles.get(domain.provider) or self._profiles["generic"]
        server = parse_server_url(url)
        await made_up_login(self._connector, server, login, profile, reactor=self._reactor)


def key_ring(settings: Settings) -> KeyRing:
    """Return the ring of sealing keys in the state directory; a key made there is read again when it changes."""
    state_dir, configured = settings.service.state_dir, settings.service.key
    newest = (lambda: service_key(None, state_dir)) if configured is None else None
    return KeyRing(state_dir / KEYS_FOLDER, service_key(configured, state_dir), newest=newest)


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
    """Return our certificates for one protocol's listeners; raises CannotStart."""
    if tls is None:
        return None
    try:
        return ServerContexts(
            tls.certificate,
            tls.key,
            protocol,
            also=[(other.certificate, other.key) for other in tls.also],
            reactor=reactor,
            on_problem=lambda why: log.error("the certificate is not read again", why=why),
        )
    except BadTlsFiles as error:
        raise CannotStart(str(error)) from error
