"""The POP3 command queue over a carrier: commands out, replies back in the same order (RFC 1939 3).

With PIPELINING (RFC 2449 6.8) commands go out without waiting, up to a window; otherwise each waits
for the reply before it. Bodies are handed on un-stuffed as they arrive, never collected here. The end
of a message counts only when a reply follows it: servers that do not stuff, or that leave the last
line's end out, would else cut messages short or glue two of them together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.remote.failures import command_failure, lost_session
from mailferry.wire.line_buffer import LineBuffer, LineTooLong
from mailferry.wire.pop3_replies import BadReply, DotReader, Pop3Reply, parse_status, reply_follows

MAX_STATUS_LINE = 8 * 1024
"""RFC 1939 says 512 octets; sentences in GBK with an address in them are longer."""
WINDOW = 64
"""Commands on their way with PIPELINING; more gains nothing and fills the server's buffers."""
PIECE = 16 * 1024
"""Octets looked at together: what lies behind a message is copied as often as there are messages before it."""
_TAKEN = Pop3Reply(ok=True, code=None, text=b"")
"""The reply in front of a message that came whole in one read: its words mean nothing."""
_LINE_END = b".\r\n"


class BodyTaker:
    """Who takes a multi-line body. Lets it go as it is."""

    def begin(self) -> None:
        """`+OK` came, the body follows."""

    def chunk(self, data: bytes) -> None:
        """The next octets, un-stuffed."""

    def end(self, *, doubtful: bool) -> None:
        """The body is complete; `doubtful` when dots were taken out that may have been its own."""

    def broken(self) -> None:
        """The body that began will not end."""


class Exchange:
    """One command and its reply. `reply` is set by the server, `error` when the session broke.

    `message` tells that the body is a message, of `size` octets if the server's list is right: its
    end is confirmed by the reply of the next command, which the caller must have sent.
    """

    __slots__ = ("error", "line", "message", "name", "over", "reply", "size", "taker", "waiter")

    def __init__(
        self, line: bytes, name: str, taker: BodyTaker | None, *, message: bool, size: int | None
    ) -> None:
        self.line = line
        self.name = name
        self.taker = taker
        self.message = message
        self.size = size
        self.reply: Pop3Reply | None = None
        self.error: BaseException | None = None
        self.over = False
        """The reply is complete, its body with it, or will never be."""
        self.waiter: Deferred[None] | None = None

    def settle(self) -> None:
        """Wake up who waits for the reply."""
        self.over = True
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
        self.bare = False
        """The server turned out not to stuff."""
        self.after_read: Callable[[], None] | None = None
        self._carrier = carrier
        self._reactor = reactor
        self._timeout = timeout
        self._lines = LineBuffer(MAX_STATUS_LINE)
        self._dots: DotReader | None = None
        self._unconfirmed: tuple[Exchange, DotReader] | None = None
        self._ahead = b""  # octets behind an unconfirmed end, too few to tell whether they are a reply
        self._queued: deque[Exchange] = deque()
        self._sent: deque[Exchange] = deque()
        self._was_full = False
        self._paused = False
        self._failure: BaseException | None = None
        self._timer: IDelayedCall | None = None
        self._active_at = reactor.seconds()
        if residual:
            self.received(residual)
        carrier.attach(self)

    # ---- commands out

    def send(
        self,
        line: bytes,
        *,
        taker: BodyTaker | None = None,
        message: bool = False,
        size: int | None = None,
    ) -> Exchange:
        """Queue a command; with a `taker` its `+OK` is followed by a body. Raises what ended the session.

        Behind the last `message` another command must follow.
        """
        if self._failure is not None:
            raise self._failure
        name = line.split(b" ", 1)[0].decode("ascii")
        exchange = Exchange(line, name, taker, message=message, size=size)
        self._queued.append(exchange)
        self._pump()
        return exchange

    async def reply(self, exchange: Exchange) -> Pop3Reply:
        """Wait for the reply, and behind `+OK` for the body's end. Raises what ended the session."""
        if not exchange.over:
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

    @property
    def busy(self) -> bool:
        """Whether a reply is owed."""
        return bool(self._sent or self._queued)

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
            at = 0
            while at < len(data) and self._failure is None:
                at = self._whole_messages(data, at)
                end = self._end_of_piece(data, at)
                self._take(data[at:end])
                at = end
            if self.after_read is not None:
                self.after_read()
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
        if len(self._sent) > window // 2 and self._was_full:
            return  # until half of it is free: many commands then go out by one write
        lines = []
        while self._queued and len(self._sent) < window:
            exchange = self._queued.popleft()
            self._sent.append(exchange)
            lines.append(exchange.line + b"\r\n")
        self._was_full = len(self._sent) == window
        if lines:
            if len(self._sent) == len(lines):
                self._touch()
            self._carrier.write(b"".join(lines))
        if self._sent and self._timer is None:
            self._timer = self._reactor.callLater(self._timeout, self._look)

    def _whole_messages(self, data: bytes, at: int) -> int:
        """Hand on messages that lie in `data` whole, from `at` on; return where the first that does not begins.

        Whole is what has the size of the list, no line that begins with a dot, and a reply behind its end: no
        reading of it would find anything else. All other messages go through `DotReader`.
        """
        if self._dots is not None or len(self._lines) or self._ahead or self.bare:
            return at
        if self._unconfirmed is not None and reply_follows(data[at : at + 5]):
            self._confirm()
        while self._sent and self._unconfirmed is None and self._failure is None:
            exchange = self._sent[0]
            begins = data.find(b"\n", at, at + MAX_STATUS_LINE) + 1
            if not (
                begins and exchange.message and exchange.size and data[at : at + 4] in {b"+OK ", b"+OK\r"}
            ):
                break
            ends = begins + exchange.size
            behind = ends + len(_LINE_END)
            if data[ends:behind] != _LINE_END or not reply_follows(data[behind : behind + 5]):
                break
            if data[begins] == _LINE_END[0] or data.find(b"\n.", begins, ends + 1) != ends - 1:
                break
            self._hand_on(exchange, data[begins:ends])
            at = behind
        return at

    def _hand_on(self, exchange: Exchange, message: bytes) -> None:
        exchange.reply, taker = _TAKEN, exchange.taker
        assert taker is not None
        taker.begin()
        taker.chunk(message)
        taker.end(doubtful=False)
        if self._failure is None:
            self._settle()

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """Return how far to look next: to the end of the message that has begun, if it is near."""
        end = data.find(b"\n.\r\n", at, at + PIECE) if self._dots is not None else -1
        return end + 4 if end >= 0 else at + PIECE

    def _take(self, data: bytes) -> None:
        """Cut octets into status lines and bodies. Both keep what is not complete yet."""
        while data or self._dots is None:
            if self._failure is not None:
                return
            if self._dots is not None:
                data = self._body(self._dots, data)
                continue
            if self._unconfirmed is not None:
                data = self._ahead + data
                follows = reply_follows(data)
                self._ahead = data if follows is None else b""
                if follows is None:
                    return
                if not follows:
                    data = self._resume(data)
                    continue
                self._confirm()
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
            self._dots = DotReader(bare=self.bare, expected=exchange.size)
            exchange.taker.begin()
        else:
            self._settle()

    def _body(self, dots: DotReader, data: bytes) -> bytes:
        exchange = self._sent[0]
        assert exchange.taker is not None
        chunk = dots.feed(data)
        if chunk:
            exchange.taker.chunk(chunk)
        if not dots.done:
            return b""
        self._dots = None
        rest, dots.rest = dots.rest, b""
        if exchange.message:
            self._unconfirmed = exchange, dots
            self._sent.popleft()
            self._pump()
        else:
            exchange.taker.end(doubtful=False)
            self._settle()
        return rest

    def _confirm(self) -> None:
        """A reply follows the message's end: it was one."""
        assert self._unconfirmed is not None
        (exchange, dots), self._unconfirmed = self._unconfirmed, None
        self.bare = self.bare or dots.bare
        assert exchange.taker is not None
        exchange.taker.end(doubtful=dots.doubtful)
        exchange.settle()

    def _resume(self, data: bytes) -> bytes:
        """No reply follows the message's end: it was none, and all of this is the message's."""
        assert self._unconfirmed is not None
        (exchange, dots), self._unconfirmed = self._unconfirmed, None
        assert exchange.taker is not None
        self._sent.appendleft(exchange)
        self._dots = dots
        exchange.taker.chunk(dots.resume())
        return data

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
        begun = self._sent[0] if self._dots is not None else None
        if self._unconfirmed is not None:
            begun, ended = self._unconfirmed[0], (self._unconfirmed[0], *ended)
        try:
            if begun is not None and begun.taker is not None:
                begun.taker.broken()
        finally:
            self._sent.clear()
            self._unconfirmed = None
            for exchange in ended:
                exchange.error = error
                exchange.settle()
