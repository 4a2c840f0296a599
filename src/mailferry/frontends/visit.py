"""One client, from accept to the end of its session: dialogue, gate, relay, one after the other.

From accept to login a client has 60 seconds, TLS handshake included, and octets that drip in do not
extend them; only a login that is being judged when they are over may still be answered. While
a login is judged the client is read no further than its dialogue keeps octets.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from mailferry.frontends.guests import Guest
from mailferry.frontends.served import Served, Unwanted
from mailferry.gate.admission import Admission, Admitted, LoginAttempt
from mailferry.login.actions import Action, Attempt, Close, Denied, Frontend, Granted, Send, StartTls
from mailferry.login.protocols import DIALOGUES
from mailferry.model.access import Protocol as MailProtocol
from mailferry.model.access import TlsMode
from mailferry.model.causes import Answer
from mailferry.net.carrier import Carrier, ClosedReason, HandshakeFailed
from mailferry.net.proxy_gate import IpNetwork, is_trusted
from mailferry.net.relay import IDLE_LIMIT_SECONDS
from mailferry.net.silence import unwatch, watch
from mailferry.net.tls_server import ServerContexts
from mailferry.observe.log import Log, session_id
from mailferry.wire.proxy_header import Endpoint

LOGIN_SECONDS = 60.0
TRY_AGAIN = "Temporary failure, please try again."


class Gate(Protocol):
    """Who judges logins (gate.gatekeeper.Gatekeeper)."""

    def admit(self, attempt: LoginAttempt) -> Deferred[Admission]:
        """Return what becomes of the attempt; cancelling it says that nobody waits any more."""
        ...


@dataclass(frozen=True, slots=True)
class DoorTerms:
    """What holds for every client of one listener.

    `contexts` is our certificate, needed unless `tls` is NONE. `plaintext_login` takes passwords
    without TLS as well. `webmails` are networks whose word is taken, in IMAP's ID before the login, for whom
    they speak. `hostname` stands in the greeting.
    """

    protocol: MailProtocol
    tls: TlsMode
    contexts: ServerContexts | None = None
    plaintext_login: bool = False
    webmails: tuple[IpNetwork, ...] = ()
    hostname: str = field(default_factory=platform.node)
    login_seconds: float = LOGIN_SECONDS
    idle_seconds: float = IDLE_LIMIT_SECONDS


class _At(Enum):
    """Where a visit stands."""

    HANDSHAKE = auto()
    TALK = auto()
    JUDGEMENT = auto()
    SERVED = auto()
    LEAVING = auto()


class Visit:
    """One client of a door up to its login; `on_over` is called once, when nothing of it is left.

    With the login a session takes its place, which is told by `on_served` before; so nothing of the
    conversation is kept for the hours that a mail program then stays.
    """

    __slots__ = (
        "_at",
        "_carrier",
        "_dialogue",
        "_finished",
        "_full",
        "_gate",
        "_holds",
        "_judging",
        "_late",
        "_log",
        "_on_over",
        "_on_served",
        "_paused",
        "_reactor",
        "_terms",
        "due",
        "session_id",
    )

    def __init__(
        self,
        carrier: Carrier,
        terms: DoorTerms,
        gate: Gate,
        *,
        reactor: IReactorTime,
        log: Log,
        on_over: Callable[[Guest], None],
        on_served: Callable[[Served], None],
    ) -> None:
        self._carrier = carrier
        self._terms = terms
        self._gate = gate
        self._reactor = reactor
        self.session_id = session_id()
        self._log = log
        self._on_over = on_over
        self._on_served = on_served
        self._at = _At.TALK
        self._full = self._paused = False
        self._late = False
        self._finished = False
        self.due = math.inf
        """When the time for the login is over, by the reactor's clock."""
        self._judging: Deferred[Admission] | None = None
        self._holds = 1  # the client's carrier; a judgement and a session nobody wants count as well
        implicit = terms.tls is TlsMode.IMPLICIT
        self._dialogue: Frontend = DIALOGUES[terms.protocol].frontend(
            terms.hostname,
            tls_available=terms.contexts is not None and terms.tls is TlsMode.STARTTLS,
            tls_active=implicit,
            plaintext_login=terms.plaintext_login,
            webmail=bool(terms.webmails) and is_trusted(carrier.peer.host, terms.webmails),
        )

    def begin(self) -> None:
        """Start the time limit, TLS where it comes first, and the conversation."""
        self.due = self._reactor.seconds() + self._terms.login_seconds
        watch(self, self._reactor)
        self._carrier.attach(self)
        if self._terms.tls is TlsMode.IMPLICIT:
            self._upgrade(self._dialogue.start)
        else:
            self._perform(self._dialogue.start())

    def stop(self) -> None:
        """End the visit because the process stops."""
        if self._at is _At.JUDGEMENT:
            self._late = True
            self._drop_judgement()
            self._deny(Denied(Answer.TEMPORARY, TRY_AGAIN))
        else:
            self._leave("the service stops")

    def abort(self, reason: str) -> None:
        """End the visit at once, whatever it is doing."""
        self._debug("client sent away", why=reason)
        self._carrier.abort()

    # what the carrier tells

    def received(self, data: bytes) -> None:
        """Let the dialogue hear the client."""
        self._perform(self._dialogue.feed(data))

    def pressure(self, full: bool) -> None:
        """Read no more from a client that does not read our answers."""
        self._full = full
        self._match_reading()

    def finished(self) -> None:
        """Go on only for a script that sent everything ahead and waits for its answers."""
        self._finished = True
        if self._at is not _At.JUDGEMENT or not self._dialogue.held:
            self._leave("the client closed the connection")

    def closed(self, reason: ClosedReason) -> None:
        """Clean up behind a client that is gone."""
        if self._at is not _At.LEAVING:
            self._debug("client gone before login", why=str(reason))
        self._at = _At.LEAVING
        unwatch(self, self._reactor)
        self._drop_judgement()
        self._release()

    # the conversation

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if self._at is _At.LEAVING:
                return
            match action:
                case Send():
                    self._carrier.write(action.data)
                case StartTls():
                    self._upgrade(self._dialogue.secured)
                case Attempt():
                    self._ask(action)
                case Close():
                    self._leave(action.reason)
                case _:
                    raise TypeError(f"a frontend dialogue does not say {type(action).__name__}")
        self._match_reading()

    def _match_reading(self) -> None:
        if self._at is _At.SERVED:
            return
        hold = self._full or (self._at is _At.JUDGEMENT and self._dialogue.full)
        if hold is not self._paused:
            self._paused = hold
            (self._carrier.pause if hold else self._carrier.resume)()

    def _upgrade(self, go_on: Callable[[], list[Action]]) -> None:
        self._at = _At.HANDSHAKE
        handshake = self._carrier.start_tls_server()

        def secured(_result: None) -> None:
            if self._at is _At.HANDSHAKE:
                self._at = _At.TALK
                self._perform(go_on())

        def failed(failure: Failure) -> None:
            if not isinstance(failure.value, HandshakeFailed | CancelledError):
                self._broken(failure)
            self._debug("no TLS", why=str(failure.value))

        handshake.addCallback(secured).addErrback(failed)

    def _ask(self, action: Attempt) -> None:
        if self._late:
            self._leave("out of time")
            return
        self._at = _At.JUDGEMENT
        peer, door = self._carrier.peer, self._carrier.host
        attempt = LoginAttempt(
            protocol=self._terms.protocol,
            credentials=action.credentials,
            client=action.client or Endpoint(peer.host, peer.port),
            door=Endpoint(door.host, door.port),
            session_id=self.session_id,
        )
        self._holds += 1
        judging = self._judging = self._gate.admit(attempt)
        judging.addCallbacks(self._judged, self._not_judged).addBoth(self._judgement_over)

    def _judged(self, admission: Admission) -> None:
        self._judging = None
        if self._at is not _At.JUDGEMENT:
            if isinstance(admission, Admitted):
                self._turn_away(admission)
        elif isinstance(admission, Admitted):
            self._serve(admission)
        else:
            self._deny(Denied(admission.answer, admission.text))

    def _not_judged(self, failure: Failure) -> None:
        self._judging = None
        if not isinstance(failure.value, CancelledError):
            self._log.error("the gate broke", session=self.session_id, why=failure.getErrorMessage())
        if self._at is _At.JUDGEMENT:
            self._deny(Denied(Answer.TEMPORARY, TRY_AGAIN))

    def _judgement_over(self, fault: Failure | None) -> None:
        if fault is not None:
            self._broken(fault)
        self._release()

    def _deny(self, denied: Denied) -> None:
        self._at = _At.TALK
        self._perform(self._dialogue.answer(denied))
        if self._at is _At.TALK and (self._late or self._finished):
            self._leave("out of time after a denied login")

    def _serve(self, admission: Admitted) -> None:
        self._perform(self._dialogue.answer(Granted(admission.capabilities)))
        if self._at is not _At.JUDGEMENT:  # the dialogue closed instead
            self._turn_away(admission)
            return
        self._at = _At.SERVED
        unwatch(self, self._reactor)
        served = Served(
            self._carrier,
            admission,
            protocol=self._terms.protocol,
            session_id=self.session_id,
            idle_limit=self._terms.idle_seconds,
            reactor=self._reactor,
            log=self._log,
            on_over=self._on_over,
        )
        self._on_served(served)
        served.begin(from_client=self._dialogue.residual(), from_server=admission.residual)
        self._release()  # the client's carrier has another user now

    # the ends

    def _turn_away(self, admission: Admitted) -> None:
        self._holds += 1
        Unwanted(admission, self._release)

    def _release(self, _result: None = None) -> None:
        self._holds -= 1
        if not self._holds:
            self._on_over(self)

    def _broken(self, failure: Failure) -> None:
        """Close what a fault of ours left half done, so that it does not stay until a time limit."""
        self._log.error("a session broke", session=self.session_id, exc_info=failure.value)
        self.abort("broken")

    def _drop_judgement(self) -> None:
        judging, self._judging = self._judging, None
        if judging is not None:
            if self._at is _At.JUDGEMENT:
                self._at = _At.TALK
            judging.cancel()

    def silent_for_too_long(self) -> None:
        """Send the client away: the time for its login is over, whatever it sent meanwhile."""
        self._late = True
        if self._at is not _At.JUDGEMENT:
            self._debug("no login in time")
            self._carrier.abort()

    def _leave(self, reason: str) -> None:
        if self._at is not _At.LEAVING:
            self._at = _At.LEAVING
            self._debug("client leaves before login", why=reason)
            self._drop_judgement()
            self._carrier.close()

    def _debug(self, event: str, **more: str) -> None:
        self._log.debug(event, session=self.session_id, client=self._carrier.peer.host, **more)
