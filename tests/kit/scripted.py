# ruff: noqa: N802 - names that Twisted calls
"""Scripted TCP peers on free loopback ports: REC records, EVIL lies, FR breaks what passes through it.

A script is a coroutine function that gets the `Talk` with whoever connected:

    async def greet(talk: Talk) -> None:
        talk.send(b"* OK ready\r\n")
        await talk.expect(b"LOGIN")

    rec = await REC(greet).start()
    ...                       # rec.port, rec.talks[0].received
    await rec.stop()

or a list of steps: octets are sent, `Expect(...)` waits for octets, `Upgrade(...)` starts TLS, `Hangup()`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL
from twisted.internet import defer
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.kit.tls_files import TlsClient, TlsPeer


class Gone(Exception):
    """The other end closed before what a script expected."""


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class Talk(Protocol):
    """One connection, from the test's side: all octets received, and what a script does next."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.plain = b""
        """What came before TLS."""
        self.secured = False
        self.closes_too = True
        """False: goes on sending after the other end has finished its side."""
        self.peer_finished = False
        self.lost: Failure | None = None
        self.failed: BaseException | None = None
        """What the script raised, when it did."""
        self.connected_now: defer.Deferred[Talk] = defer.Deferred()
        self._taken = 0
        self._we_finished = False
        self._waiters: list[tuple[Callable[[], bool], defer.Deferred[None]]] = []

    # for scripts

    def send(self, data: bytes) -> None:
        """Send octets."""
        self.transport.write(data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something received, or the end, makes `condition` true; raises Gone."""
        while not condition():
            if self.lost is not None or self.peer_finished:
                raise Gone(f"closed after {bytes(self.received[-200:])!r}")
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append((condition, waiter))
            await waiter

    async def expect(self, octets: bytes) -> bytes:
        """Wait for `octets` behind what was taken before; return everything up to their end."""
        await self.until(lambda: self.received.find(octets, self._taken) >= 0)
        end = self.received.index(octets, self._taken) + len(octets)
        taken, self._taken = self.received[self._taken : end], end
        return bytes(taken)

    async def line(self) -> bytes:
        """Take one line, without its end."""
        return (await self.expect(b"\r\n"))[:-2]

    async def count(self, octets: int) -> bytearray:
        """Wait until so many octets came in all; return all of them."""
        await self.until(lambda: len(self.received) >= octets)
        return self.received

    async def gone(self) -> Failure:
        """Wait for the end of the connection; our side is closed once the other end sends no more."""
        while self.lost is None:
            if self.peer_finished:
                self.close()
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append((lambda: self.lost is not None or self.peer_finished, waiter))
            await waiter
        return self.lost

    async def finished(self) -> None:
        """Wait until the other end sends no more."""
        while self.lost is None and not self.peer_finished:
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append((lambda: self.lost is not None or self.peer_finished, waiter))
            await waiter

    async def upgrade(self, tls: TlsPeer | TlsClient) -> None:
        """Start TLS and wait for the handshake."""
        self.plain, self.received, self._taken = self.plain + self.received, bytearray(), 0
        self.transport.startTLS(tls)
        await self.until(lambda: self.secured)

    def close(self) -> None:
        """Close in order."""
        self.transport.loseConnection()

    def finish(self) -> None:
        """Send FIN, read on until theirs."""
        self._we_finished = True
        self.transport.loseWriteConnection()

    def abort(self) -> None:
        """Reset."""
        self.transport.abortConnection()

    def stop_reading(self) -> None:
        """Take nothing more from the socket; the kernel may keep a megabyte for us (33 MB on some machines)."""
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 512 * 1024)
        self.transport.pauseProducing()

    def read_on(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    # for Twisted

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.connected_now.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._wake()

    def handshakeCompleted(self) -> None:
        self.secured = True
        self._wake()

    def readConnectionLost(self) -> None:
        self.peer_finished = True
        if self._we_finished or self.closes_too:
            self.transport.loseConnection()
        self._wake()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiters = self._waiters, []
        for condition, waiter in waiting:
            if condition() or self.lost is not None or self.peer_finished:
                waiter.callback(None)
            else:
                self._waiters.append((condition, waiter))


Script = Callable[[Talk], Awaitable[None]]


@dataclass(frozen=True)
class Expect:
    """A step: wait for octets."""

    octets: bytes


@dataclass(frozen=True)
class Upgrade:
    """A step: become the server side of TLS; octets that came before it are kept apart in `plain`."""

    tls: TlsPeer


@dataclass(frozen=True)
class Hangup:
    """A step: close, or reset."""

    reset: bool = False


Step = bytes | Expect | Upgrade | Hangup


def script_of(steps: Sequence[Step]) -> Script:
    """Turn steps into a script; after the last one the peer stays open and silent."""

    async def run(talk: Talk) -> None:
        for step in steps:
            match step:
                case bytes():
                    talk.send(step)
                case Expect(octets):
                    await talk.expect(octets)
                case Upgrade(tls):
                    await talk.upgrade(tls)
                case Hangup(reset):
                    (talk.abort if reset else talk.close)()

    return run


async def silent(talk: Talk) -> None:
    """Say nothing, read everything."""


class REC:
    """A server that records every octet of every connection and answers by its script.

    `tls` makes it speak TLS from the first octet. A script may raise Gone; other exceptions come
    out of `stop()`.
    """

    def __init__(self, script: Script | Sequence[Step] = silent, *, tls: TlsPeer | None = None) -> None:
        self._script = script if callable(script) else script_of(script)
        self._tls = tls
        self._port: Any = None
        self.talks: list[Talk] = []
        self._running: list[defer.Deferred[None]] = []
        self._waiters: list[defer.Deferred[None]] = []

    async def start(self) -> REC:
        """Listen on a free port of 127.0.0.1."""
        from twisted.internet import reactor

        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._accept
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        return self

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._port.getHost().port)

    @property
    def received(self) -> bytes:
        """All octets of the first connection, those before TLS first."""
        return self.talks[0].plain + self.talks[0].received if self.talks else b""

    async def talk(self, number: int = 0) -> Talk:
        """Wait for connection `number`, counted from 0."""
        while len(self.talks) <= number:
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append(waiter)
            await waiter
        return self.talks[number]

    async def stop(self) -> None:
        """Close the port and every connection, wait for their ends, and raise what a script raised."""
        await defer.maybeDeferred(self._port.stopListening)
        for talk in self.talks:
            if talk.lost is None:
                talk.abort()
            await talk.gone()
        for running in self._running:
            await running
        failed = [t.failed for t in self.talks if t.failed and not isinstance(t.failed, Gone | SSL.Error)]
        if failed:
            raise failed[0]

    def _accept(self, address: object) -> Talk:
        talk = Talk()
        self.talks.append(talk)
        talk.connected_now.addCallback(self._begin)
        return talk

    def _begin(self, talk: Talk) -> Talk:
        self._running.append(defer.ensureDeferred(self._play(talk)))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        return talk

    async def _play(self, talk: Talk) -> None:
        try:
            if self._tls is not None:
                await talk.upgrade(self._tls)
            await self._script(talk)
        except Exception as error:  # kept for stop(), which raises it
            talk.failed = error


async def dial(port: int, *, tls: TlsClient | None = None, host: str = "127.0.0.1") -> Talk:
    """Connect as a client; with `tls` from the first octet. The caller ends it with `hang_up`."""
    from twisted.internet import reactor

    talk = Talk()
    factory = ClientFactory()
    factory.noisy = False
    factory.buildProtocol = lambda address: talk
    failed: defer.Deferred[Talk] = defer.Deferred()
    factory.clientConnectionFailed = lambda connector, reason: failed.errback(reason)
    reactor.connectTCP(host, port, factory)
    either = defer.DeferredList(
        [talk.connected_now, failed], fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True
    )
    try:
        await either
    except defer.FirstError as error:
        raise error.subFailure.value from None
    if tls is not None:
        await talk.upgrade(tls)
    return talk


async def hang_up(*talks: Talk) -> None:
    """Reset connections and wait until they are gone."""
    for talk in talks:
        if talk.lost is None:
            talk.abort()
        await talk.gone()


def orderly(reason: Failure) -> bool:
    """Whether a connection ended with FIN rather than with a reset."""
    return isinstance(reason.value, ConnectionDone)
