"""Listening: a worker adopts a socket that its parent bound, and hands on a carrier per client."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from mailferry.net.carrier import Carrier, Ends
from mailferry.net.net_reactor import NetReactor
from mailferry.net.proxy_gate import IpNetwork, ProxyGate, Report
from mailferry.net.sockets import Listening, sockets_for
from mailferry.net.tls_server import ServerContexts


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
    sockets = sockets_for(reactor)
    if not proxies:
        return sockets.accept_from(sock, on_accept, contexts)

    def adopt(client: socket.socket, ends: Ends | None) -> None:
        sockets.adopt(client, on_accept, contexts, ends)

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
