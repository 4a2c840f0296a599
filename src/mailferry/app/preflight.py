"""`domain test`: really logs in at the old host and says, line by line, whether a move can work."""

from __future__ import annotations

from typing import Any

from mailferry.app.checking import Line, Sign
from mailferry.app.parts import Parts, build_parts
from mailferry.app.worker import WorkerContext
from mailferry.config.settings import Settings
from mailferry.model.access import MAX_PASSWORD_OCTETS, Credentials, Protocol, Secret, Server
from mailferry.model.causes import Refused, RemoteFailure
from mailferry.model.profile import Profile
from mailferry.model.server_url import parse_server_url
from mailferry.observe.log import get_log
from mailferry.passwords.source_word import note_check
from mailferry.plan.addresses import source_login
from mailferry.providers.sentences import advice
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.made_up import made_up_login
from mailferry.remote.open import OpenSession, open_session
from mailferry.remote.pop3_client import Pop3Client
from mailferry.roster.lookup import address_of, domain_at
from mailferry.store.domains import Domain

__all__ = ["Line", "Sign", "preflight"]

WHO = "domain test"


async def preflight(
    settings: Settings, reactor: Any, name: str, account: str | None, password: Secret | None
) -> list[Line]:
    """Return the verdict, line by line; raises NoSuchDomain and StoreUnavailable."""
    parts = build_parts(WorkerContext(settings, reactor, get_log("preflight"), 0, lambda _why: None))
    try:
        domain = await parts.database.read("domain", lambda conn: domain_at(conn, name))
        return await _Preflight(parts, domain, account, password).run()
    finally:
        await parts.close()


class _Preflight:
    """One domain's check, perhaps with one real account."""

    def __init__(self, parts: Parts, domain: Domain, account: str | None, password: Secret | None) -> None:
        self._parts = parts
        self._domain = domain
        self._password = password
        self._address = None if account is None else address_of(account)
        self._profile: Profile = parts.profiles.get(domain.provider) or parts.profiles["generic"]
        self._counts: dict[Protocol, int] = {}
        self._variants_tried = False

    async def run(self) -> list[Line]:
        """Look at each protocol of the source, then at what only both together tell."""
        lines: list[Line] = []
        for url in (self._domain.source_imap, self._domain.source_pop3):
            if url is not None:
                lines += await self._server(parse_server_url(url))
        if self._address is None:
            note = "only a real login shows whether the old host lets mail programs in"
            lines.append(Line(Sign.NOTE, "login", "not tried", f"{note}: --account ADDRESS"))
        elif len(self._counts) == 2:
            lines.append(self._compared())
        return lines

    async def _server(self, server: Server) -> list[Line]:
        what = f"source {server.protocol.value}"
        if self._address is None or self._password is None:
            try:
                carrier = await self._parts.connector.connect(server)
            except RemoteFailure as failure:
                return [_failed(what, failure)]
            carrier.abort()
            return [Line(Sign.WELL, what, f"{server} answers")]
        try:
            session = await self._login(server, self._password)
        except RemoteFailure as failure:
            return [_failed(f"{what} login", failure)]
        lines = [Line(Sign.WELL, f"{what} login", f"{server} accepts the password")]
        try:
            seen = self._imap if server.protocol is Protocol.IMAP else self._pop3
            lines.append(await seen(session))
        except RemoteFailure as failure:
            lines.append(_failed(what, failure))
        if not session.witness.confidential:
            fix = "passwords of this domain are not set at the target unless push_from_plaintext says so"
            lines.append(Line(Sign.NOTE, what, "the link is not confidential", fix))
        return lines + await self._password_check(server)

    async def _login(self, server: Server, password: Secret) -> OpenSession:
        assert self._address is not None
        name = source_login(self._address, self._domain.login_form)
        return await open_session(
            self._parts.connector,
            server,
            Credentials(name, password),
            self._profile,
            reactor=self._parts.reactor,
        )

    async def _imap(self, session: OpenSession) -> Line:
        client = ImapClient(session, self._profile, self._parts.reactor)
        mailboxes = [mailbox for mailbox in await client.list_mailboxes() if mailbox.selectable]
        inbox = await client.select(b"INBOX", read_only=True)
        counted = await client.status_all([mailbox.name for mailbox in mailboxes])
        self._counts[Protocol.IMAP] = inbox.exists
        await client.logout()
        total = sum(status.exists for status in counted.values())
        found = f"{len(mailboxes)} mailboxes, {total} messages, {inbox.exists} of them in INBOX"
        return Line(Sign.WELL, "source imap", found)

    async def _pop3(self, session: OpenSession) -> Line:
        client = Pop3Client(session, self._profile, self._parts.reactor)
        count, octets = await client.stat()
        self._counts[Protocol.POP3] = count
        await client.quit()
        return Line(Sign.WELL, "source pop3", f"{count} messages, {octets:,} bytes")

    async def _password_check(self, server: Server) -> list[Line]:
        """Find out what the source refuses, and note it: its word counts accordingly from now on."""
        what = f"source {server.protocol.value} password check"
        assert self._address is not None
        name = source_login(self._address, self._domain.login_form)
        parts = self._parts
        try:
            await made_up_login(parts.connector, server, name, self._profile, reactor=parts.reactor)
        except Refused:
            variants = await self._variants(server)
            await self._note(server, refuses=True, variants=variants)
            return [Line(Sign.WELL, what, "a made-up password is refused"), *_about_variants(what, variants)]
        except RemoteFailure as failure:
            return [Line(Sign.NOTE, what, f"a made-up password: {failure.cause.value} {failure.text}")]
        await self._note(server, refuses=False)
        found = "a made-up password is accepted; the domain is blocked"
        fix = (
            "whoever connects could set any user's new password: let the provider check passwords, "
            "then run domain test again, which lifts the block"
        )
        return [Line(Sign.FAULT, what, found, fix)]

    async def _note(self, server: Server, *, refuses: bool, variants: tuple[str, ...] | None = None) -> None:
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

    def _compared(self) -> Line:
        imap, pop3 = self._counts[Protocol.IMAP], self._counts[Protocol.POP3]
        if imap == pop3:
            return Line(Sign.WELL, "completeness", f"IMAP and POP3 both show {imap} messages in INBOX")
        fix = "the provider may hide older mail from one of them: look for 'collect all mail' in its settings"
        return Line(Sign.NOTE, "completeness", f"IMAP shows {imap} messages in INBOX, POP3 {pop3}", fix)


def _failed(what: str, failure: RemoteFailure) -> Line:
    return Line(Sign.FAULT, what, f"{failure.cause.value}: {failure.text}", advice(failure.cause)["en"])


def altered(octets: bytes) -> dict[str, bytes]:
    """Return forms of a password that a careless source takes for it (T24): cut, case-blind, trimmed."""
    forms = {"longer": octets + b"x", "case": octets.swapcase(), "blank": octets + b" "}
    return {kind: form for kind, form in forms.items() if form != octets and len(form) <= MAX_PASSWORD_OCTETS}


_SAID = {
    "longer": "with more behind it (it cuts passwords)",
    "case": "with capital and small letters exchanged",
    "blank": "with a blank behind it",
}


def _about_variants(what: str, variants: tuple[str, ...] | None) -> list[Line]:
    if not variants:
        return []
    found = "the source accepts variants of a password: " + "; ".join(_SAID[kind] for kind in variants)
    fix = "what users type is set at the target as it is: whoever types another form there is refused"
    return [Line(Sign.NOTE, what, found, fix)]
