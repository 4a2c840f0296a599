"""Accepting on a socket of our own: a few clients a turn, and a rest when the process has no descriptors left."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.net.carrier import Address
from mailferry.net.net_reactor import NetReactor

_LOG = Logger()

ACCEPTS_A_TURN = 64
NO_DESCRIPTORS_SECONDS = 1.0
"""How long nobody is accepted after the process ran out of descriptors."""


def address_of(name: Any) -> Address:
    """Return a socket's name as an address; of one in the file system its path, with port 0."""
    return Address(name, 0) if isinstance(name, str) else Address(name[0], name[1])


class Watched:
    """A socket that the reactor tells us of."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self._sock.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Name ourselves in a log of the reactor's."""
        return type(self).__name__

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor ends: so do we."""
        self._sock.close()


@implementer(IReadDescriptor)
class Acceptor(Watched):
    """Accepts on `sock`; each client's socket is given to `accepted`, which owns it, with its address."""

    def __init__(
        self, reactor: NetReactor, sock: socket.socket, accepted: Callable[[socket.socket, Address], None]
    ) -> None:
        """Begin to accept; `sock` is duplicated, the caller may close its own."""
        super().__init__(sock.dup())
        self._sock.setblocking(False)
        self._reactor = reactor
        self._accepted = accepted
        self._rest: IDelayedCall | None = None
        # as numbers: accept() asks for both each time, and the socket makes enumerations of them
        self._kind = int(self._sock.family), int(self._sock.type), self._sock.proto
        if self._sock.family != socket.AF_UNIX:  # what is accepted inherits these
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accept who is there."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                number, where = self._sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - half of accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._wait_for_descriptors()
                    return
                if error.errno == errno.EINVAL:
                    self._reactor.removeReader(self)  # the socket listens no more: the service ends
                    return
                continue  # this client is gone already (accept(2))
            client = socket.socket(*self._kind, fileno=number)
            client.setblocking(False)
            try:
                self._accepted(client, address_of(where))
            except Exception:  # loop edge: what one client sets off must not close the door to the others
                client.close()
                _LOG.failure("a client could not be taken")

    def stop(self) -> Deferred[None]:
        """Accept no more; what was accepted lives on."""
        if self._rest is not None and self._rest.active():
            self._rest.cancel()
        self._reactor.removeReader(self)
        self._sock.close()
        return succeed(None)

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        return address_of(self._sock.getsockname())

    def _wait_for_descriptors(self) -> None:
        self._reactor.removeReader(self)
        self._rest = self._reactor.callLater(NO_DESCRIPTORS_SECONDS, self._reactor.addReader, self)
