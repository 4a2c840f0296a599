"""A listener behind a balancer: the PROXY header of trusted networks is read before anybody is greeted.

POP3 and IMAP servers speak first, so the header must be known before there is a carrier. It is looked at
in the socket (MSG_PEEK) and only its own octets are taken out: what follows in the same segment, a TLS
hello for instance, stays where the carrier finds it. Who does not come from a trusted network is a client
like any other, and a header of his is what it is to every listener: not a command.
"""

from __future__ import annotations

import ipaddress
import select
import socket
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from mailferry.net.acceptor import Acceptor, Watched
from mailferry.net.carrier import Address, Ends
from mailferry.net.net_reactor import NetReactor
from mailferry.wire.proxy_header import LONGEST_BODY, BadProxyHeader, ProxyHeader, parse_proxy_header

HEADER_SECONDS = 5.0
"""How long a balancer may take to send the whole header."""

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Adopt = Callable[[socket.socket, Ends | None], None]
Report = Callable[[str, str], None]
"""Told the address of a balancer and what was wrong with its header."""


def is_trusted(host: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether `host` (digits) lies in one of the networks; IPv4 inside IPv6 counts as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


class ProxyGate:
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
        self._reactor = reactor
        self._trusted = tuple(trusted)
        self._adopt = adopt
        self._report = report
        self._waiting: set[_Header] = set()
        self._acceptor = Acceptor(reactor, sock, self._accepted)

    def stop(self) -> Deferred[None]:
        """Accept no more; who has not told a header yet is dropped."""
        stopped = self._acceptor.stop()
        for header in list(self._waiting):
            header.drop()
        return stopped

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        return self._acceptor.address

    def _accepted(self, client: socket.socket, peer: Address) -> None:
        if is_trusted(peer.host, self._trusted):
            self._waiting.add(_Header(self._reactor, client, peer.host, self._settled, self._report))
        else:
            self._adopt(client, None)

    def _settled(self, header: _Header, client: socket.socket | None, ends: Ends | None) -> None:
        self._waiting.discard(header)
        if client is not None:
            self._adopt(client, ends)


@implementer(IReadDescriptor)
class _Header(Watched):
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
