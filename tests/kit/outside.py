# ruff: noqa: N802 - names that Twisted calls
"""The way to a server outside of the test's own time: the clock stands still while that server owes an answer.

    dovecot = await Outside({"imap": peer.ports["imap"], "pop3": peer.ports["pop3"]}).start()
    time.outside.append(dovecot)     # a WorldTime moves on only while nobody waits for it
    ... dovecot.ports["imap"] ...    # where our side dials

A real server lives on the real clock: its silence looks like rest to a clock that leaps from timer to
timer, and every time limit of ours would pass before it could speak. So each connection leads through
here, and whose turn it is to speak is read from the octets that pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet import defer
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory

QUIET_SECONDS = 0.01
"""After a server's last octets, on the real clock: what follows a first part of an answer comes within it."""


class _End(Protocol):
    def __init__(self, talk: _Talk, *, near: bool) -> None:
        self.talk = talk
        self.near = near

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.talk.connected(self)

    def dataReceived(self, data: bytes) -> None:
        self.talk.said(self, data)

    def connectionLost(self, reason: Any = None) -> None:
        self.talk.lost(self)


class _Talk:
    """One connection: our end, the server's, and whose turn it is."""

    def __init__(self, outside: Outside, port: int) -> None:
        self._outside = outside
        self._port = port
        self._ends: list[_End] = []
        self._waiting = b""
        self._greeted = False
        self._connector: Any = None
        self._servers_turn = True
        self._last = outside.now()

    @property
    def rests(self) -> bool:
        return not self._servers_turn and self._outside.now() - self._last > QUIET_SECONDS

    def connected(self, end: _End) -> None:
        self._ends.append(end)
        if end.near:
            factory = ClientFactory()
            factory.noisy = False
            factory.buildProtocol = lambda _address: _End(self, near=False)  # type: ignore[method-assign]
            factory.clientConnectionFailed = lambda *_: self.lost(end)  # type: ignore[method-assign]
            self._connector = self._outside.reactor.connectTCP("127.0.0.1", self._port, factory)
        elif self._waiting:
            end.transport.write(self._waiting)

    def said(self, end: _End, data: bytes) -> None:
        self._last = self._outside.now()
        other = next((one for one in self._ends if one is not end), None)
        if other is None:
            self._waiting += data
        else:
            other.transport.write(data)
        if end.near:
            self._servers_turn = True
        elif data.endswith(b"\r\n"):
            last = data[:-2].rpartition(b"\r\n")[2]
            told_part = last.startswith(b"* ") and not last.startswith(b"* BYE") and self._greeted
            self._servers_turn = self._servers_turn and told_part
            self._greeted = True

    def lost(self, end: _End) -> None:
        if end in self._ends:
            self._ends.remove(end)
        for other in self._ends:
            other.transport.loseConnection()
        if end.near and self._connector.state == "connecting":
            self._connector.disconnect()
        if not self._ends:
            self._outside.over(self)


class Outside:
    """Doors in front of a server's ports; `ports` are ours, by the same names."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.ports: dict[str, int] = {}
        self._servers = servers
        self._listening: list[Any] = []
        self._talks: set[_Talk] = set()
        self._all_over: defer.Deferred[None] | None = None

    async def start(self) -> Outside:
        """Open the doors."""
        for name, port in self._servers.items():
            factory = ServerFactory()
            factory.noisy = False
            factory.buildProtocol = lambda _address, port=port: _End(self._begin(port), near=True)  # type: ignore[method-assign]
            listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
            self._listening.append(listening)
            self.ports[name] = listening.getHost().port
        return self

    async def stop(self) -> None:
        """Close the doors and wait until no connection is left."""
        await defer.DeferredList([defer.maybeDeferred(one.stopListening) for one in self._listening])
        while self._talks:
            self._all_over = defer.Deferred()
            await self._all_over

    @property
    def rests(self) -> bool:
        """Whether the server owes nobody an answer."""
        return all(talk.rests for talk in self._talks)

    def now(self) -> float:
        """Return the real reactor's time."""
        return float(self.reactor.seconds())

    def over(self, talk: _Talk) -> None:
        """Forget a connection that is gone at both ends."""
        self._talks.discard(talk)
        waiting, self._all_over = self._all_over, None
        if waiting is not None:
            waiting.callback(None)

    def _begin(self, port: int) -> _Talk:
        talk = _Talk(self, port)
        self._talks.add(talk)
        return talk
