"""One client's connection to a lab host: octets in order, one command at a time, TLS upgrade, back-pressure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.lab.line_quirks import GREETING_SECONDS, Drips, IdleWatch, RestartPoint
from mailferry.lab.premises import Premises, SessionRecord
from mailferry.lab.server_tls import ServerTls

MAX_LINE = 64 * 1024


class HungUp(Exception):
    """The client is gone; what was being done for it ends."""


@implementer(IPushProducer)
class LabConnection(Protocol, ABC):
    """What the IMAP and the POP3 face of a host have in common; each reads its own commands."""

    protocol_name: str
    transport: Any  # a TCP connection or TLS on one; Twisted's interfaces split what both can do

    def __init__(
        self, premises: Premises, reactor: Any, tls_options: ServerTls | None, *, secure: bool
    ) -> None:
        self.premises = premises
        self.reactor = reactor
        self.tls_options = tls_options
        self.secure = secure
        self.record: SessionRecord = premises.open_record(self.protocol_name)
        self.record.secure = secure
        self.buffer = bytearray()
        self.on_lost: Callable[[], None] | None = None
        self._busy = False
        self._looping = False
        self._gone = False
        self._full = False
        self._room: Deferred[None] | None = None
        self._line: Deferred[bytes] | None = None
        self._pause: Deferred[None] | None = None
        self._alarm: Any = None
        self._idle: IdleWatch | None = None
        self._drips = Drips(reactor, self._write)
        self._restart = RestartPoint(premises)
        self._ended: Deferred[None] = Deferred()

    # what a face adds

    @abstractmethod
    def greet(self) -> None:
        """Send the greeting."""

    @abstractmethod
    def next_command(self) -> Any | None:
        """Take the next whole command from the buffer, None when there is none yet."""

    @abstractmethod
    def perform(self, command: Any) -> Coroutine[Any, Any, None]:
        """Carry out one command and answer it."""

    def left(self) -> None:
        """Let go of what the session holds, once, when the connection is gone."""

    # what a face uses

    @property
    def peer(self) -> str:
        """The client's address."""
        return str(self.transport.getPeer().host) if self.transport is not None else ""

    def send(self, octets: bytes) -> None:
        """Send octets; nothing happens when the client is gone."""
        if self._gone or self.transport is None:
            return
        if self._drips or self.premises.has("split_answers"):
            self._drips.send(octets)
        else:
            self.transport.write(octets)

    async def room(self) -> None:
        """Wait until the client has read enough of what was sent."""
        if self._gone:
            raise HungUp
        if self._full:
            self._room = Deferred()
            await self._room

    async def line(self) -> bytes:
        """Wait for one more line of the client, as AUTHENTICATE and IDLE need it."""
        if self._gone:
            raise HungUp
        found = self.take_line()
        if found is not None:
            return found
        self._line = Deferred()
        return await self._line

    async def pause(self, seconds: float) -> None:
        """Let the client wait."""
        self._pause = Deferred()
        self._alarm = self.reactor.callLater(seconds, self._go_on)
        await self._pause

    def heard(self, verb: str) -> None:
        """Note that a command came; not all of them count as a sign of life."""
        if self._idle is not None:
            self._idle.heard(verb)

    async def in_thread(self, work: Callable[..., Any], *arguments: object) -> Any:
        """Run blocking work (slow hashes) in the reactor's thread pool."""
        return await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), work, *arguments)

    def take_line(self) -> bytes | None:
        """Take one line without its end from the buffer; an endless one ends the connection."""
        end = self.buffer.find(b"\n")
        if end < 0:
            if len(self.buffer) > MAX_LINE:
                self.hang_up()
            return None
        line = bytes(self.buffer[:end]).removesuffix(b"\r")
        del self.buffer[: end + 1]
        return line

    def upgrade(self) -> None:
        """Become TLS; octets that came in clear behind the command are dropped (RFC 3501, 6.2.1)."""
        assert self.tls_options is not None
        self.buffer.clear()
        if self._drips:
            self._drips.flush()
        self.transport.startTLS(self.tls_options)
        self.secure = self.record.secure = True

    def hang_up(self) -> None:
        """Close once all that was sent is out."""
        if self._drips:
            self._drips.when_dry(self.hang_up)
        elif self.transport is not None and not self._gone:
            self.transport.unregisterProducer()  # TLS does not close while a producer is registered
            self.transport.loseConnection()

    def abort(self) -> Deferred[None]:
        """Cut the connection; fires when it is gone."""
        if self.transport is not None and not self._gone:
            self.transport.abortConnection()
        return self._ended

    # Twisted's side

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Greet."""
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._idle = IdleWatch(self.premises, self.protocol_name, self.reactor, self.hang_up)
        self._busy = True
        ensureDeferred(self._begin()).addErrback(self._broke).addCallback(self._done)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take octets; hand a waited-for line on, else look for commands."""
        self.buffer.extend(data)
        if self._line is not None:
            found = self.take_line()
            if found is not None:
                waiting, self._line = self._line, None
                waiting.callback(found)
        self._consume()

    def connectionLost(self, _: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """End whatever waits for this client."""
        self._gone = True
        self.record.open = False
        self.left()
        if self._idle is not None:
            self._idle.end()
        self._drips.end()
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        waiting = [d for d in (self._line, self._room, self._pause) if d is not None]
        self._line = self._room = self._pause = None
        for deferred in waiting:
            deferred.errback(HungUp())
        if self.on_lost is not None:
            self.on_lost()
        self._ended.callback(None)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The client reads slower than we send."""
        self._full = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """There is room again."""
        self._full = False
        if self._room is not None:
            waiting, self._room = self._room, None
            waiting.callback(None)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone; connectionLost says so as well."""

    def _write(self, octets: bytes) -> None:
        self.transport.write(octets)

    async def _begin(self) -> None:
        if self.premises.has("greeting_slow"):
            await self.pause(GREETING_SECONDS)
        self.greet()

    def _go_on(self) -> None:
        waiting, self._pause = self._pause, None
        if waiting is not None:
            waiting.callback(None)

    def _consume(self) -> None:
        if self._looping:
            return
        self._looping = True
        while not self._busy and not self._gone and (command := self.next_command()) is not None:
            if self._restart.reached():
                self.abort()
                break
            self._busy = True
            ensureDeferred(self.perform(command)).addErrback(self._broke).addCallback(self._done)
        self._looping = False

    def _done(self, _: object) -> None:
        self._busy = False
        self._consume()

    def _broke(self, failure: Failure) -> None:
        self.hang_up()
        failure.trap(HungUp)
