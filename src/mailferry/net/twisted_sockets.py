"""Accepting and dialling with Twisted's own transports, for platforms without epoll."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IConnector, IListeningPort
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.python.failure import Failure

from mailferry.net.carrier import Address, Carrier, Ends
from mailferry.net.net_reactor import NetReactor
from mailferry.net.tls_client import ClientTls
from mailferry.net.tls_server import ServerContexts
from mailferry.net.twisted_carrier import TwistedCarrier


class TwistedSockets:
    """Sockets (see sockets.py) whose carriers are TwistedCarriers."""

    def __init__(self, reactor: NetReactor) -> None:
        self._reactor = reactor

    def accept_from(
        self, sock: socket.socket, on_accept: Callable[[Carrier], None], contexts: ServerContexts | None
    ) -> _Port:
        """Accept on `sock`, of which a duplicate is kept."""
        door = _Door(self._reactor, on_accept, contexts)
        return _Port(self._reactor.adoptStreamPort(sock.fileno(), sock.family, door))

    def adopt(
        self,
        client: socket.socket,
        on_accept: Callable[[Carrier], None],
        contexts: ServerContexts | None,
        ends: Ends | None,
    ) -> None:
        """Make a carrier of a socket that somebody accepted; it is owned from now on."""
        with client:  # the reactor has its own copy of the descriptor
            door = _Door(self._reactor, on_accept, contexts, ends)
            self._reactor.adoptStreamConnection(client.fileno(), client.family, door)

    def dial(
        self,
        host: str,
        port: int,
        *,
        source: str | None,
        tls: ClientTls,
        made: Callable[[Carrier], None],
        failed: Callable[[BaseException | None], None],
    ) -> Callable[[], None]:
        """Dial an address in digits; `made` or `failed` is called once, never before this returns.

        Returns what stops it.
        """
        attempt = _Attempt(self._reactor, tls, made, failed)
        local = None if source is None else (source, 0)
        unlimited: Any = None  # whoever dials has a time limit of his own
        connector: IConnector = self._reactor.connectTCP(host, port, attempt, unlimited, local)

        def stop() -> None:
            attempt.stopped = True
            connector.stopConnecting()

        return stop


class _Door(ServerFactory):
    noisy = False

    def __init__(
        self,
        reactor: NetReactor,
        on_accept: Callable[[Carrier], None],
        contexts: ServerContexts | None,
        ends: Ends | None = None,
    ) -> None:
        self._reactor = reactor
        self._on_accept = on_accept
        self._contexts = contexts
        self._ends = ends

    def buildProtocol(self, addr: IAddress | None) -> TwistedCarrier:  # noqa: ARG002, N802 - Twisted's name
        return TwistedCarrier(
            self._reactor, server_tls=self._contexts, on_made=self._on_accept, ends=self._ends
        )


class _Port:
    """Twisted's own listening port."""

    def __init__(self, port: IListeningPort) -> None:
        self._port = port

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        here = self._port.getHost()
        return Address(getattr(here, "host", ""), getattr(here, "port", 0))

    def stop(self) -> Deferred[None]:
        """Accept no more; carriers that exist live on. The Deferred fires when the socket is closed."""
        return self._port.stopListening() or succeed(None)


class _Attempt(ClientFactory):
    """One try at one address."""

    noisy = False

    def __init__(
        self,
        reactor: NetReactor,
        tls: ClientTls,
        made: Callable[[Carrier], None],
        failed: Callable[[BaseException | None], None],
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._made = made
        self._failed = failed
        self.stopped = False

    def buildProtocol(self, addr: IAddress | None) -> TwistedCarrier:  # noqa: ARG002, N802
        """Return the carrier for the connection that now exists."""
        return TwistedCarrier(self._reactor, client_tls=self._tls, on_made=self._made)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:  # noqa: ARG002, N802
        """Tell why."""
        if not self.stopped:
            self._failed(reason.value)
