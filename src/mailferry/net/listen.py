"""Listening: a worker adopts a socket that its parent bound, and hands on a carrier per client."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import ServerFactory

from mailferry.net.carrier import Address, Carrier, Ends
from mailferry.net.net_reactor import NetReactor
from mailferry.net.proxy_gate import IpNetwork, ProxyGate, Report
from mailferry.net.tls_server import ServerContexts
from mailferry.net.twisted_carrier import TwistedCarrier


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


class Listening(Protocol):
    """A socket that accepts clients."""

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        ...

    def stop(self) -> Deferred[None]:
        """Accept no more; carriers that exist live on. The Deferred fires when the socket is closed."""
        ...


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


def listen(
    reactor: NetReactor,
    sock: socket.socket,
    on_accept: Callable[[Carrier], None],
    *,
    contexts: ServerContexts | None = None,
    proxies: Sequence[IpNetwork] = (),
    report: Report = lambda _balancer, _fault: None,
) -> Listening:
    """Accept clients on `sock`, which is bound and listening already, and call `on_accept` for each.

    The carrier comes plain, before any octet was read: on a listener with implicit TLS the first
    act of its user is `start_tls_server()`, so that the handshake falls under the user's time limit.
    `sock` is duplicated; the caller may close its own. `proxies` are the networks of balancers that
    send a PROXY header; their carriers' peer and host are those that the header names, and `report` is
    told of headers that are none.
    """
    sock.setblocking(False)
    if not proxies:
        return _Port(reactor.adoptStreamPort(sock.fileno(), sock.family, _Door(reactor, on_accept, contexts)))

    def adopt(client: socket.socket, ends: Ends | None) -> None:
        with client:  # the reactor has its own copy of the descriptor
            door = _Door(reactor, on_accept, contexts, ends)
            reactor.adoptStreamConnection(client.fileno(), client.family, door)

    return ProxyGate(reactor, sock, proxies, adopt, report)


def bind(host: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """Return a listening TCP socket; `port` 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock
