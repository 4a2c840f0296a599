"""What nginx is told: the server that judges, or a verdict.

For IMAP and POP3 nginx logs in itself at the server that we name. Before the flip, and wherever we must
see the session, that is a loopback door of ours, which judges as ever; nothing is judged twice. After
the flip nginx goes to the target itself. There the target judges, but while the window is open a
password that it does not have from us is checked first, because the source may know it meanwhile.
For SMTP every password is judged here, and nginx is sent to the submission server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Shape

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from mailferry.frontends.told_client import in_digits, told_client
from mailferry.gate.checking import CheckAttempt, Checks, Verdict
from mailferry.gate.place import Place, find_place
from mailferry.login.denial import denial_text
from mailferry.login.limits import MAX_DENIALS, REFUSED_TEXT
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Answer
from mailferry.observe.log import Log
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.remote.target_servers import Forwarding, TargetServers
from mailferry.store import accounts, uidls
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.wire.auth_http import AuthRequest, auth_reply

LATER_TEXT = "Temporary failure, please try again."
WAIT_SECONDS = 1
"""How long nginx keeps a denied client before it may try again."""

_SMTP = "smtp"
_METHODS = frozenset({"plain", "login"})
"""Those that show the password; nginx calls both `plain`."""
_CODES = {
    ("imap", Answer.REFUSED): b"[AUTHENTICATIONFAILED] ",
    ("imap", Answer.TEMPORARY): b"[UNAVAILABLE] ",
    ("pop3", Answer.REFUSED): b"[AUTH] ",
    ("pop3", Answer.TEMPORARY): b"[SYS/TEMP] ",
}
_SMTP_CODES = {Answer.REFUSED: b"535 5.7.8", Answer.TEMPORARY: b"454 4.7.0"}
_FLIPPED = frozenset({Phase.SWITCHED, Phase.CLOSED})


class KnowsPasswords(Shape):
    """Who knows which password the target has from us (PasswordKeeper)."""

    async def is_ours(self, account: Account, domain: Domain, password: Secret) -> bool:
        """Whether the target may take this password because we set it there."""
        ...


@dataclass(frozen=True, slots=True)
class OwnDoor:
    """A loopback door of ours; `wants_header` where nginx's connections must begin with a PROXY header."""

    host: str
    port: int
    wants_header: bool = False


@dataclass(frozen=True, slots=True)
class NginxTerms:
    """Where nginx is sent: our doors by protocol, and the submission server if there is one.

    `default_domain` is that of names which are typed without one, as at our doors.
    """

    doors: dict[Protocol, OwnDoor]
    submission: tuple[str, int] | None = None
    default_domain: str | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """What the store holds about a login: its place, and whether its maildrop is renumbered."""

    place: Place | None
    renumbered: bool = False


class Answers:
    """Answers nginx's requests."""

    def __init__(
        self,
        terms: NginxTerms,
        *,
        checks: Checks,
        keeper: KnowsPasswords,
        target: TargetServers,
        database: Database,
        log: Log,
    ) -> None:
        self._terms = terms
        self._checks = checks
        self._keeper = keeper
        self._target = target
        self._database = database
        self._log = log

    def answer(self, request: AuthRequest) -> Deferred[bytes]:
        """Return the reply to a request; cancelling it says that nginx has gone."""
        return Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: AuthRequest) -> bytes:
        if request.protocol not in {*Protocol, _SMTP} or request.method not in _METHODS:
            self._log.warning("nginx offers a login that cannot be judged", method=request.method[:20])
            return _denied(request, Verdict(Answer.REFUSED, text=REFUSED_TEXT, english=REFUSED_TEXT))
        try:
            credentials = typed_credentials(request.user, request.password.reveal())
        except RefusedAtTheDoor:
            return _denied(request, Verdict(Answer.REFUSED, text=REFUSED_TEXT, english=REFUSED_TEXT))
        if request.protocol == _SMTP:
            return await self._to_submission(request, credentials)
        try:
            return await self._to_mailbox(request, Protocol(request.protocol), credentials)
        except (StoreUnavailable, StoreRefusal) as error:
            self._log.error("nginx is told to come later", why=str(error))
            return _denied(request, Verdict(Answer.TEMPORARY))

    async def _to_submission(self, request: AuthRequest, credentials: Credentials) -> bytes:
        if self._terms.submission is None:
            self._log.error("nginx asks for SMTP: set submission in the table [auth_http]")
            return _denied(request, Verdict(Answer.TEMPORARY))
        verdict = await self._checked(request, credentials, Trigger.SMTP)
        if not verdict.accepted:
            return _denied(request, verdict)
        return _sent_to(*self._terms.submission, user=verdict.address)

    async def _to_mailbox(self, request: AuthRequest, protocol: Protocol, credentials: Credentials) -> bytes:
        name, default = credentials.authcid, self._terms.default_domain
        look = await self._database.read("nginx", lambda conn: _look(conn, name, default))
        straight = self._straight(look, protocol)
        if straight is None or look.place is None:
            door = self._terms.doors.get(protocol)
            if door is None:
                self._log.error("nginx asks for a protocol without a loopback door", protocol=protocol.value)
                return _denied(request, Verdict(Answer.TEMPORARY))
            return _sent_to(door.host, door.port)
        place = look.place
        if place.window_open and not await self._expected(place, credentials.password):
            verdict = await self._checked(request, credentials, Trigger(protocol.value))
            if not verdict.accepted:
                return _denied(request, verdict)
        return _sent_to(straight.host, straight.port, user=place.address)

    def _straight(self, look: _Look, protocol: Protocol) -> Server | None:
        """Return the target where nginx may go to it itself.

        nginx speaks no TLS to the server and knows addresses in digits only; it can tell a client's address
        by a PROXY header alone, which it sends to everybody or to nobody.
        """
        place, door = look.place, self._terms.doors.get(protocol)
        if place is None or place.phase not in _FLIPPED or look.renumbered:
            return None
        if place.phase is Phase.CLOSED and place.window_open:
            return None  # its window was opened anew: the next login at our door follows it again
        server = self._target.serving(place.domain, protocol)
        told = self._target.forwarding in {Forwarding.NONE, Forwarding.PROXY}
        headers = door is not None and door.wants_header
        if server is None or server.tls is not TlsMode.NONE or not told or server.proxy_header != headers:
            return None
        return server if in_digits(server.host) else None

    async def _expected(self, place: Place, password: Secret) -> bool:
        """Whether the target has this password from us; late mail is wanted then, as at every login."""
        account = place.account
        assert account is not None, "an account that was flipped has a row"
        if not await self._keeper.is_ours(account, place.domain, password):
            return False
        await self._database.run(
            "ask sweep", lambda conn: accounts.ask_sweep(conn, account.id), durable=False
        )
        return True

    def _checked(self, request: AuthRequest, credentials: Credentials, trigger: Trigger) -> Deferred[Verdict]:
        client = told_client(request.client)
        return self._checks.check(
            CheckAttempt(credentials.authcid, credentials.password, client, trigger=trigger)
        )


def _look(conn: Connection, name: str, default_domain: str | None) -> _Look:
    try:
        place = find_place(conn, canonical_address(name, default_domain))
    except BadAddress:
        return _Look(None)  # our own door refuses it in its own time
    if place is None or place.account is None:
        return _Look(place)
    return _Look(place, uidls.has_map(conn, place.account.id))


def _sent_to(host: str, port: int, *, user: str | None = None) -> bytes:
    headers = {"Auth-Status": b"OK", "Auth-Server": host.encode(), "Auth-Port": b"%d" % port}
    if user is not None:
        headers["Auth-User"] = user.encode()
    return auth_reply(headers)


def _denied(request: AuthRequest, verdict: Verdict) -> bytes:
    """Return a reply that nginx turns into NO, -ERR or the code of SMTP; the client may try again."""
    answer = verdict.answer or Answer.TEMPORARY
    if request.protocol == _SMTP:
        text = denial_text(verdict.english or LATER_TEXT)
        headers = {"Auth-Status": text, "Auth-Error-Code": _SMTP_CODES[answer]}
    else:
        text = denial_text(verdict.text or LATER_TEXT)
        headers = {"Auth-Status": _CODES.get((request.protocol, answer), b"") + text}
    if request.attempt < MAX_DENIALS:
        headers["Auth-Wait"] = b"%d" % WAIT_SECONDS
    return auth_reply(headers)
