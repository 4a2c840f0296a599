"""The listener that nginx's mail proxy asks: one request a connection, one reply, and the end.

What is answered stands in frontends/auth_http_answers.py. A request that cannot be read, or whose key
is wrong, gets an answer without a verdict; nginx tells its client of an internal error then, and the
client tries again later.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mailferry.frontends.auth_http_answers import Answers
from mailferry.frontends.guests import DRAIN_SECONDS, Guests
from mailferry.model.access import Secret
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.observe.log import Log
from mailferry.wire.auth_http import (
    HEAD_END,
    MAX_HEAD_OCTETS,
    BadAuthRequest,
    faulty_reply,
    parse_auth_request,
)

REQUEST_SECONDS = 10.0
"""How long nginx may take to send its whole request."""


class AuthHttpDoor:
    """Everybody who asks at one auth_http listener; `key` is what each request must carry, None for nothing."""

    def __init__(self, answers: Answers, *, key: Secret | None, reactor: IReactorTime, log: Log) -> None:
        self._answers = answers
        self._key = key
        self._reactor = reactor
        self._log = log
        self._guests = Guests(reactor)

    def __len__(self) -> int:
        return len(self._guests)

    def accept(self, carrier: Carrier) -> None:
        """Hear a request of a client that just connected."""
        if self._guests.draining:
            carrier.abort()
            return
        asking = _Asking(
            carrier, self._answers, self._key, reactor=self._reactor, log=self._log, on_over=self._guests.left
        )
        self._guests.enter(asking)
        asking.begin()

    def drain(self, seconds: float = DRAIN_SECONDS) -> Deferred[None]:
        """Answer what is being judged, for `seconds` at most; fires when nobody is left."""
        return self._guests.drain(seconds)


class _Asking:
    """One connection of nginx; `on_over` is called once, when nothing of it is left."""

    def __init__(
        self,
        carrier: Carrier,
        answers: Answers,
        key: Secret | None,
        *,
        reactor: IReactorTime,
        log: Log,
        on_over: Callable[[_Asking], None],
    ) -> None:
        self._carrier = carrier
        self._answers = answers
        self._key = key
        self._reactor = reactor
        self._log = log
        self._on_over = on_over
        self._head = bytearray()
        self._limit: IDelayedCall | None = None
        self._judging: Deferred[bytes] | None = None
        self._heard = False

    def begin(self) -> None:
        """Wait for the request."""
        self._limit = self._reactor.callLater(REQUEST_SECONDS, self.abort, "no request in time")
        self._carrier.attach(self)

    def stop(self) -> None:
        """Leave at once where nothing was asked yet; what is being judged is answered."""
        if not self._heard:
            self.abort("the service stops")

    def abort(self, reason: str) -> None:
        """End at once."""
        self._log.debug("nginx is not answered", why=reason)
        self._carrier.abort()

    # what the carrier tells

    def received(self, data: bytes) -> None:
        """Collect the head of the request; what follows it is not looked at."""
        if self._heard:
            return
        self._head += data
        end = self._head.find(HEAD_END, 0, MAX_HEAD_OCTETS)
        if end < 0 and len(self._head) < MAX_HEAD_OCTETS:
            return
        self._heard = True
        self._end_limit()
        if end < 0:
            self._reply(faulty_reply("431 Request Header Fields Too Large"))
        else:
            self._ask(bytes(self._head[:end]))
        self._head.clear()

    def pressure(self, full: bool) -> None:
        """A reply is short: nothing waits."""

    def closed(self, reason: ClosedReason) -> None:  # noqa: ARG002 - whatever the reason
        """Stop judging for a client that is gone."""
        self._end_limit()
        if self._judging is not None:
            self._judging.cancel()
        self._on_over(self)

    # the answer

    def _ask(self, head: bytes) -> None:
        try:
            request = parse_auth_request(head)
        except BadAuthRequest as error:
            self._log.warning("a request that nginx does not send", why=str(error))
            self._reply(faulty_reply("400 Bad Request"))
            return
        if self._key is not None and request.key != self._key:
            self._log.error("a request with a wrong Auth-Key", client=self._carrier.peer.host)
            self._reply(faulty_reply("403 Forbidden"))
            return
        judging = self._judging = self._answers.answer(request)
        judging.addCallbacks(self._reply, self._broken)

    def _broken(self, failure: Failure) -> None:
        self._judging = None
        if not isinstance(failure.value, CancelledError):
            self._log.error("nginx could not be answered", why=failure.getErrorMessage())
            self._reply(faulty_reply("500 Internal Server Error"))

    def _reply(self, octets: bytes) -> None:
        self._judging = None
        self._carrier.write(octets)
        self._carrier.close()

    def _end_limit(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
