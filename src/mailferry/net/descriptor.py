"""The carrier on a socket of our own: no transport object, no buffer while nothing waits (epoll).

The reactor tells readable and writable; octets are read into one buffer that all carriers of the process
share, and go to the peer at once as far as the kernel takes them. Twisted's transports cost a proxy more
than half of its time at a login, and a copy of every octet; see docs/decisions.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct

from OpenSSL import SSL
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from mailferry.net.carrier import CarrierUser, ClosedReason, Ending, Ends, Octets
from mailferry.net.descriptor_tls import TlsSteps
from mailferry.net.net_reactor import NetReactor
from mailferry.net.pouring import Pouring
from mailferry.net.silence import unwatch, watch
from mailferry.net.splice import WORTH_IT_OCTETS
from mailferry.net.tls_client import ClientTls, openssl_reasons
from mailferry.net.tls_server import ServerContexts
from mailferry.net.upgrade import Upgrade
from mailferry.net.user_side import (
    BULK_OCTETS,
    CLOSED,
    CLOSING_SECONDS,
    FINISHED,
    LOST,
    ONE_READ_OCTETS,
)

_ROOM = memoryview(bytearray(BULK_OCTETS))
"""Where all carriers of this process read into; what is in it is handed on before the next read."""
_SMALL_ROOM = _ROOM[:ONE_READ_OCTETS]

_DROP_WHAT_WAITS = struct.pack("ii", 1, 0)
_SEND_WHAT_WAITS = struct.pack("ii", 0, 0)


@implementer(IReadDescriptor, IWriteDescriptor)
class DescriptorCarrier(Pouring):
    """A Carrier over a connected socket, which it owns. The user's calls never end it inside themselves."""

    __slots__ = (
        "_bulk",
        "_drops_if_killed",
        "_fin_sent",
        "_reactor",
        "_reading",
        "_writing",
        "due",
    )

    def __init__(
        self,
        reactor: NetReactor,
        sock: socket.socket,
        ends: Ends,
        *,
        client_tls: ClientTls | None = None,
        server_tls: ServerContexts | None = None,
    ) -> None:
        """`sock` does not block, and has TCP_NODELAY."""
        super().__init__(sock, client_tls, server_tls)
        self._reactor = reactor
        self._peer, self._host = ends
        self._reading = self._writing = False
        self._bulk = self._drops_if_killed = False
        self._fin_sent = False
        self.due = math.inf
        """When closing will have taken too long, by the reactor's clock (see silence.py)."""

    # what a user may ask

    def write(self, data: Octets) -> None:
        """Send octets; RuntimeError during a handshake, when it is not known yet to whom."""
        if self._upgrade is not None:
            raise RuntimeError("octets written during a TLS handshake")
        if not data or self._closing or self._write_side_shut or self._reason is not None:
            return
        if self._outgoing is not None:
            self._outgoing += data
        elif self._pipe is not None:
            self._outgoing = bytearray(data)
        else:
            try:
                sent = self._sock.send(data) if self._tls is None else self._tls.send(data)
            except BlockingIOError:
                sent = 0
            except (OSError, SSL.Error):
                self._send_failed = True  # fails again in doWrite, and is told there
                sent = 0
            if sent == len(data):
                return
            self._outgoing = bytearray(data[sent:])
            self._match_writing()
        if len(self._outgoing) > (BULK_OCTETS if self._bulk else ONE_READ_OCTETS):
            self._tell_pressure(full=True)

    def expect_bulk(self) -> None:
        """Read in larger pieces, and let more wait to be sent."""
        self._bulk = True

    def wait_for(self, octets: int) -> None:
        """Have the kernel tell of octets once so many are there."""
        if not self._gone:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)

    def drop_if_killed(self) -> None:
        """Have the kernel reset the connection when it closes the socket in our place."""
        self._drops_if_killed = True
        self._linger(_DROP_WHAT_WAITS)

    def finish(self) -> None:
        """Send FIN behind what waits; on TLS, close."""
        if self._secure is not None or self._upgrade is not None or self._peer_finished:
            self.close()
        elif not self._closing and not self._write_side_shut and self._reason is None:
            self._write_side_shut = True
            if self._nothing_waits:
                self._send_fin()

    def close(self) -> None:
        """Close behind what waits, and read on until the peer has closed too.

        Closing a socket with unread octets in it sends a reset, which can destroy what we wrote last (the
        reason of a refusal, say); so: FIN first, then read on until theirs.
        """
        if self._closing or self._reason is not None:
            return
        if self._upgrade is not None:
            self.abort()
            return
        self._begin_closing()
        self._limit_closing()
        if self._nothing_waits and not self._peer_finished:
            self._send_fin()
        self._match_reading()
        self._match_writing()

    def abort(self) -> None:
        """Close now, with a reset; the user is told in the reactor's next turn."""
        if self._gone:
            return
        self._closing = True
        self._held = b""
        self._linger(_DROP_WHAT_WAITS)
        self._leave()
        self._reactor.callFromThread(self._end, CLOSED)

    # what the reactor tells

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self._sock.fileno()

    def logPrefix(self) -> str:  # noqa: N802 - Twisted's name
        """Name ourselves in a log of the reactor's."""
        return "carrier"

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        """Take what is there, or stop being told when nobody wants it."""
        tls = self._tls
        user = None if self._paused or self._held else self._user
        if user is None or self._closing or self._peer_finished or self._upgrade is not None:
            self._read_for_nobody(tls)
        elif tls is None:
            self._read_plain(user)
        else:
            self._read_tls(tls)

    def doWrite(self) -> None:  # noqa: N802 - Twisted's name
        """Send what waits, then do what was to come behind it."""
        tls = self._tls
        if self._gone:
            return
        if tls is not None and self._upgrade is not None:
            self._shake(tls)
            return
        if tls is not None and tls.reads_when_writable:
            self._read_tls(tls)
        if self._pipe is not None:
            self._pour_waiting(self._pipe)
        if self._outgoing is not None and self._pipe is None and not self._gone:
            self._send_waiting(self._outgoing)
        if self._is_over:
            self._part()
        else:
            self._match_writing()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002, N802 - Twisted's name
        """The reactor ends, or epoll found the connection dead while nothing was read."""
        self._lose()

    # reading

    @property
    def _gone(self) -> bool:
        """Whether the socket is closed, by us or an acceptor whose client nobody took; the user may not know yet."""
        return self._sock.fileno() < 0

    @property
    def _is_over(self) -> bool:
        """Whether both have said all they will, and it has gone out."""
        no_more = self._closing or self._tls is not None
        return no_more and self._peer_finished and self._nothing_waits and not self._gone

    @property
    def _wants_reading(self) -> bool:
        tls = self._tls
        if self._peer_finished or self._gone:
            return False
        if self._upgrade is not None:
            return tls is not None and not tls.reads_when_writable
        return self._has_taker or self._closing or (tls is not None and tls.writes_when_readable)

    def _match_reading(self) -> None:
        """Have the reactor tell us from now on; that it need not any more is seen when it next does."""
        if not self._reading and self._wants_reading:
            self._reading = True
            self._reactor.addReader(self)

    @property
    def _room(self) -> memoryview:
        return _ROOM if self._bulk or self._lends or self._streams else _SMALL_ROOM

    def _read_for_nobody(self, tls: TlsSteps | None) -> None:
        """Do what reading is good for while no user takes octets: the end of a close, a handshake."""
        if not self._wants_reading:
            self._reactor.removeReader(self)
            self._reading = False
        elif self._closing:
            self._throw_away()
        elif tls is not None:
            (self._shake if self._upgrade is not None else self._read_tls)(tls)

    def _read_plain(self, user: CarrierUser) -> None:
        if self._streams and self._pour():
            return
        room = self._room
        try:
            got = self._sock.recv_into(room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        if not got:
            self._read_fin(user)
            return
        self._streams = got >= WORTH_IT_OCTETS
        if self._lends:
            user.lent(room[:got])  # type: ignore[attr-defined]  # it is a BorrowingUser: attach has looked
        else:
            user.received(bytes(room[:got]))

    def _read_fin(self, user: CarrierUser) -> None:
        """The peer says no more: it is the end for a user that knows no half-close, behind what waits."""
        if self._send_failed:
            self._lose()  # the kernel told of the reset there, and tells it once
            return
        self._peer_finished = True
        if self._nothing_waits and not hasattr(user, "finished"):
            self._begin_closing()
            self._part()
        else:
            self._hand_on()

    def _read_tls(self, tls: TlsSteps) -> None:
        if tls.writes_when_readable and self._outgoing is not None:
            self._send_waiting(self._outgoing)
        if self._has_taker and not self._gone:
            room = self._room
            got = tls.read_into(room)
            if got:
                self._take(room[:got])
            if tls.end is not None and not self._gone:
                self._tls_ended(tls.end)
        if self._writing or tls.reads_when_writable or self._peer_finished or not self._nothing_waits:
            self._match_writing()

    def _tls_ended(self, error: SSL.Error) -> None:
        """The peer said goodbye inside TLS, or broke it: what waits for it still goes out behind a goodbye."""
        if not isinstance(error, SSL.ZeroReturnError):
            self._lose(error)
            return
        self._peer_finished = self._finish_told = True  # inside TLS one direction's end is the end of both
        self._write_side_shut = True
        if self._is_over:
            self._part()
        else:
            self._limit_closing()

    def _throw_away(self) -> None:
        """Read until the peer has closed too, for the sake of what it is still to read itself."""
        try:
            got = self._sock.recv_into(_ROOM)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        if got == 0:
            self._peer_finished = True
            if self._is_over:
                self._part()

    # writing

    def _send_waiting(self, waiting: bytearray) -> None:
        """Send of what waits; behind its last octet comes what was to come there."""
        try:
            sent = self._sock.send(waiting) if self._tls is None else self._tls.send(waiting)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        except SSL.Error as error:
            self._lose(error)
            return
        if sent < len(waiting):
            del waiting[:sent]
            return
        self._outgoing = None
        self._after_the_last()

    def _after_the_last(self) -> None:
        """Do what was to come behind everything that waited."""
        if self._upgrade is not None:
            self._begin_handshake(self._upgrade)
        elif not self._closing and not self._write_side_shut:
            self._tell_pressure(full=False)
        elif not self._peer_finished:
            self._send_fin()

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = self._write_side_shut = True
            if self._tls is not None:
                self._tls.say_goodbye()
            with contextlib.suppress(OSError):  # a peer that is gone already is found out by reading
                self._sock.shutdown(socket.SHUT_WR)

    @property
    def _wants_writing(self) -> bool:
        tls = self._tls
        if self._gone:
            return False
        if tls is not None and tls.reads_when_writable and not self._closing:
            return True
        if self._upgrade is not None and tls is not None:
            return False
        if not self._nothing_waits:
            return tls is None or not tls.writes_when_readable
        return self._is_over

    def _match_writing(self) -> None:
        """Have the reactor tell us exactly while there is something to do when the peer has room."""
        if self._writing is not self._wants_writing:
            self._writing = not self._writing
            (self._reactor.addWriter if self._writing else self._reactor.removeWriter)(self)

    def _begin_closing(self) -> None:
        """Hand on nothing any more, and have the kernel send what it has also when the socket is closed."""
        self._closing = True
        self._held = b""
        if self._drops_if_killed:
            self._linger(_SEND_WHAT_WAITS)

    def _linger(self, way: bytes) -> None:
        if not self._gone:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)

    # TLS

    def _begin_handshake(self, upgrade: Upgrade) -> None:
        if self._outgoing is None:
            self._tls = upgrade.creator.layer(self._sock)
            self._match_reading()
            self._match_writing()

    def _shake(self, tls: TlsSteps) -> None:
        try:
            done = tls.shake()
        except SSL.Error as error:
            self._lose(error)
            return
        if done:
            self._judge(tls.connection)
        self._match_reading()
        self._match_writing()

    # the end

    def _part(self) -> None:
        """Both have said all they will: answer a goodbye that was not answered yet, and end."""
        if self._tls is not None and not self._fin_sent:
            self._tls.say_goodbye()
        self._end(FINISHED if self._tls is None or not self._closing else CLOSED)

    def _limit_closing(self) -> None:
        if self.due == math.inf:
            self.due = self._reactor.seconds() + CLOSING_SECONDS
            watch(self, self._reactor)

    def silent_for_too_long(self) -> None:
        """Give up a peer that did not take what waits, or did not close its side."""
        self._linger(_DROP_WHAT_WAITS)
        self._end(CLOSED)

    def _lose(self, error: SSL.Error | None = None) -> None:
        """Something broke; say what it means for the user."""
        if self._peer_finished and self._tls is None:
            reason = FINISHED
        elif self._closing:
            reason = CLOSED
        elif error is None or isinstance(error, SSL.SysCallError):
            reason = LOST
        else:
            reason = ClosedReason(Ending.TLS, f"TLS failed: {openssl_reasons(error)}")
        self._end(reason, error)

    def _leave(self) -> None:
        """Close the socket, which the reactor must not know any more then."""
        if self._reading:
            self._reactor.removeReader(self)
        if self._writing:
            self._reactor.removeWriter(self)
        self._reading = self._writing = False
        self._outgoing = None
        self._return_pipe()
        self._sock.close()

    def _end(self, reason: ClosedReason, error: BaseException | None = None) -> None:
        if self._reason is not None:
            return
        self._leave()
        if self.due < math.inf:
            unwatch(self, self._reactor)
        self._tls = None
        self._tell_end(reason, error)
