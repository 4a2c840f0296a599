"""TLS on the socket itself: OpenSSL reads and writes the descriptor, and says when it must wait (RFC 8446).

Contexts and checks of servers are those of every carrier (tls_client.py). Only the copies through memory that
Twisted's TLS makes are gone, and with them the buffers that an idle session keeps. Our listeners have a layer of
their own where they can (tls_door.py).
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from OpenSSL import SSL

from mailferry.net import tls_records
from mailferry.net.carrier import Octets

RECORD_OCTETS = 16 * 1024
"""The most that one record carries; who reads so much leaves nothing inside OpenSSL for epoll to miss."""
WORTH_ANOTHER_OCTETS = 4 * 1024
"""After a record of so many octets another is probably there already; after a shorter one we ask epoll first."""


class Agreed(Protocol):
    """What tells of a finished handshake."""

    def get_protocol_version_name(self) -> str:
        """Return the version, as `TLSv1.3`."""
        ...

    def get_cipher_name(self) -> str | None:
        """Return OpenSSL's name of the cipher."""
        ...


class TlsSteps(Protocol):
    """What a carrier does on its socket inside TLS; TlsLayer says how."""

    end: SSL.Error | None
    reads_when_writable: bool
    writes_when_readable: bool

    @property
    def connection(self) -> Agreed:
        """What is judged after the handshake."""
        ...

    def shake(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises SSL.Error."""
        ...

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what is there; return how many octets."""
        ...

    def send(self, data: Octets | bytearray) -> int:
        """Send octets; return how many went out. Raises SSL.Error."""
        ...

    def say_goodbye(self) -> None:
        """Tell the peer that nothing follows."""
        ...


class TlsLayer:
    """One OpenSSL connection on a non-blocking socket.

    Either direction may have to wait for the other: `reads_when_writable` and `writes_when_readable` say so
    until the next step of that direction. `end` is what ended reading, once something has: ZeroReturnError is
    the peer's goodbye.
    """

    __slots__ = ("connection", "end", "reads_when_writable", "writes_when_readable")

    def __init__(self, connection: SSL.Connection, *, as_client: bool) -> None:
        self.connection = connection
        self.end: SSL.Error | None = None
        self.reads_when_writable = as_client  # who speaks first
        self.writes_when_readable = False
        if as_client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()

    def shake(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises SSL.Error."""
        self.reads_when_writable = False
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.WantWriteError:
            self.reads_when_writable = True
            return False
        return True

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what is there; return how many octets. `end` may be set behind them."""
        filled = 0
        self.reads_when_writable = False
        while len(room) - filled >= RECORD_OCTETS:
            try:
                got = tls_records.read_into(self.connection, room[filled:] if filled else room, RECORD_OCTETS)
            except SSL.WantReadError:
                break
            except SSL.WantWriteError:
                self.reads_when_writable = True
                break
            except SSL.Error as error:
                self.end = error
                break
            filled += got
            if got < WORTH_ANOTHER_OCTETS:
                break
        return filled

    def send(self, data: Octets | bytearray) -> int:
        """Send what goes out now; return how many octets. Raises SSL.Error.

        What is left must come again, from its first octet on: OpenSSL may have begun a record with it.
        """
        self.writes_when_readable = False
        try:
            return tls_records.send(self.connection, data)
        except SSL.WantWriteError:
            return 0
        except SSL.WantReadError:
            self.writes_when_readable = True
            return 0

    def say_goodbye(self) -> None:
        """Tell the peer that nothing follows, as far as there is room for it."""
        with contextlib.suppress(SSL.Error):  # the connection is closed next, with this said or not
            self.connection.shutdown()
