"""A POP3 session of our own, after login (RFC 1939; CAPA and PIPELINING, RFC 2449).

Every call raises `Refused` when the server heard the command and said `-ERR`, and `Unavailable` when
the session broke, fell silent, or answered what cannot be understood; after Unavailable by a break
the client is `closed` and stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.internet.interfaces import IReactorTime

from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, RemoteFailure, Unavailable
from mailferry.model.profile import Profile
from mailferry.remote.message_sink import FetchOutcome, MessageSink
from mailferry.remote.open import OpenSession
from mailferry.remote.pop3_link import BodyTaker, Pop3Link
from mailferry.wire.pop3_replies import BadReply, parse_list_line, parse_stat, parse_uidl_line

COMMAND_SECONDS = 120.0
MAX_LISTED_LINE = 1024


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
    """Hands one message to a sink; the caller ends it, when the reply is complete."""

    def __init__(self, number: int, sink: MessageSink) -> None:
        self._number = number
        self._sink = sink
        self.chunk = sink.chunk  # type: ignore[method-assign]  # no call in between, for each piece of every body

    def begin(self) -> None:
        self._sink.begin(self._number, None)

    def end(self) -> None:
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
        self._link = Pop3Link(session.carrier, profile, reactor, timeout=timeout, residual=session.residual)
        self._link.pipelining = b"PIPELINING" in self.capabilities

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self._link.over

    async def capa(self) -> frozenset[bytes]:
        """Ask what the server offers; empty when it does not know CAPA. Pipelining follows from it."""
        names: set[bytes] = set()

        def note(line: bytes) -> None:
            names.update(word.upper() for word in line.split()[:1])

        exchange = self._link.send(b"CAPA", taker=_Listing(note))
        if (await self._link.reply(exchange)).ok:
            self.capabilities = frozenset(names)
            self._link.pipelining = b"PIPELINING" in names
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

    async def top(self, number: int, lines: int, sink: MessageSink) -> None:
        """Stream a message's header and its first `lines` lines; on most servers it stays unread."""
        await self._one(b"TOP %d %d" % (number, lines), _Message(number, sink))

    async def retr(self, number: int, sink: MessageSink) -> None:
        """Stream a message; on Dovecot this sets `\\Seen`."""
        await self._one(b"RETR %d" % number, _Message(number, sink))

    async def fetch(
        self, numbers: Collection[int], sink: MessageSink, *, top_lines: int | None = None
    ) -> FetchOutcome:
        """Stream many messages in ascending order, pipelined where offered; `top_lines` uses TOP.

        A message that is refused does not stop the rest.
        """
        refused: dict[int, RemoteFailure] = {}
        asked = []
        for number in sorted(set(numbers)):
            line = b"RETR %d" % number if top_lines is None else b"TOP %d %d" % (number, top_lines)
            asked.append((number, self._link.send(line, taker=_Message(number, sink))))
        for number, exchange in asked:
            reply = await self._link.reply(exchange)
            if not reply.ok:
                refused[number] = self._link.refusal(reply, exchange.name)
        return FetchOutcome(refused=refused)

    async def _one(self, line: bytes, taker: _Message) -> None:
        await self._link.run(line, taker=taker)

    def pause(self) -> None:
        """Stop reading; what was read already is still handed on."""
        self._link.pause()

    def resume(self) -> None:
        """Go on reading."""
        self._link.resume()

    async def quit(self) -> None:
        """Say QUIT and close; a server that closes without a word is as good. Nothing was deleted."""
        if not self._link.over:
            exchange = self._link.send(b"QUIT")
            try:
                await self._link.reply(exchange)
            except Unavailable:
                pass
        self._link.close()

    def close(self) -> None:
        """End the session at once."""
        self._link.close()
