"""A POP3 session of our own, after login (RFC 1939; CAPA and PIPELINING, RFC 2449).

Every call raises `Refused` when the server heard the command and said `-ERR`, and `Unavailable` when
the session broke, fell silent, or answered what cannot be understood; after Unavailable by a break
the client is `closed` and stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime

from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.remote.message_sink import FetchOutcome, MessageSink
from mailferry.remote.open import OpenSession
from mailferry.remote.pop3_link import BodyTaker, Exchange, Pop3Link
from mailferry.wire.pop3_replies import BadReply, parse_list_line, parse_stat, parse_uidl_line

COMMAND_SECONDS = 120.0
FAREWELL_SECONDS = 2.0
"""How long the answer to QUIT is waited for."""
MAX_LISTED_LINE = 1024
LONGEST_LOGIN_DELAY = 86400.0

_NO_SIZES: Mapping[int, int] = {}


class _Listing(BodyTaker):
    """Hands each line of a multi-line reply to `on_line`, without its end."""

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def chunk(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LISTED_LINE:
            raise BadReply("a listing with a line without end")
        for line in lines:
            self._on_line(line.removesuffix(b"\r"))


class _Message(BodyTaker):
    """Hands one message to a sink; `doubtful` when it must be asked for again."""

    def __init__(self, number: int, sink: MessageSink) -> None:
        self._number = number
        self._sink = sink
        self.doubtful = False
        self.chunk = sink.chunk  # type: ignore[method-assign]  # no call in between, for each piece of every body

    def begin(self) -> None:
        self._sink.begin(self._number, None)

    def end(self, *, doubtful: bool) -> None:
        if doubtful:
            self.doubtful = True
            self._sink.broken()
        else:
            self._sink.end()

    def broken(self) -> None:
        self._sink.broken()


class Pop3Client:
    """One session. Commands are pipelined in the order of the calls where CAPA offers it.

    `timeout` is the silence in seconds, while a reply is owed, that ends the session.
    """

    def __init__(
        self,
        session: OpenSession,
        profile: Profile,
        reactor: IReactorTime,
        *,
        timeout: float = COMMAND_SECONDS,
    ) -> None:
        if session.protocol is not Protocol.POP3:
            raise ValueError("a POP3 client needs a POP3 session")
        self.capabilities: frozenset[bytes] = frozenset(name.upper() for name in session.capabilities)
        """First words of CAPA's lines, in upper case; empty before `capa` where the login did not ask."""
        self.login_delay = 0.0
        """Seconds between two logins of one user, as CAPA says (RFC 2449 6.4)."""
        self._reactor = reactor
        self._link = Pop3Link(session.carrier, profile, reactor, timeout=timeout, residual=session.residual)
        self._link.pipelining = b"PIPELINING" in self.capabilities

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._link.over

    async def capa(self) -> frozenset[bytes]:
        """Ask what the server offers; empty when it does not know CAPA. Pipelining follows from it."""
        offered: dict[bytes, list[bytes]] = {}

        def note(line: bytes) -> None:
            words = line.upper().split()
            if words:
                offered[words[0]] = words[1:]

        exchange = self._link.send(b"CAPA", taker=_Listing(note))
        if (await self._link.reply(exchange)).ok:
            self.capabilities = frozenset(offered)
            self._link.pipelining = b"PIPELINING" in offered
            seconds = offered.get(b"LOGIN-DELAY", [])[:1]
            if seconds and seconds[0].isdigit():
                self.login_delay = min(float(seconds[0]), LONGEST_LOGIN_DELAY)
        return self.capabilities

    async def stat(self) -> tuple[int, int]:
        """Return how many messages the maildrop holds, and how many octets."""
        reply = await self._link.run(b"STAT")
        try:
            return parse_stat(reply.text)
        except BadReply as fault:
            raise Unavailable(Cause.PROTOCOL_ERROR, f"STAT: {fault}") from fault

    async def list(self) -> dict[int, int]:
        """Return each message's number and size in octets; sizes are a hint, some servers guess them."""
        sizes: dict[int, int] = {}

        def note(line: bytes) -> None:
            number, size = parse_list_line(line)
            sizes[number] = size

        await self._link.run(b"LIST", taker=_Listing(note))
        return sizes

    async def uidl(self) -> dict[int, bytes]:
        """Return each message's number and unique id. Raises Refused where UIDL is not known."""
        ids: dict[int, bytes] = {}

        def note(line: bytes) -> None:
            number, uidl = parse_uidl_line(line)
            ids[number] = uidl

        await self._link.run(b"UIDL", taker=_Listing(note))
        return ids

    async def fetch(
        self,
        numbers: Collection[int],
        sink: MessageSink,
        *,
        top_lines: int | None = None,
        sizes: Mapping[int, int] = _NO_SIZES,
    ) -> FetchOutcome:
        """Stream many messages in the order of `numbers`, pipelined where offered.

        `top_lines` asks by TOP, which leaves messages unread on most servers; RETR sets `\\Seen` on
        Dovecot. `sizes` are what LIST says. A message that is refused does not stop the rest; one that
        turns out to have been read wrong is asked for again behind the others.
        """
        first = await self.fetch_once(numbers, sink, top_lines=top_lines, sizes=sizes)
        if not first.missing:
            return first
        second = await self.fetch_once(first.missing, sink, top_lines=top_lines, sizes=sizes)
        return FetchOutcome(second.missing, {**first.refused, **second.refused})

    async def fetch_once(
        self,
        numbers: Collection[int],
        sink: MessageSink,
        *,
        top_lines: int | None = None,
        sizes: Mapping[int, int] = _NO_SIZES,
    ) -> FetchOutcome:
        """The same without asking again: what was read wrong is `missing`.

        The commands are on their way when this returns its first time; several calls may be.
        """
        asked: list[tuple[int, _Message, Exchange]] = []
        for number in dict.fromkeys(numbers):
            taker = _Message(number, sink)
            line = b"RETR %d" % number if top_lines is None else b"TOP %d %d" % (number, top_lines)
            size = sizes.get(number) if top_lines is None else None
            asked.append((number, taker, self._link.send(line, taker=taker, message=True, size=size)))
        if not asked:
            return FetchOutcome()
        noop = self._link.send(b"NOOP")  # its reply confirms the last message's end
        await self._link.reply(noop)  # all others came before it
        refused: dict[int, RemoteFailure] = {}
        for number, _, exchange in asked:
            if exchange.reply is not None and not exchange.reply.ok:
                refused[number] = self._link.refusal(exchange.reply, exchange.name)
        return FetchOutcome(tuple(number for number, taker, _ in asked if taker.doubtful), refused)

    @property
    def after_read(self) -> Callable[[], None] | None:
        """Called each time when all is handed on that one read from the network brought."""
        return self._link.after_read

    @after_read.setter
    def after_read(self, call: Callable[[], None] | None) -> None:
        self._link.after_read = call

    def pause(self) -> None:
        """Stop reading; what was read already is still handed on."""
        self._link.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._link.resume()

    async def quit(self) -> None:
        """Say QUIT and close, at once while a command is not answered yet. Nothing was deleted.

        A server that closes without a word is as good.
        """
        if not self._link.over and not self._link.busy:
            farewell = Deferred.fromCoroutine(self._link.reply(self._link.send(b"QUIT")))
            farewell.addTimeout(FAREWELL_SECONDS, self._reactor)
            try:
                await farewell
            except (Unavailable, TimedOut):
                pass
        self._link.close()

    def close(self) -> None:
        """End the session at once."""
        self._link.close()
