"""The copier role: takes accounts that are due and copies them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from mailferry.app.node import NodeMembership
from mailferry.app.outlets import outlets
from mailferry.app.parts import Parts, build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import CopySettings
from mailferry.copying.desk import CopyDesk
from mailferry.copying.housekeeping import Housekeeping
from mailferry.copying.notices import Notifier
from mailferry.copying.pace import SourcePace, SourceTerms
from mailferry.copying.queue import CopyQueue
from mailferry.copying.results import CopyLimits
from mailferry.copying.sides import Endpoints
from mailferry.copying.work import Tools
from mailferry.model.access import Credentials, Protocol, Secret, Server
from mailferry.model.causes import Cause, Refused
from mailferry.model.profile import Profile
from mailferry.model.server_url import parse_server_url
from mailferry.observe.system_clock import minute_of_day
from mailferry.passwords.last_accepted import refusal_of_recorded
from mailferry.passwords.sealing import KeyDestroyed, SealBroken
from mailferry.plan.addresses import source_login
from mailferry.plan.pace import PaceLimits
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.open import OpenSession, open_session
from mailferry.remote.pop3_client import Pop3Client
from mailferry.remote.target_login import NoTargetAccess, target_credentials
from mailferry.store.accounts import Account
from mailferry.store.domains import Domain

Opening = Callable[[Server], Awaitable[OpenSession]]

PAIRS = 5
"""Pairs of connections that copy an account side by side where the source bears them (docs/decisions/0017)."""


class Desks:
    """Makes the desk of one account's copy: how its sessions on both sides are opened."""

    def __init__(self, parts: Parts, pace: SourcePace | None = None) -> None:
        self._parts = parts
        self._pace = pace

    def make(self, account: Account, domain: Domain) -> CopyDesk:
        """Return the desk for `account`."""
        parts = self._parts
        profile = parts.profiles.get(domain.provider) or parts.profiles["generic"]
        generic = parts.profiles["generic"]
        source_imap = _server(domain.source_imap)
        source_pop3 = _server(domain.source_pop3)
        target_imap = parts.target.serving(domain, Protocol.IMAP)
        target_pop3 = parts.target.serving(domain, Protocol.POP3)
        assert target_imap is not None, "every target speaks IMAP"

        async def at_source(server: Server) -> OpenSession:
            return await self._at_source(account, domain, server, profile)

        async def at_target(server: Server) -> OpenSession:
            access = parts.target_access
            own = None if access.has_master else await self._password(account, domain)
            try:
                credentials = target_credentials(access, account.address, user_password=own)
            except NoTargetAccess as error:
                raise Refused(Cause.TARGET_REFUSED, str(error)) from error
            return await open_session(
                parts.connector,
                server,
                credentials,
                generic,
                reactor=parts.reactor,
                personal=not access.has_master,
            )

        async def imap(opening: Opening, server: Server, about: Profile) -> ImapClient:
            session = await opening(server)
            return ImapClient(session, about, parts.reactor)

        async def pop3(opening: Opening, server: Server, about: Profile) -> Pop3Client:
            session = await opening(server)
            return Pop3Client(session, about, parts.reactor)

        return CopyDesk(
            database=parts.database,
            reactor=parts.reactor,
            endpoints=Endpoints(
                target_imap=lambda: imap(at_target, target_imap, generic),
                source_imap=(lambda: imap(at_source, source_imap, profile)) if source_imap else None,
                source_pop3=(lambda: pop3(at_source, source_pop3, profile)) if source_pop3 else None,
                target_pop3=(lambda: pop3(at_target, target_pop3, generic)) if target_pop3 else None,
            ),
            profile=profile,
            limits=self._limits(profile),
        )

    async def _at_source(
        self, account: Account, domain: Domain, server: Server, profile: Profile
    ) -> OpenSession:
        parts = self._parts
        name = source_login(account.address, domain.login_form, account.source_login)
        credentials = Credentials(name, await self._password(account, domain))
        opening = partial(open_session, parts.connector, server, credentials, profile, reactor=parts.reactor)
        try:
            if self._pace is None:
                return await opening()
            return await self._pace.opened(account.id, self._pace.terms(domain), opening)
        except Refused as refused:
            weighed = await refusal_of_recorded(parts.database, account.id, domain.name, refused)
            if weighed is refused:
                raise
            raise weighed from refused

    async def _password(self, account: Account, domain: Domain) -> Secret:
        """Return the account's sealed password; raises Refused where none can be read any more."""
        try:
            sealed = await self._parts.keeper.sealed_password(account, domain)
        except (KeyDestroyed, SealBroken) as error:
            raise Refused(Cause.BAD_CREDENTIALS, f"{error}: the user must log in once more") from error
        if sealed is None:
            raise Refused(Cause.BAD_CREDENTIALS, "no password is kept: the user must log in once more")
        return sealed

    def _limits(self, profile: Profile) -> CopyLimits:
        copy = self._parts.settings.copy_
        return CopyLimits(
            batch_messages=copy.batch_messages,
            batch_octets=copy.batch_octets,
            connections=connections(copy, profile),
        )


def connections(copy: CopySettings, profile: Profile) -> int:
    """Return how many sessions a copy may have at its account; one of what the source allows is the user's.

    Where nobody named a number they are as many as fill the target, if the source is known to bear twice
    as many from one account.
    """
    most, bears, at_host = copy.connections_per_account, profile.max_connections, profile.host_connections
    named = "connections_per_account" in copy.model_fields_set or copy.connections_per_source is not None
    if not named and at_host is None and bears is not None and bears >= 2 * PAIRS:
        return PAIRS
    if bears is not None:
        most = min(most, bears - 1)
    if at_host is not None:
        most = min(most, at_host)
    if copy.connections_per_source is not None:
        most = min(most, copy.connections_per_source)
    return max(1, most)


def source_terms(copy: CopySettings, profile: Profile, domain: Domain) -> SourceTerms:
    """Return the terms on which a domain's source is copied from: the configuration's and the profile's."""
    servers = [server for url in (domain.source_imap, domain.source_pop3) if (server := _server(url))]
    hosts = {server.host for server in servers}
    limits = PaceLimits(
        copy.connections_per_source,
        copy.bytes_per_day,
        copy.source_bytes_per_day,
        copy.commands_per_minute,
        copy.source_commands_per_minute,
        copy.hours,
    )
    own = PaceLimits(
        profile.host_connections,
        profile.bytes_per_day,
        profile.host_bytes_per_day,
        profile.commands_per_minute,
        profile.host_commands_per_minute,
        profile.copy_hours,
    )
    beside = 1 if len(servers) > len(hosts) else 0  # IMAP and POP3 at one host
    return SourceTerms(servers[0].host, limits.stricter(own), connections(copy, profile) + beside)


def _server(url: str | None) -> Server | None:
    return parse_server_url(url) if url else None


class CopierRole:
    """One copier process."""

    def __init__(self, context: WorkerContext) -> None:
        parts = build_parts(context)
        copy = parts.settings.copy_
        self.parts = parts
        self._node = NodeMembership(
            parts.database,
            role="copier",
            state_dir=parts.settings.service.state_dir,
            reactor=parts.reactor,
            log=context.log,
            on_silent=lambda: context.leave("the store did not answer for a minute"),
            on_void=lambda: context.leave("this process was declared dead"),
            seconds=parts.times.since_boot,
        )
        tools = Tools(
            database=parts.database,
            keeper=parts.keeper,
            reactor=parts.reactor,
            log=context.log,
            flips_file=parts.flips_file,
            freeze_budget=float(copy.freeze_budget_seconds),
            pass_interval=float(copy.pass_interval_seconds),
            opens_with_password=not parts.target_access.has_master,
            early_switch_after=copy.early_switch_after_hours * 3600.0 or None,
        )
        generic = parts.profiles["generic"]
        pace = SourcePace(
            parts.database,
            reactor=parts.reactor,
            log=context.log,
            terms=lambda domain: source_terms(copy, parts.profiles.get(domain.provider, generic), domain),
            minute=lambda: minute_of_day(parts.times.wall.now()),
        )
        self._queue = CopyQueue(
            tools,
            node=lambda: self._node.id,
            make_desk=Desks(parts, pace).make,
            pace=pace,
            at_once=copy.accounts_at_once,
            since_boot=parts.times.since_boot,
        )
        self._notifier = Notifier(
            parts.database,
            make_desk=Desks(parts).make,
            outlets=outlets(parts.settings, now=parts.times.wall.now),
            sender=parts.settings.notices.sender,
            group_seconds=parts.settings.notices.group_minutes * 60.0,
            reactor=parts.reactor,
            log=context.log,
            since_boot=parts.times.since_boot,
        )
        self._housekeeping = Housekeeping(
            parts.database,
            keyring=parts.keyring,
            flips_file=parts.flips_file,
            reactor=parts.reactor,
            log=context.log,
        )

    async def start(self) -> None:
        """Register and begin to take work, unless the store is one that must not be worked with."""
        await self._node.register()
        missing = await self.parts.restored.missing()
        if missing:
            why = "the store was restored and knows fewer flips than flips.log: run mailferry db reconcile"
            self.parts.log.error("nothing is copied", why=why, accounts=len(missing))
        else:
            self._queue.begin()
            self._notifier.begin()
        self._housekeeping.begin()

    async def drain(self) -> None:
        """End running turns at once; the ledger knows where to go on."""
        self._housekeeping.finish()
        await self._notifier.finish()
        await self._queue.finish()
        await self._node.leave()
        await self.parts.close()


def build(context: WorkerContext) -> CopierRole:
    """Build the role in its worker process."""
    return CopierRole(context)
