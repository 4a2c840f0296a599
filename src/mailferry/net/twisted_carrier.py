"""The carrier on Twisted's TCP transports, with its TLS layered in between by `startTLS`.

This file owns the octets between transport and user. What arrived in plaintext before an upgrade
is never handed on after it: Twisted's own line protocols keep such a buffer and believe it.
"""

from __future__ import annotations

import socket
import struct
import typing
from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.net.carrier import Address, ClosedReason, Ending, Ends, Octets
from mailferry.net.tls_client import ClientTls, openssl_reasons
from mailferry.net.tls_server import ServerContexts
from mailferry.net.upgrade import Upgrade
from mailferry.net.user_side import BULK_OCTETS, CLOSED, CLOSING_SECONDS, FINISHED, LOST, UserSide

_DROP_WHAT_WAITS = struct.pack("ii", 1, 0)
_SEND_WHAT_WAITS = struct.pack("ii", 0, 0)


class _Transport(typing.Protocol):
    """What is used of Twisted's TCP transport (twisted.internet.tcp.Connection), with types."""

    disconnecting: bool
    socket: socket.socket
    bufferSize: int  # noqa: N815
    SEND_LIMIT: int

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...  # noqa: N802
    def loseWriteConnection(self) -> None: ...  # noqa: N802
    def abortConnection(self) -> None: ...  # noqa: N802
    def registerProducer(self, producer: object, streaming: bool) -> None: ...  # noqa: N802
    def unregisterProducer(self) -> None: ...  # noqa: N802
    def pauseProducing(self) -> None: ...  # noqa: N802
    def resumeProducing(self) -> None: ...  # noqa: N802
    def startTLS(self, creator: object) -> None: ...  # noqa: N802
    def getHandle(self) -> SSL.Connection: ...  # noqa: N802
    def getPeer(self) -> IPv4Address | IPv6Address | UNIXAddress: ...  # noqa: N802
    def getHost(self) -> IPv4Address | IPv6Address | UNIXAddress: ...  # noqa: N802
    def setTcpNoDelay(self, enabled: bool) -> None: ...  # noqa: N802
    def setTcpKeepAlive(self, enabled: bool) -> None: ...  # noqa: N802


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class TwistedCarrier(UserSide, Protocol):
    """A Carrier that is Twisted's protocol object of one TCP connection."""

    transport: _Transport  # type: ignore[assignment]  # the part of a TCP transport that is used

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        client_tls: ClientTls | None = None,
        server_tls: ServerContexts | None = None,
        on_made: Callable[[TwistedCarrier], None] | None = None,
        ends: Ends | None = None,
    ) -> None:
        """`on_made` is called once, when there is a connection; `ends` are those a trusted balancer names."""
        super().__init__(client_tls, server_tls)
        self._reactor = reactor
        self._on_made = on_made
        self._ends = ends
        self._write_side_shut = False
        self._closing_limit: IDelayedCall | None = None

    # what a user may ask

    def write(self, data: Octets) -> None:
        """Send octets; RuntimeError during a handshake, when it is not known yet to whom."""
        if self._upgrade is not None:
            raise RuntimeError("octets written during a TLS handshake")
        if data and not self._closing and not self._write_side_shut and self._reason is None:
            self.transport.write(bytes(data))

    def expect_bulk(self) -> None:
        """Read and send in larger pieces."""
        self.transport.bufferSize = self.transport.SEND_LIMIT = BULK_OCTETS

    def wait_for(self, octets: int) -> None:
        """Nothing: Twisted reads what there is."""

    def drop_if_killed(self) -> None:
        """Have the kernel reset the connection when it closes the socket in our place."""
        self._linger(_DROP_WHAT_WAITS)

    def _linger(self, way: bytes) -> None:
        if self._reason is None:
            self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)

    def finish(self) -> None:
        """Send FIN behind what waits; on TLS, close."""
        if self._secure is not None or self._upgrade is not None or self._peer_finished:
            self.close()
        elif not self._closing and not self._write_side_shut and self._reason is None:
            self._write_side_shut = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close behind what waits."""
        if self._closing or self._reason is not None:
            return
        self._closing = True
        self._held = b""
        self._linger(_SEND_WHAT_WAITS)
        self._closing_limit = self._reactor.callLater(CLOSING_SECONDS, self._closing_took_too_long)
        self._match_reading()
        self.transport.unregisterProducer()
        if self._secure is not None or self._upgrade is not None or self._peer_finished:
            self.transport.loseConnection()
        elif not self._write_side_shut:
            # Closing a socket with unread octets in it sends a reset, which can destroy what we
            # wrote last (the reason of a refusal, say); so: FIN first, then read on until theirs.
            self._write_side_shut = True
            self.transport.loseWriteConnection()

    def abort(self) -> None:
        """Close now, with a reset."""
        if self._reason is not None:
            return
        self._closing = True
        self._held = b""
        self.transport.abortConnection()

    # TLS

    def _begin_handshake(self, upgrade: Upgrade) -> None:
        self.transport.startTLS(upgrade.creator)

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        """Judge the peer; until this says yes nothing has been sent or handed on inside TLS."""
        self._judge(self.transport.getHandle())

    # what Twisted tells

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take over a new connection."""
        peer, host = self.transport.getPeer(), self.transport.getHost()
        if isinstance(peer, UNIXAddress) or isinstance(host, UNIXAddress):
            self._peer, self._host = Address("", 0), Address("", 0)
        else:
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            ends = Address(peer.host, peer.port), Address(host.host, host.port)
            self._peer, self._host = self._ends or ends
        self.transport.registerProducer(self, True)
        self._match_reading()
        on_made, self._on_made = self._on_made, None
        if on_made is not None:
            on_made(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Hand octets on, or hold them."""
        self._take(data)

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """Note the peer's FIN on a plain stream."""
        self._peer_finished = True
        if self._closing:
            self.transport.loseConnection()
        else:
            self._hand_on()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing to do: our own FIN went out."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Tell the end, behind what is still held."""
        if self._closing_limit is not None and self._closing_limit.active():
            self._closing_limit.cancel()
        self._closing_limit = None
        self._tell_end(self._end_of(reason), reason.value)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Pass on that the buffer towards the peer is full."""
        self._tell_pressure(full=True)

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Pass on that the buffer towards the peer has gone out."""
        if self.transport.disconnecting:
            # The TLS peer said goodbye while this buffer was full: Twisted ends the connection
            # only once there is no producer any more.
            self.transport.unregisterProducer()
        self._tell_pressure(full=False)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing to do: connectionLost follows."""

    # inside

    def _match_reading(self) -> None:
        """Read from the socket exactly when somebody can take it."""
        if self._reason is not None:
            return
        if (self._has_taker or self._upgrade is not None or self._closing) and not self._peer_finished:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _closing_took_too_long(self) -> None:
        self._closing_limit = None
        self.transport.abortConnection()

    def _end_of(self, reason: Failure) -> ClosedReason:
        if self._peer_finished and not isinstance(reason.value, ConnectionAborted):
            return FINISHED
        if self._closing:
            return CLOSED
        if isinstance(reason.value, SSL.Error):
            return ClosedReason(Ending.TLS, f"TLS failed: {openssl_reasons(reason.value)}")
        if isinstance(reason.value, ConnectionDone):
            return FINISHED
        return LOST
