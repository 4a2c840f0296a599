"""Accepting and dialling with descriptors of our own, where the reactor stands on epoll."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from twisted.internet import error as tcp_error
from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.net.acceptor import Acceptor, Watched, address_of
from mailferry.net.carrier import Address, Carrier, Ends
from mailferry.net.descriptor import DescriptorCarrier
from mailferry.net.net_reactor import NetReactor
from mailferry.net.tls_client import ClientTls
from mailferry.net.tls_server import ServerContexts


class DescriptorSockets:
    """Sockets (see sockets.py) whose carriers are DescriptorCarriers."""

    def __init__(self, reactor: NetReactor) -> None:
        self._reactor = reactor

    def accept_from(
        self, sock: socket.socket, on_accept: Callable[[Carrier], None], contexts: ServerContexts | None
    ) -> Acceptor:
        """Accept on `sock`, of which a duplicate is kept."""

        def accepted(client: socket.socket, peer: Address) -> None:
            self._made(client, peer, on_accept, contexts)

        return Acceptor(self._reactor, sock, accepted)

    def adopt(
        self,
        client: socket.socket,
        on_accept: Callable[[Carrier], None],
        contexts: ServerContexts | None,
        ends: Ends | None,
    ) -> None:
        """Make a carrier of a socket that somebody accepted; it is owned from now on."""
        if ends is None:
            self._made(client, _peer(client), on_accept, contexts)
        else:
            on_accept(DescriptorCarrier(self._reactor, client, ends, server_tls=contexts))

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
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:  # no descriptor is left, say
            self._reactor.callFromThread(failed, _fault(error.errno or errno.EMFILE))
            return _nothing
        return _Dialling(self._reactor, sock, (host, port), source, tls, made, failed).stop

    def _made(
        self,
        client: socket.socket,
        peer: Address,
        on_accept: Callable[[Carrier], None],
        contexts: ServerContexts | None,
    ) -> None:
        ends = (peer, address_of(client.getsockname()))
        on_accept(DescriptorCarrier(self._reactor, client, ends, server_tls=contexts))


def _nothing() -> None:
    """Stop what never began."""


def _peer(sock: socket.socket) -> Address:
    try:
        return address_of(sock.getpeername())
    except OSError:  # gone already; its carrier will say so
        return Address("", 0)


@implementer(IWriteDescriptor)
class _Dialling(Watched):
    """One connect(2) under way."""

    def __init__(
        self,
        reactor: NetReactor,
        sock: socket.socket,
        to: tuple[str, int],
        source: str | None,
        tls: ClientTls,
        made: Callable[[Carrier], None],
        failed: Callable[[BaseException | None], None],
    ) -> None:
        super().__init__(sock)
        self._reactor = reactor
        self._tls = tls
        self._made = made
        self._failed = failed
        self._stopped = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            if source is not None:
                sock.bind((source, 0))
        except OSError as error:
            reactor.callFromThread(self._fail, tcp_error.ConnectBindError(error.errno, error.strerror))
            return
        number = sock.connect_ex(to)
        if number in {0, errno.EINPROGRESS}:
            reactor.addWriter(self)
        else:
            reactor.callFromThread(self._fail, _fault(number))

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """See what became of it."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail(_fault(number))
            return
        try:
            peer = Address(*self._sock.getpeername()[:2])
        except OSError:
            return  # told too early: of a socket that had this descriptor before us
        self._stopped = True
        self._reactor.removeWriter(self)
        ends = (peer, Address(*self._sock.getsockname()[:2]))
        self._made(DescriptorCarrier(self._reactor, self._sock, ends, client_tls=self._tls))

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002, N802 - Twisted's name
        """Epoll found that it failed, or the reactor ends."""
        if not self._stopped:
            number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._fail(_fault(number or errno.ECONNABORTED))

    def stop(self) -> None:
        """Give up; nobody is told."""
        if not self._stopped:
            self._stopped = True
            self._reactor.removeWriter(self)
            self._sock.close()

    def _fail(self, error: BaseException) -> None:
        if not self._stopped:
            self.stop()
            self._failed(error)


def _fault(number: int) -> BaseException:
    found = tcp_error.getConnectError((number, os.strerror(number)))
    return found if isinstance(found, BaseException) else tcp_error.ConnectError(number)
