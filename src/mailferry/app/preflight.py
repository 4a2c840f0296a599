"""`domain test`: really logs in at the old host and says, line by line, whether a move can work."""

from __future__ import annotations

from typing import Any

from mailferry.app.checking import Line, Sign
from mailferry.app.copier import source_terms
from mailferry.app.mapping_preview import MappedRow, mapping_preview
from mailferry.app.parts import Parts, build_parts
from mailferry.app.preflight_lines import (
    after_dns_change,
    at_server,
    checklist,
    compared,
    copied_twice,
    estimated,
    read_messages,
)
from mailferry.app.preflight_look import Look, look_over_imap, look_over_pop3
from mailferry.app.preflight_words import finding, named, said
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.login.imap_backend import identifies
from mailferry.model.access import MAX_PASSWORD_OCTETS, Credentials, Protocol, Secret, Server
from mailferry.model.causes import Cause, Refused, RemoteFailure
from mailferry.model.profile import Profile
from mailferry.model.server_url import parse_server_url
from mailferry.observe.log import get_log
from mailferry.passwords.source_word import note_check
from mailferry.plan.addresses import source_login
from mailferry.plan.checklist import Observed
from mailferry.providers.placeholders import placeholder_test
from mailferry.providers.remedies import no_passwords
from mailferry.providers.sentences import Words, advice
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.made_up import made_up_login
from mailferry.remote.open import OpenSession, open_session
from mailferry.remote.pop3_client import Pop3Client
from mailferry.roster.lookup import address_of, domain_at
from mailferry.store import accounts
from mailferry.store.domains import Domain
from mailferry.web.telling import failure_in_chinese

__all__ = ["Line", "Preflight", "Sign", "preflight"]

WHO = "domain test"


async def preflight(
    settings: Settings, reactor: Any, name: str, account: str | None, password: Secret | None
) -> list[Line]:
    """Return the verdict, line by line; raises NoSuchDomain and StoreUnavailable."""
    parts = build_parts(WorkerContext(settings, reactor, get_log("preflight"), 0, lambda _why: None))
    try:
        domain = await parts.database.read("domain", lambda conn: domain_at(conn, name))
        return await Preflight(parts, domain, account, password).run()
    finally:
        await parts.close()


class Preflight:
    """One domain's check, perhaps with one real account.

    `stored` tells whether the domain is in the store: what its source refuses is noted there.
    Raises RosterRefusal for an account that is no address.
    """

    def __init__(
        self,
        parts: Parts,
        domain: Domain,
        account: str | None,
        password: Secret | None,
        *,
        stored: bool = True,
    ) -> None:
        self._parts = parts
        self._stored = stored
        self._domain = domain
        self._password = password
        self._address = None if account is None else address_of(account)
        self._profile: Profile = parts.profiles.get(domain.provider) or parts.profiles["generic"]
        self._looks: dict[Protocol, Look] = {}
        self._causes: set[Cause] = set()
        self._variants_tried = False
        self._name = ""
        """The account's login name at the source."""

    async def run(self) -> list[Line]:
        """Look at each protocol of the source, then at what only both together tell."""
        await self._learn_name()
        lines: list[Line] = []
        words = no_passwords(self._profile)
        if words is not None:
            names = self._profile.names
            found = said("no-passwords", name=Words(names["en"], names["zh"]))
            lines.append(finding(Sign.FAULT, said("at.source"), found, words))
        for url in (self._domain.source_imap, self._domain.source_pop3):
            if url is not None:
                lines += await self._server(parse_server_url(url))
        if self._address is None:
            asked = said("fix.give-account")
            lines.append(finding(Sign.NOTE, said("at.login"), said("not-tried"), asked))
        observed = self._observed()
        lines += compared(self._looks, observed)
        terms = source_terms(self._parts.settings.copy_, self._profile, self._domain)
        lines += estimated(self._looks, self._profile, terms.limits)
        lines += copied_twice(self._looks.get(Protocol.IMAP), self._profile)
        lines.append(after_dns_change(self._profile))
        return lines + checklist(self._profile, observed)

    async def _learn_name(self) -> None:
        """A list of accounts may name another login at the source than the address."""
        address = self._address
        if address is None:
            return
        known = await self._parts.database.read("account", lambda conn: accounts.find(conn, address))
        other = None if known is None else known.source_login
        self._name = source_login(address, self._domain.login_form, other)

    async def mapping(self) -> list[MappedRow]:
        """Return which mailbox becomes which, after `run`; empty where nothing was listed over IMAP."""
        look = self._looks.get(Protocol.IMAP)
        if look is None or self._address is None:
            return []
        return await mapping_preview(self._parts, self._domain, self._profile, look, self._address)

    def _observed(self) -> Observed:
        looks = list(self._looks.values())
        ages = [self._parts.times.wall.now() - look.oldest for look in looks if look.oldest is not None]
        counts = [look.inbox for look in looks]
        exact = [look.sizes_exact for look in looks if look.sizes_exact is not None]
        bodyless = sum(look.bodyless for look in looks)
        return Observed(
            accepted=len(looks),
            causes=frozenset(self._causes),
            hidden=max(counts) - min(counts) if counts else 0,
            oldest_days=max(ages) / 86400.0 if ages else None,
            whole=sum(look.sample.read for look in looks) - bodyless,
            bodyless=bodyless,
            sizes_exact=all(exact) if exact else None,
        )

    async def _server(self, server: Server) -> list[Line]:
        protocol = server.protocol
        if self._address is None or self._password is None:
            try:
                carrier = await self._parts.connector.connect(server)
            except RemoteFailure as failure:
                return [_failed(at_server(protocol), failure)]
            carrier.abort()
            return [finding(Sign.WELL, at_server(protocol), said("answers", server=server))]
        try:
            session = await self._login(server, self._password)
        except RemoteFailure as failure:
            self._causes.add(failure.cause)
            return [_failed(at_server(protocol, ".login"), failure)]
        lines = [finding(Sign.WELL, at_server(protocol, ".login"), said("accepted", server=server))]
        if protocol is Protocol.IMAP and identifies(self._profile):
            lines.append(finding(Sign.WELL, at_server(protocol, ".id"), said("told-who")))
        try:
            lines += await self._look(server, session)
        except RemoteFailure as failure:
            lines.append(_failed(at_server(protocol), failure))
        if not session.witness.confidential:
            lines.append(finding(Sign.NOTE, at_server(protocol), said("in-clear"), said("fix.in-clear")))
        return lines + await self._password_check(server)

    async def _login(self, server: Server, password: Secret) -> OpenSession:
        return await open_session(
            self._parts.connector,
            server,
            Credentials(self._name, password),
            self._profile,
            reactor=self._parts.reactor,
        )

    async def _look(self, server: Server, session: OpenSession) -> list[Line]:
        profile, reactor = self._profile, self._parts.reactor
        placeholder = placeholder_test(profile)
        if server.protocol is Protocol.IMAP:
            client = ImapClient(session, profile, reactor)
            look = await look_over_imap(client, reactor, placeholder)
            await client.logout()
            found = said("holds", mailboxes=look.mailboxes, messages=look.sample.messages, inbox=look.inbox)
        else:
            maildrop = Pop3Client(session, profile, reactor)
            look = await look_over_pop3(maildrop, reactor, placeholder)
            await maildrop.quit()
            found = said("maildrop-holds", inbox=look.inbox, octets=look.sample.listed_octets)
        self._looks[server.protocol] = look
        what = at_server(server.protocol)
        return [finding(Sign.WELL, what, found), *read_messages(server.protocol, look)]

    async def _password_check(self, server: Server) -> list[Line]:
        """Find out what the source refuses, and note it: its word counts accordingly from now on."""
        what, parts = at_server(server.protocol, ".passwords"), self._parts
        try:
            await made_up_login(parts.connector, server, self._name, self._profile, reactor=parts.reactor)
        except Refused as refusal:
            if refusal.cause is Cause.OAUTH_REQUIRED:  # it takes none at all, so it compared none
                return [_unclear(what, refusal)]
            variants = await self._variants(server)
            await self._note(server, refuses=True, variants=variants)
            return [finding(Sign.WELL, what, said("made-up.refused")), *_about_variants(what, variants)]
        except RemoteFailure as failure:
            return [_unclear(what, failure)]
        await self._note(server, refuses=False)
        found = said("made-up.blocked" if self._stored else "made-up.accepted")
        return [finding(Sign.FAULT, what, found, said("fix.made-up"))]

    async def _note(self, server: Server, *, refuses: bool, variants: tuple[str, ...] | None = None) -> None:
        if not self._stored:
            return
        imap = server.protocol is Protocol.IMAP
        url = self._domain.source_imap if imap else self._domain.source_pop3
        assert url is not None
        await self._parts.database.run(
            "source checked",
            lambda conn: note_check(
                conn, self._domain.name, server.protocol, url, refuses=refuses, who=WHO, variants=variants
            ),
        )

    async def _variants(self, server: Server) -> tuple[str, ...] | None:
        """Return which altered forms of the real password the source takes; tried over one protocol only.

        Sources count wrong passwords, so there are few.
        """
        if self._variants_tried or self._password is None:
            return None
        self._variants_tried = True
        taken = []
        for kind, octets in altered(self._password.reveal()).items():
            try:
                session = await self._login(server, Secret(octets))
            except Refused:
                continue
            except RemoteFailure:
                return None  # locked or throttled: nobody knows
            session.carrier.abort()
            taken.append(kind)
        return tuple(taken)


def _failed(what: Words, failure: RemoteFailure) -> Line:
    todo = advice(failure.cause)
    found = said("failed", cause=named(failure.cause), text=_text_of(failure))
    return finding(Sign.FAULT, what, found, Words(todo["en"], todo["zh"]))


def _unclear(what: Words, failure: RemoteFailure) -> Line:
    found = said("made-up.unclear", cause=named(failure.cause), text=_text_of(failure))
    return finding(Sign.NOTE, what, found)


def _text_of(failure: RemoteFailure) -> Words:
    return Words(failure.text, failure_in_chinese(failure.text))


def altered(octets: bytes) -> dict[str, bytes]:
    """Return forms of a password that a careless source takes for it (T24): cut, case-blind, trimmed."""
    forms = {"longer": octets + b"x", "case": octets.swapcase(), "blank": octets + b" "}
    return {kind: form for kind, form in forms.items() if form != octets and len(form) <= MAX_PASSWORD_OCTETS}


def _about_variants(what: Words, variants: tuple[str, ...] | None) -> list[Line]:
    if not variants:
        return []
    each = [said(f"variant.{kind}") for kind in variants]
    which = Words("; ".join(one.en for one in each), "；".join(one.zh for one in each))
    return [finding(Sign.NOTE, what, said("variants", which=which), said("fix.variants"))]
