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
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
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

from mailferry.model.access import Server
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.carrier import (
    Address,
    CarrierUser,
    ClosedReason,
    Ending,
    Ends,
    HalfCloseUser,
    HandshakeFailed,
    TlsFacts,
)
from mailferry.net.tls_client import ClientTls, ServerCheck, openssl_reasons
from mailferry.net.tls_server import ServerContexts, accepted_facts

BULK_OCTETS = 256 * 1024
"""What a copy reads at a time, sends at a time, and lets wait to be sent; Twisted's own 64 KiB serve the rest."""
CLOSING_SECONDS = 30.0
"""How long a peer may take to read what waits for it after `close()`, and to close its side."""

_DROP_WHAT_WAITS = struct.pack("ii", 1, 0)
_SEND_WHAT_WAITS = struct.pack("ii", 0, 0)

_FINISHED = ClosedReason(Ending.FINISHED, "the peer closed the connection")
_CLOSED = ClosedReason(Ending.CLOSED, "closed by us")


class _Transport(typing.Protocol):
    """What is used of Twisted's TCP transport (twisted.internet.tcp.Connection), with types."""

    disconnecting: bool
    socket: socket.socket
    dataBuffer: bytes  # noqa: N815
    _tempDataLen: int  # noqa: N815
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
    def getPeer(self) -> IPv4Address | IPv6Address: ...  # noqa: N802
    def getHost(self) -> IPv4Address | IPv6Address: ...  # noqa: N802
    def setTcpNoDelay(self, enabled: bool) -> None: ...  # noqa: N802
    def setTcpKeepAlive(self, enabled: bool) -> None: ...  # noqa: N802


class _Upgrade:
    """A TLS handshake in progress, and how it is judged."""

    __slots__ = ("check", "done")

    def __init__(self, done: Deferred[None], check: ServerCheck | None) -> None:
        self.done = done
        self.check = check

    def facts(self, connection: SSL.Connection) -> TlsFacts:
        return accepted_facts(connection) if self.check is None else self.check.facts(connection)

    def failure(self, error: BaseException | None) -> Exception:
        if isinstance(error, Unavailable):
            return error
        if self.check is not None:
            return self.check.handshake_failure(error)
        if isinstance(error, SSL.Error):
            return HandshakeFailed(f"TLS failed: {openssl_reasons(error)}")
        return HandshakeFailed("the client closed the connection during the TLS handshake")


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class TwistedCarrier(Protocol):
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
        self._reactor = reactor
        self._client_tls = client_tls
        self._server_tls = server_tls
        self._on_made = on_made
        self._user: CarrierUser | None = None
        self._held = b""
        self._paused = False
        self._full = False
        self._bulk = False
        self._handing_on = False
        self._peer_finished = False
        self._finish_told = False
        self._write_side_shut = False
        self._closing = False
        self._reason: ClosedReason | None = None
        self._fault: Exception | None = None
        self._upgrade: _Upgrade | None = None
        self._secure: TlsFacts | None = None
        self._closing_limit: IDelayedCall | None = None
        self._ends = ends
        self._peer = self._host = Address("", 0)

    # what a user may ask

    @property
    def peer(self) -> Address:
        """Where the other end is, as the socket says or a trusted balancer."""
        return self._peer

    @property
    def host(self) -> Address:
        """Where our end is, as the socket says or a trusted balancer."""
        return self._host

    @property
    def secure(self) -> TlsFacts | None:
        """What TLS agreed on, None before it."""
        return self._secure

    @property
    def loopback(self) -> bool:
        """Whether the peer is this machine."""
        return self._peer.loopback

    @property
    def confidential(self) -> bool:
        """Whether the peer was verified inside TLS, or is this machine."""
        return self.loopback or (self._secure is not None and self._secure.verified)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closing or self._reason is not None

    def attach(self, user: CarrierUser) -> None:
        """Make `user` the one who is told, and tell it what waits."""
        self._user = user
        self._finish_told = False
        if self._full:
            user.pressure(full=True)
        self._hand_on()

    def detach(self) -> None:
        """Hold what arrives from now on."""
        self._user = None
        self._match_reading()

    def write(self, data: bytes) -> None:
        """Send octets; RuntimeError during a handshake, when it is not known yet to whom."""
        if self._upgrade is not None:
            raise RuntimeError("octets written during a TLS handshake")
        if data and not self._closing and not self._write_side_shut and self._reason is None:
            sent = self._sent_at_once(data) if self._bulk else 0
            if sent < len(data):
                self.transport.write(data[sent:] if sent else data)

    def _sent_at_once(self, data: bytes) -> int:
        """Give the kernel what it takes of `data` right now; return how much that was.

        Twisted's own way is a turn of the reactor with two changes of what epoll watches, and it joins what
        is left over: more work than the sending itself. What fails here fails there again, and is told there.
        """
        transport = self.transport
        if self._secure is not None or transport.dataBuffer or transport._tempDataLen:  # noqa: SLF001
            return 0
        try:
            return transport.socket.send(data)
        except OSError:
            return 0

    def expect_bulk(self) -> None:
        """Read and send in larger pieces, and send at once what the kernel takes."""
        self._bulk = True
        self.transport.bufferSize = self.transport.SEND_LIMIT = BULK_OCTETS

    def drop_if_killed(self) -> None:
        """Have the kernel reset the connection when it closes the socket in our place."""
        self._linger(_DROP_WHAT_WAITS)

    def _linger(self, way: bytes) -> None:
        if self._reason is None:
            self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)

    def pause(self) -> None:
        """Stop reading; what was read already is held."""
        self._paused = True
        self._match_reading()

    def resume(self) -> None:
        """Hand on what was held, then read on."""
        self._paused = False
        self._hand_on()

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

    def start_tls_client(self, server: Server) -> Deferred[None]:
        """Become the client side of TLS (see Carrier)."""
        if self._client_tls is None:
            raise RuntimeError("a connection that was opened to us is no TLS client")
        try:
            check = self._client_tls.check_for(server)
        except Unavailable as problem:
            return self._cannot_upgrade(problem)
        if self._held:
            return self._cannot_upgrade(
                Unavailable(Cause.PROTOCOL_ERROR, f"{server}: the server sent octets before TLS was there")
            )
        return self._start_tls(check, check)

    def start_tls_server(self) -> Deferred[None]:
        """Become the server side of TLS (see Carrier)."""
        if self._server_tls is None:
            raise RuntimeError("this listener has no certificate")
        if self._held:
            return self._cannot_upgrade(HandshakeFailed("the client sent octets before TLS was there"))
        return self._start_tls(self._server_tls, None)

    # TLS

    def _cannot_upgrade(self, problem: Exception) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.errback(problem)
        self.abort()
        return done

    def _start_tls(self, creator: ServerCheck | ServerContexts, check: ServerCheck | None) -> Deferred[None]:
        if self._secure is not None or self._upgrade is not None:
            raise RuntimeError("TLS is already there")
        done: Deferred[None] = Deferred(lambda _cancelled: self.abort())
        if self.is_closed:
            done.errback(_Upgrade(done, check).failure(None))
            return done
        self._upgrade = _Upgrade(done, check)
        self._match_reading()
        self.transport.startTLS(creator)
        return done

    def handshakeCompleted(self) -> None:  # noqa: N802 - Twisted's name
        """Judge the peer; until this says yes nothing has been sent or handed on inside TLS."""
        upgrade = self._upgrade
        if upgrade is None or self._closing:
            return
        try:
            facts = upgrade.facts(self.transport.getHandle())
        except Unavailable as problem:
            self._fault = problem
            self.abort()
            return
        self._upgrade = None
        self._secure = facts
        upgrade.done.callback(None)
        self._match_reading()

    # what Twisted tells

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take over a new connection."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        peer, host = self.transport.getPeer(), self.transport.getHost()
        self._peer, self._host = self._ends or (Address(peer.host, peer.port), Address(host.host, host.port))
        self.transport.registerProducer(self, True)
        self._match_reading()
        on_made, self._on_made = self._on_made, None
        if on_made is not None:
            on_made(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Hand octets on, or hold them."""
        if self._closing:
            return
        if self._user is None or self._paused or self._held or self._handing_on:
            self._held += data
            self._hand_on()
        else:
            self._user.received(data)

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
        self._reason = self._end_of(reason)
        upgrade, self._upgrade = self._upgrade, None
        if upgrade is not None and not upgrade.done.called:
            upgrade.done.errback(upgrade.failure(self._fault or reason.value))
        self._hand_on()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Pass on that the buffer towards the peer is full."""
        if not self._full:
            self._full = True
            if self._user is not None:
                self._user.pressure(full=True)

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Pass on that the buffer towards the peer has gone out."""
        if self.transport.disconnecting:
            # The TLS peer said goodbye while this buffer was full: Twisted ends the connection
            # only once there is no producer any more.
            self.transport.unregisterProducer()
        if self._full:
            self._full = False
            if self._user is not None:
                self._user.pressure(full=False)

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing to do: connectionLost follows."""

    # inside

    def _hand_on(self) -> None:
        """Tell the user what waits, in order: octets, the peer's FIN, the end."""
        if self._handing_on:
            return
        self._handing_on = True
        try:
            while self._user is not None and self._hand_on_next(self._user):
                pass
        finally:
            self._handing_on = False
        self._match_reading()

    def _hand_on_next(self, user: CarrierUser) -> bool:
        if self._held:
            if self._paused:
                return False
            data, self._held = self._held, b""
            user.received(data)
            return True
        if self._reason is not None:
            self._user = None
            user.closed(self._reason)
            return False
        if self._peer_finished and not self._finish_told and not self._closing:
            self._finish_told = True
            if isinstance(user, HalfCloseUser):
                user.finished()
            else:
                self.close()
            return True
        return False

    def _match_reading(self) -> None:
        """Read from the socket exactly when somebody can take it."""
        if self._reason is not None:
            return
        taker = self._user is not None and not self._paused and not self._held
        if (taker or self._upgrade is not None or self._closing) and not self._peer_finished:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _closing_took_too_long(self) -> None:
        self._closing_limit = None
        self.transport.abortConnection()

    def _end_of(self, reason: Failure) -> ClosedReason:
        if self._peer_finished and not isinstance(reason.value, ConnectionAborted):
            return _FINISHED
        if self._closing:
            return _CLOSED
        if isinstance(reason.value, SSL.Error):
            return ClosedReason(Ending.TLS, f"TLS failed: {openssl_reasons(reason.value)}")
        if isinstance(reason.value, ConnectionDone):
            return _FINISHED
        return ClosedReason(Ending.LOST, "the connection was lost")
