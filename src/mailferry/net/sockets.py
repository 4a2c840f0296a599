"""What makes carriers, on the sockets that this process has (see chosen.py)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from mailferry.net.carrier import Address, Carrier, Ends
from mailferry.net.chosen import own_descriptors
from mailferry.net.descriptor_sockets import DescriptorSockets
from mailferry.net.net_reactor import NetReactor
from mailferry.net.tls_client import ClientTls
from mailferry.net.tls_server import ServerContexts
from mailferry.net.twisted_sockets import TwistedSockets


class Listening(Protocol):
    """A socket that accepts clients."""

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        ...

    def stop(self) -> Deferred[None]:
        """Accept no more; carriers that exist live on. The Deferred fires when the socket is closed."""
        ...


class Sockets(Protocol):
    """Makes carriers, of clients that came and of servers that were dialled."""

    def accept_from(
        self, sock: socket.socket, on_accept: Callable[[Carrier], None], contexts: ServerContexts | None
    ) -> Listening:
        """Accept on `sock`, of which a duplicate is kept."""
        ...

    def adopt(
        self,
        client: socket.socket,
        on_accept: Callable[[Carrier], None],
        contexts: ServerContexts | None,
        ends: Ends | None,
    ) -> None:
        """Make a carrier of a socket that somebody accepted; it is owned from now on."""
        ...

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

        Returns what stops it; whoever dials has a time limit of his own.
        """
        ...


def sockets_for(reactor: NetReactor) -> Sockets:
    """Return what makes the carriers of this process."""
    return DescriptorSockets(reactor) if own_descriptors() else TwistedSockets(reactor)
