"""A carrier user that writes down what it is told, and a door that gives one to each client."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import defer
from twisted.internet.task import Clock

from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.net.descriptor import DescriptorCarrier
from mailferry.net.listen import bind, listen
from mailferry.net.proxy_gate import IpNetwork
from mailferry.net.sockets import Listening
from mailferry.net.tls_server import ServerContexts
from tests.kit.clocked import ClockedReactor


class Ear:
    """Records octets, pressure and the end; `until` waits for a condition on itself."""

    def __init__(self, *, half: bool = False) -> None:
        self.octets = bytearray()
        self.pieces: list[bytes] = []
        self.pressures: list[bool] = []
        self.ends: list[ClosedReason] = []
        self.on_octets: Callable[[bytes], None] | None = None
        self.finishes = 0
        self._waiters: list[tuple[Callable[[], bool], defer.Deferred[None]]] = []
        if half:
            self.finished = self._finished

    def received(self, data: bytes) -> None:
        assert not self.ends, "octets after the end"
        self.octets += data
        self.pieces.append(data)
        if self.on_octets is not None:
            self.on_octets(data)
        self._look()

    def pressure(self, full: bool) -> None:
        self.pressures.append(full)
        self._look()

    def closed(self, reason: ClosedReason) -> None:
        self.ends.append(reason)
        self._look()

    def _finished(self) -> None:
        self.finishes += 1
        self._look()

    async def until(self, condition: Callable[[], bool]) -> None:
        if not condition():
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append((condition, waiter))
            await waiter

    async def end(self) -> ClosedReason:
        await self.until(lambda: bool(self.ends))
        assert len(self.ends) == 1
        return self.ends[0]

    def _look(self) -> None:
        waiting, self._waiters = self._waiters, []
        for condition, waiter in waiting:
            if condition():
                waiter.callback(None)
            else:
                self._waiters.append((condition, waiter))


def kernel_socket(carrier: Any) -> socket.socket:
    """Return the socket below a carrier of either kind."""
    return carrier._sock if isinstance(carrier, DescriptorCarrier) else carrier.transport.getHandle()


def read_just_now(carrier: Any, octets: bytes) -> None:
    """Make the carrier believe that it read this from its socket, while its user does not take anything."""
    carrier._take(octets)


class Door:
    """A listening socket of ours; `carrier(n)` waits for the n-th client."""

    def __init__(
        self,
        contexts: ServerContexts | None = None,
        *,
        proxies: Sequence[IpNetwork] = (),
        clock: Clock | None = None,
    ) -> None:
        """`proxies` as `listen` takes them; `clock` keeps the door's time in place of the reactor."""
        from twisted.internet import reactor

        sock = bind("127.0.0.1", 0)
        self.faults: list[tuple[str, str]] = []
        self.listening: Listening = listen(
            reactor if clock is None else ClockedReactor(reactor, clock),
            sock,
            self._accept,
            contexts=contexts,
            proxies=proxies,
            report=lambda balancer, fault: self.faults.append((balancer, fault)),
        )
        sock.close()
        self.port = self.listening.address.port
        self.carriers: list[Carrier] = []
        self._waiters: list[defer.Deferred[None]] = []

    def _accept(self, carrier: Carrier) -> None:
        self.carriers.append(carrier)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def carrier(self, number: int = 0) -> Carrier:
        while len(self.carriers) <= number:
            waiter: defer.Deferred[None] = defer.Deferred()
            self._waiters.append(waiter)
            await waiter
        return self.carriers[number]

    async def stop(self) -> None:
        await self.listening.stop()
        for carrier in self.carriers:
            ear = Ear()
            carrier.abort()
            carrier.attach(ear)
            await ear.end()
