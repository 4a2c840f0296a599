"""A listener behind a balancer: the PROXY header of trusted networks is read before anybody is greeted.

POP3 and IMAP servers speak first, so the header must be known before there is a carrier. It is looked at
in the socket (MSG_PEEK) and only its own octets are taken out: what follows in the same segment, a TLS
hello for instance, stays where the carrier finds it. Who does not come from a trusted network is a client
like any other, and a header of his is what it is to every listener: not a command.
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.net.carrier import Address, Ends
from mailferry.net.net_reactor import NetReactor
from mailferry.wire.proxy_header import LONGEST_BODY, BadProxyHeader, ProxyHeader, parse_proxy_header

HEADER_SECONDS = 5.0
"""How long a balancer may take to send the whole header."""
ACCEPTS_A_TURN = 64
NO_DESCRIPTORS_SECONDS = 1.0
"""How long nobody is accepted after the process ran out of descriptors."""

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Adopt = Callable[[socket.socket, Ends | None], None]
Report = Callable[[str, str], None]
"""Told the address of a balancer and what was wrong with its header."""


def is_trusted(host: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether `host` (digits) lies in one of the networks; IPv4 inside IPv6 counts as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


class _Watched:
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
class ProxyGate(_Watched):
    """Accepts on `sock`; each client is given to `adopt` with the ends that its balancer names, or None.

    `adopt` gets a socket that it owns. A header that is late, broken or cut off closes the connection.
    """

    def __init__(
        self,
        reactor: NetReactor,
        sock: socket.socket,
        trusted: Sequence[IpNetwork],
        adopt: Adopt,
        report: Report = lambda _balancer, _fault: None,
    ) -> None:
        """Begin to accept; `sock` is duplicated, the caller may close its own."""
        super().__init__(sock.dup())
        self._sock.setblocking(False)
        self._reactor = reactor
        self._trusted = tuple(trusted)
        self._adopt = adopt
        self._report = report
        self._waiting: set[_Header] = set()
        self._pause: IDelayedCall | None = None
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Accept who is there."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                client, where = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._wait_for_descriptors()
                    return
                continue  # this client is gone already (accept(2))
            client.setblocking(False)
            if is_trusted(where[0], self._trusted):
                self._waiting.add(_Header(self._reactor, client, where[0], self._settled, self._report))
            else:
                self._adopt(client, None)

    def stop(self) -> Deferred[None]:
        """Accept no more; who has not told a header yet is dropped."""
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._reactor.removeReader(self)
        self._sock.close()
        for header in list(self._waiting):
            header.drop()
        return succeed(None)

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        host, port = self._sock.getsockname()[:2]
        return Address(host, port)

    def _settled(self, header: _Header, client: socket.socket | None, ends: Ends | None) -> None:
        self._waiting.discard(header)
        if client is not None:
            self._adopt(client, ends)

    def _wait_for_descriptors(self) -> None:
        self._reactor.removeReader(self)
        self._pause = self._reactor.callLater(NO_DESCRIPTORS_SECONDS, self._reactor.addReader, self)


@implementer(IReadDescriptor)
class _Header(_Watched):
    """One balancer's connection until its header is whole."""

    def __init__(
        self,
        reactor: NetReactor,
        client: socket.socket,
        balancer: str,
        settled: Callable[[_Header, socket.socket | None, Ends | None], None],
        report: Report,
    ) -> None:
        super().__init__(client)
        self._reactor = reactor
        self._balancer = balancer
        self._settled = settled
        self._report = report
        self._seen = 0
        self._limit = reactor.callLater(HEADER_SECONDS, self._too_late)
        # only octets that were not looked at yet wake us, or half a header would keep us awake
        reactor.addReader(self)

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Look at what is there; take the header out once it is whole."""
        try:
            data = self._sock.recv(LONGEST_BODY + 64, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        if len(data) == self._seen:
            if not data or self._balancer_is_gone():
                self.drop()
            return
        self._seen = len(data)
        try:
            header = parse_proxy_header(data)
        except BadProxyHeader as fault:
            self._report(self._balancer, str(fault))
            self.drop()
            return
        if header is None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self._seen + 1)
            return
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._sock.recv(header.octets)
        self._leave()
        self._settled(self, self._sock, _ends(header))

    def _balancer_is_gone(self) -> bool:
        """Whether no more will come: a look alone does not show the end behind what was not taken out."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def drop(self) -> None:
        """Close the connection."""
        self._leave()
        self._sock.close()
        self._settled(self, None, None)

    def _too_late(self) -> None:
        self._report(self._balancer, f"no PROXY header within {HEADER_SECONDS:g} s")
        self.drop()

    def _leave(self) -> None:
        if self._limit.active():
            self._limit.cancel()
        self._reactor.removeReader(self)


def _ends(header: ProxyHeader) -> Ends | None:
    if header.client is None or header.door is None:
        return None
    return Address(header.client.host, header.client.port), Address(header.door.host, header.door.port)
