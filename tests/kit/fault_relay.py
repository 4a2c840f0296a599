# ruff: noqa: N802 - names that Twisted calls
"""FR: a TCP relay in front of a real port that breaks what passes through it, at a given octet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from twisted.internet import defer
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class Kind(Enum):
    """What happens at the octet."""

    CUT = "cut"  # both sides get FIN, after the octets before it
    RESET = "reset"  # both sides get RST
    STALL = "stall"  # nothing passes any more in this direction, both stay open
    CORRUPT = "corrupt"  # the octet is changed
    HALVE = "halve"  # from there on each octet string is sent in two segments


@dataclass(frozen=True)
class Fault:
    """`at` counts octets of one direction of one connection, from 0; `talk` is the connection's number."""

    kind: Kind
    direction: Literal["to_server", "to_client"]
    at: int
    talk: int | None = None
    """None: every connection."""


@implementer(IHalfCloseableProtocol)
class _End(Protocol):
    def __init__(self, direction: Literal["to_server", "to_client"], relay: FR, number: int) -> None:
        self.direction = direction
        self.relay = relay
        self.number = number
        self.other: _End | None = None
        self.seen = 0
        self.waiting: list[bytes] = []
        self.stalled = False
        self.lost = False
        self.finished = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        if self.other is not None:
            for data in self.other.waiting:
                self.other.forward(data)
            self.other.waiting.clear()

    def dataReceived(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.waiting.append(data)
        else:
            self.forward(data)

    def forward(self, data: bytes) -> None:
        before, self.seen = self.seen, self.seen + len(data)
        self.relay.passed[self.direction] += len(data)
        for fault in self.relay.faults:
            if fault.direction != self.direction or fault.talk not in {None, self.number}:
                continue
            if fault.kind is Kind.HALVE and self.seen > fault.at:
                middle = (len(data) + 1) // 2
                self._out(data[:middle])
                if data[middle:]:
                    self.relay.later(lambda rest=data[middle:]: self._out(rest))
                return
            if not before <= fault.at < self.seen:
                continue
            offset = fault.at - before
            self.relay.struck += 1
            if fault.kind is Kind.CORRUPT:
                data = data[:offset] + bytes([data[offset] ^ 0x55]) + data[offset + 1 :]
                continue
            self._out(data[:offset])
            self._strike(fault.kind)
            return
        self._out(data)

    def _out(self, data: bytes) -> None:
        if data and not self.stalled and self.other is not None and not self.other.lost:
            self.other.transport.write(data)

    def _strike(self, kind: Kind) -> None:
        self.stalled = True
        if kind is Kind.STALL:
            return
        for end in (self, self.other):
            if end is not None and not end.lost:
                if kind is Kind.RESET:
                    end.transport.abortConnection()
                else:
                    end.transport.unregisterProducer()
                    end.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self.finished = True
        if self.stalled or self.other is None or self.other.transport is None or self.other.lost:
            return
        self.other.transport.unregisterProducer()
        if self.other.finished:
            self.other.transport.loseConnection()
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        else:
            self.other.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        pass

    def pauseProducing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.lost:
            self.other.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.lost:
            self.other.transport.resumeProducing()

    def stopProducing(self) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.lost = True
        if self.other is not None and self.other.transport is not None and not self.other.lost:
            if not self.stalled:
                self.other.transport.unregisterProducer()
                self.other.transport.loseConnection()
            else:
                self.other.transport.abortConnection()
        self.relay.forget(self)


class FR:
    """Listens on a free port and passes everything to `target_port`; `faults` may change at any time."""

    def __init__(self, target_port: int, *faults: Fault) -> None:
        self.target_port = target_port
        self.faults: list[Fault] = list(faults)
        self.struck = 0
        self.passed = {"to_server": 0, "to_client": 0}
        """Octets that came in, by direction."""
        """How often a fault happened."""
        self._count = 0
        self._port: Any = None
        self._ends: list[_End] = []
        self._dialling: list[Any] = []
        self._calls: list[Any] = []
        self._idle: defer.Deferred[None] | None = None

    async def start(self) -> FR:
        """Listen on a free port of 127.0.0.1."""
        from twisted.internet import reactor

        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._accept
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        return self

    @property
    def port(self) -> int:
        """Where to connect instead of `target_port`."""
        return int(self._port.getHost().port)

    def later(self, call: Any) -> None:
        """Send the second half in its own segment, in order."""
        from twisted.internet import reactor

        self._calls = [c for c in self._calls if c.active()]
        self._calls.append(reactor.callLater(0, call))

    def forget(self, end: _End) -> None:
        """Note that one of the sockets is closed."""
        self._ends.remove(end)
        if not self._ends and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)

    async def stop(self) -> None:
        """Close everything and wait for it."""
        await defer.maybeDeferred(self._port.stopListening)
        for connector in self._dialling:
            if connector.state == "connecting":
                connector.stopConnecting()
        for call in self._calls:
            if call.active():
                call.cancel()
        if self._ends:
            self._idle = defer.Deferred()
            for end in list(self._ends):
                end.transport.abortConnection()
            await self._idle

    def _accept(self, address: object) -> _End:
        from twisted.internet import reactor

        client = _End("to_server", self, self._count)
        server = _End("to_client", self, self._count)
        self._count += 1
        self._ends.append(client)
        factory = ClientFactory()
        factory.noisy = False

        def connected(address: object) -> _End:
            self._ends.append(server)
            client.other, server.other = server, client
            return server

        def failed(connector: object, reason: Failure) -> None:
            if client.transport is not None and not client.lost:
                client.transport.abortConnection()

        factory.buildProtocol = connected
        factory.clientConnectionFailed = failed
        self._dialling.append(reactor.connectTCP("127.0.0.1", self.target_port, factory))
        return client
