"""The listener that Postfix asks about SMTP logins (`smtpd_sasl_type = dovecot`), by Dovecot's protocol.

A temporary failure has no line that Postfix understands: whatever stands in a FAIL, its client reads
that the password is wrong (535). A connection that ends before the answer makes it say 454, try again
later, and so that is how "could not be asked" is told, after everything else that is under way on the
connection was answered. Postfix waits ten seconds for an answer; one that takes longer is told in
time as temporary, and the judging goes on, so that the next try finds its yes.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.frontends.guests import DRAIN_SECONDS, Guests
from mailferry.frontends.told_client import told_client
from mailferry.gate.checking import CheckAttempt, Checks, Verdict
from mailferry.login.limits import REFUSED_TEXT
from mailferry.login.names import RefusedAtTheDoor, typed_credentials
from mailferry.login.sasl_exchange import MECHANISMS, Cancelled, SaslExchange
from mailferry.model.account import Trigger
from mailferry.model.causes import Answer
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.observe.log import Log
from mailferry.wire import dovecot_auth as wire
from mailferry.wire.dovecot_auth import Auth, BadAuthLine, Cancel, ClientVersion, Continue
from mailferry.wire.line_buffer import LineBuffer, LineTooLong
from mailferry.wire.proxy_header import Endpoint
from mailferry.wire.sasl import BadSasl, PlainResponse

ANSWER_SECONDS = 9.0
"""Postfix gives up after ten (AUTH_TIMEOUT in its xsasl_dovecot_server.c)."""
FAREWELL_SECONDS = 1.0
"""How long the last answers of a connection have to reach the other side."""
MAX_UNDER_WAY = 100
"""Requests of one connection; Postfix has one at a time."""


class SaslDoor:
    """Everybody who asks at one listener."""

    def __init__(self, checks: Checks, *, reactor: IReactorTime, log: Log) -> None:
        self._checks = checks
        self._reactor = reactor
        self._log = log
        self._guests = Guests(reactor)
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._guests)

    def accept(self, carrier: Carrier) -> None:
        """Greet a client that just connected, and answer its requests."""
        if self._guests.draining:
            carrier.abort()
            return
        asking = _Asking(
            carrier,
            self._checks,
            reactor=self._reactor,
            log=self._log,
            on_over=self._guests.left,
            number=next(self._numbers),
        )
        self._guests.enter(asking)
        asking.begin()

    def drain(self, seconds: float = DRAIN_SECONDS) -> Deferred[None]:
        """Answer what is under way, for `seconds` at most; fires when nobody is left."""
        return self._guests.drain(seconds)


class _Request:
    """One login under way: its dialogue, then its judging."""

    def __init__(self, mechanism: str, client: Endpoint) -> None:
        self.exchange = SaslExchange(mechanism)
        self.client = client
        self.judging: Deferred[Verdict] | None = None
        self.limit: IDelayedCall | None = None

    def drop(self) -> None:
        """Nobody waits any more."""
        if self.limit is not None and self.limit.active():
            self.limit.cancel()
        if self.judging is not None:
            self.judging.cancel()


class _Asking:
    """One connection of Postfix; `on_over` is called once, when nothing of it is left."""

    def __init__(
        self,
        carrier: Carrier,
        checks: Checks,
        *,
        reactor: IReactorTime,
        log: Log,
        on_over: Callable[[_Asking], None],
        number: int,
    ) -> None:
        self._carrier = carrier
        self._checks = checks
        self._reactor = reactor
        self._log = log
        self._on_over = on_over
        self._number = number
        self._lines = LineBuffer(wire.MAX_LINE_OCTETS)
        self._greeted = False
        self._requests: dict[int, _Request] = {}
        self._overlaps = False
        """Whether the request under way had company; Postfix has one at a time."""
        self._ends = False
        self._over = False
        self._farewell: IDelayedCall | None = None

    def begin(self) -> None:
        """Say what we offer."""
        self._carrier.attach(self)
        self._carrier.write(
            wire.greeting(MECHANISMS, pid=os.getpid(), number=self._number, cookie=secrets.token_bytes(16))
        )

    def stop(self) -> None:
        """End when everything that is under way is answered."""
        self._ends = True
        if self._requests:
            return
        self.abort("the service stops")

    def abort(self, reason: str) -> None:
        """End at once."""
        self._log.debug("an SMTP server is not answered", why=reason)
        self._carrier.abort()

    # what the carrier tells

    def received(self, data: bytes) -> None:
        """Take requests."""
        self._lines.feed(data)
        try:
            while not self._over and (line := self._lines.next_line()) is not None:
                self._hear(line)
        except (BadAuthLine, LineTooLong) as error:
            self._log.warning("an SMTP server that does not speak the protocol", why=str(error))
            self._over = True
            self._carrier.abort()

    def pressure(self, full: bool) -> None:
        """Answers are short; who does not read them is read no further."""
        if full:
            self._carrier.pause()
        else:
            self._carrier.resume()

    def closed(self, reason: ClosedReason) -> None:  # noqa: ARG002 - whatever the reason
        """Stop judging for a client that is gone."""
        self._over = True
        if self._farewell is not None and self._farewell.active():
            self._farewell.cancel()
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.drop()
        self._on_over(self)

    # requests

    def _hear(self, line: bytes) -> None:
        match wire.parse_client_line(line):
            case ClientVersion(major):
                if major != wire.MAJOR_VERSION:
                    raise BadAuthLine("another version of the protocol")
                self._greeted = True
            case Auth() as auth:
                self._begin_request(auth)
            case Continue(number, response):
                request = self._requests.get(number)
                if request is None or request.judging is not None:
                    return  # answered already
                self._respond(number, request, response)
            case Cancel(number):
                request = self._requests.pop(number, None)
                if request is not None:
                    request.drop()
                    self._end_if_done()
            case None:
                return

    def _begin_request(self, auth: Auth) -> None:
        if not self._greeted:
            raise BadAuthLine("a request ahead of the version")
        if auth.id in self._requests:
            raise BadAuthLine("a number that is under way already")
        if self._ends or len(self._requests) >= MAX_UNDER_WAY:
            self._ends = True  # it is not answered: the end of the connection says "later"
            return
        if auth.mechanism not in MECHANISMS:
            self._refuse(auth.id)
            return
        self._overlaps = bool(self._requests)
        request = self._requests[auth.id] = _Request(auth.mechanism, told_client(auth.client))
        if auth.response is None:
            self._carrier.write(wire.proceed(auth.id, request.exchange.prompt))
        else:
            self._respond(auth.id, request, auth.response, initial=True)

    def _respond(self, number: int, request: _Request, response: bytes, *, initial: bool = False) -> None:
        try:
            said = request.exchange.respond(response, initial=initial)
        except BadSasl:
            self._refuse(number)
            return
        if isinstance(said, Cancelled):
            self._refuse(number)
        elif said is None:
            self._carrier.write(wire.proceed(number, request.exchange.prompt))
        else:
            self._judge(number, request, said)

    def _judge(self, number: int, request: _Request, said: PlainResponse) -> None:
        try:
            typed = typed_credentials(said.authcid, said.password.reveal(), said.authzid)
        except RefusedAtTheDoor:
            self._refuse(number)
            return
        request.limit = self._reactor.callLater(ANSWER_SECONDS, self._too_late, number, request)
        attempt = CheckAttempt(typed.authcid, typed.password, request.client, Trigger.SMTP)
        request.judging = self._checks.check(attempt)
        request.judging.addCallback(lambda verdict: self._judged(number, request, verdict))

    def _too_late(self, number: int, request: _Request) -> None:
        """Tell in time that it takes longer; whoever judges goes on, and the next try finds the answer."""
        request.judging = None
        if self._requests.get(number) is request:
            self._later(number)

    def _judged(self, number: int, request: _Request, verdict: Verdict) -> None:
        request.judging = None
        if request.limit is not None and request.limit.active():
            request.limit.cancel()
        if self._requests.get(number) is not request:
            return  # cancelled, too late, or nobody is there
        if verdict.accepted:
            self._carrier.write(wire.accepted(number, verdict.address))
            self._answered(number)
        elif verdict.answer is Answer.REFUSED:
            self._refuse(number, verdict.english)
        else:
            self._later(number)

    def _refuse(self, number: int, reason: str = REFUSED_TEXT) -> None:
        self._carrier.write(wire.refused(number, reason))
        self._answered(number)

    def _later(self, number: int) -> None:
        self._ends = True
        self._requests.pop(number, None)
        if self._requests or self._overlaps:
            self._end_if_done()
        elif not self._over:
            # a reset: a Postfix that finds half a connection loses its next question on it
            self._over = True
            self._carrier.abort()

    def _answered(self, number: int) -> None:
        self._requests.pop(number, None)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._ends and not self._requests and not self._over:
            self._over = True
            self._carrier.close()
            # Postfix sees the end of a connection when it wants to use it, which may be in a minute
            self._farewell = self._reactor.callLater(FAREWELL_SECONDS, self._carrier.abort)
