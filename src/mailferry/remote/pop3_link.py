"""The POP3 command queue over a carrier: commands out, replies back in the same order (RFC 1939 3).

With PIPELINING (RFC 2449 6.8) commands go out without waiting, up to a window; otherwise each waits
for the reply before it. Bodies are handed on un-stuffed as they arrive, never collected here.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.remote.failures import command_failure, lost_session
from mailferry.wire.line_buffer import LineBuffer, LineTooLong
from mailferry.wire.pop3_replies import BadReply, DotReader, Pop3Reply, parse_status

MAX_STATUS_LINE = 8 * 1024
"""RFC 1939 says 512 octets; sentences in GBK with an address in them are longer."""
WINDOW = 64
"""Commands on their way with PIPELINING; more gains nothing and fills the server's buffers."""


class BodyTaker:
    """Who takes a multi-line body. Lets it go as it is."""

    def begin(self) -> None:
        """`+OK` came, the body follows."""

    def chunk(self, data: bytes) -> None:
        """The next octets, un-stuffed."""

    def end(self) -> None:
        """The body is complete."""

    def broken(self) -> None:
        """The body that began will not end."""


class Exchange:
    """One command and its reply. `reply` is set by the server, `error` when the session broke."""

    __slots__ = ("error", "line", "name", "reply", "taker", "waiter")

    def __init__(self, line: bytes, name: str, taker: BodyTaker | None) -> None:
        self.line = line
        self.name = name
        self.taker = taker
        self.reply: Pop3Reply | None = None
        self.error: BaseException | None = None
        self.waiter: Deferred[None] | None = None

    def settle(self) -> None:
        """Wake up who waits for the reply."""
        if self.waiter is not None and not self.waiter.called:
            self.waiter.callback(None)


class Pop3Link:
    """One session's command queue; the carrier's user from the moment it is made.

    `timeout` is the silence in seconds, while a reply is owed, that ends the session.
    """

    def __init__(
        self,
        carrier: Carrier,
        profile: Profile,
        reactor: IReactorTime,
        *,
        timeout: float,
        residual: bytes = b"",
    ) -> None:
        self.profile = profile
        self.pipelining = False
        """Set by whoever has read CAPA."""
        self._carrier = carrier
        self._reactor = reactor
        self._timeout = timeout
        self._lines = LineBuffer(MAX_STATUS_LINE)
        self._dots: DotReader | None = None
        self._queued: deque[Exchange] = deque()
        self._sent: deque[Exchange] = deque()
        self._paused = False
        self._failure: BaseException | None = None
        self._timer: IDelayedCall | None = None
        self._active_at = reactor.seconds()
        if residual:
            self.received(residual)
        carrier.attach(self)

    # ---- commands out

    def send(self, line: bytes, *, taker: BodyTaker | None = None) -> Exchange:
        """Queue a command; with a `taker` its `+OK` is followed by a body. Raises what ended the session."""
        if self._failure is not None:
            raise self._failure
        exchange = Exchange(line, line.split(b" ", 1)[0].decode("ascii"), taker)
        self._queued.append(exchange)
        self._pump()
        return exchange

    async def reply(self, exchange: Exchange) -> Pop3Reply:
        """Wait for the reply, and behind `+OK` for the body's end. Raises what ended the session."""
        if exchange.reply is None and exchange.error is None:
            exchange.waiter = Deferred()
            await exchange.waiter
        if exchange.error is not None:
            raise exchange.error
        assert exchange.reply is not None
        return exchange.reply

    async def run(self, line: bytes, *, taker: BodyTaker | None = None) -> Pop3Reply:
        """Send a command and return its `+OK`. Raises Refused or Unavailable for `-ERR`."""
        exchange = self.send(line, taker=taker)
        reply = await self.reply(exchange)
        if not reply.ok:
            raise self.refusal(reply, exchange.name)
        return reply

    def refusal(self, reply: Pop3Reply, name: str) -> RemoteFailure:
        """Return what a `-ERR` stands for."""
        return command_failure(self.profile, code=reply.code, text=reply.text, stage=name.lower())

    # ---- the session as a whole

    @property
    def over(self) -> bool:
        """Whether the session has ended, by whichever side."""
        return self._failure is not None

    def pause(self) -> None:
        """Stop reading; the server is slowed down. No time limit runs meanwhile."""
        self._paused = True
        self._carrier.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._paused = False
        self._touch()
        self._carrier.resume()

    def close(self) -> None:
        """End the session at once; commands that are open raise Unavailable."""
        self._fail(Unavailable(Cause.SERVER_DOWN, "the session was closed on our side"))

    # ---- the carrier's user

    def received(self, data: bytes) -> None:
        """Take octets from the server."""
        if self._failure is not None:
            return
        self._touch()
        try:
            self._take(data)
        except (BadReply, LineTooLong) as fault:
            self._fail(Unavailable(Cause.PROTOCOL_ERROR, f"the server's reply is no POP3: {fault}"))
        except Exception as error:  # loop edge: a taker's exception ends this session only
            self._fail(error)

    def pressure(self, full: bool) -> None:
        """Commands are short; nothing waits for the network here."""

    def closed(self, reason: ClosedReason) -> None:
        """Learn that nothing follows."""
        doing = f" during {self._sent[0].name}" if self._sent else ""
        self._fail(lost_session(self.profile, farewell=None, text=f"{reason}{doing}"))

    # ---- inside

    def _pump(self) -> None:
        window = WINDOW if self.pipelining else 1
        lines = []
        while self._queued and len(self._sent) < window:
            exchange = self._queued.popleft()
            self._sent.append(exchange)
            lines.append(exchange.line + b"\r\n")
        if lines:
            if len(self._sent) == len(lines):
                self._touch()
            self._carrier.write(b"".join(lines))
        if self._sent and self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._look)

    def _take(self, data: bytes) -> None:
        """Cut octets into status lines and bodies. Both keep what is not complete yet."""
        while data or self._dots is None:
            if self._failure is not None:
                return
            if self._dots is not None:
                data = self._body(self._dots, data)
                continue
            self._lines.feed(data)
            line = self._lines.next_line()
            if line is None:
                return
            data = self._lines.take_rest()
            self._status(line)

    def _status(self, line: bytes) -> None:
        if not self._sent:
            raise lost_session(self.profile, farewell=line, text="")  # such as an autologout
        reply = parse_status(line)
        exchange = self._sent[0]
        exchange.reply = reply
        if reply.ok and exchange.taker is not None:
            self._dots = DotReader()
            exchange.taker.begin()
        else:
            self._settle()

    def _body(self, dots: DotReader, data: bytes) -> bytes:
        taker = self._sent[0].taker
        assert taker is not None
        chunk = dots.feed(data)
        if chunk:
            taker.chunk(chunk)
        if not dots.done:
            return b""
        self._dots = None
        taker.end()
        self._settle()
        return dots.rest

    def _settle(self) -> None:
        exchange = self._sent.popleft()
        self._pump()
        exchange.settle()

    def _touch(self) -> None:
        self._active_at = self._reactor.seconds()

    def _look(self) -> None:
        """End a session that owes a reply and was silent too long."""
        self._timer = None
        if not self._sent:
            return
        if self._paused:
            self._touch()
        left = self._active_at + self._timeout - self._reactor.seconds()
        if left > 0:
            self._timer = self._reactor.callLater(left, self._look)
        else:
            name = self._sent[0].name
            self._fail(Unavailable(Cause.SERVER_DOWN, f"no reply to {name} in {self._timeout:g} s"))

    def _fail(self, error: BaseException) -> None:
        """End the session; every open command raises `error`."""
        if self._failure is not None:
            return
        self._failure = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._carrier.abort()
        ended = (*self._sent, *self._queued)
        self._queued.clear()
        try:
            if self._dots is not None and self._sent[0].taker is not None:
                self._sent[0].taker.broken()
        finally:
            self._sent.clear()
            for exchange in ended:
                exchange.error = error
                exchange.settle()
