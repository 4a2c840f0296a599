"""TLS of our listeners by the standard library, on the socket itself (RFC 8446).

The system's OpenSSL takes a third less memory for an idle session than the newer one in pyOpenSSL's wheel, as long
as it is 3.0 (docs/decisions/0011, with the price of it). What `ssl` cannot do is decided by the client's first message,
which is looked at before OpenSSL reads it (client_hello.py): a client that offers foreign application
protocols only is refused (ALPACA), and the certificate of the name that it asks for is shown. Until the message is
there no OpenSSL connection exists. What fails is told in pyOpenSSL's words, as by the other TLS.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from OpenSSL import SSL

from mailferry.model.access import Protocol
from mailferry.net.carrier import Octets
from mailferry.net.client_hello import MOST_OCTETS, ClientHello, NotAHello, read_hello
from mailferry.net.descriptor_tls import RECORD_OCTETS, WORTH_ANOTHER_OCTETS
from mailferry.net.served_certificates import BadTlsFiles

_DECODE_ERROR, _NO_APPLICATION_PROTOCOL = 50, 120
"""Alerts (RFC 8446 6.2, 7301 3.2)."""
_ROOM = memoryview(bytearray(MOST_OCTETS))
"""Where all first messages of this process are looked at."""

ContextFor = Callable[[bytes], ssl.SSLContext]
"""Which certificate is shown to a client that asks for this name; it may be none."""


def load(certificate: Path, key: Path, protocol: Protocol, ciphers: bytes) -> ssl.SSLContext:
    """Return a context of our terms; raises BadTlsFiles. pyOpenSSL has found no fault in the files before.

    Each context has keys of its own for tickets: a session of one certificate opens no other (T8).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_DH_USE
    )
    context.set_ciphers(ciphers.decode())
    context.set_alpn_protocols([protocol.value])
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # or a key with one would be asked for
    except (ssl.SSLError, OSError) as error:
        raise BadTlsFiles(f"{certificate} and {key} cannot be used together: {error}") from error
    return context


class DoorTls:
    """The TLS of one client on its socket, which does not block. See TlsLayer for what is alike."""

    __slots__ = (
        "_context_for",
        "_inside",
        "_looked",
        "_ours",
        "_sock",
        "end",
        "reads_when_writable",
        "writes_when_readable",
    )

    def __init__(self, sock: socket.socket, protocol: Protocol, context_for: ContextFor) -> None:
        if sock.gettimeout() != 0:
            sock.setblocking(False)  # `ssl` asks this object, not the kernel, and would try again and again
        self._sock = sock
        self._ours = protocol.value.encode()
        self._context_for: ContextFor | None = context_for
        self._looked = 0  # octets that the kernel was asked to wait for
        self._inside: Any = None  # an ssl.SSLSocket's inner half, which has all of it that matters
        self.end: SSL.Error | None = None
        self.reads_when_writable = self.writes_when_readable = False

    @property
    def connection(self) -> DoorTls:
        """What was agreed on is told by ourselves."""
        return self

    def get_protocol_version_name(self) -> str:
        """Return the version of a finished handshake."""
        return str(self._inside.version())

    def get_cipher_name(self) -> str | None:
        """Return the cipher of a finished handshake."""
        return str(self._inside.cipher()[0])

    def shake(self) -> bool:
        """Go on with the handshake; return whether it is done. Raises SSL.Error."""
        self.reads_when_writable = False
        try:
            if self._inside is None and not self._open():
                return False
            self._inside.do_handshake()
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except ssl.SSLWantWriteError:
            self.reads_when_writable = True
            return False
        except OSError as error:  # of which ssl's own errors are
            raise _told(error) from error
        return True

    def read_into(self, room: memoryview) -> int:
        """Fill `room` with what is there; return how many octets. `end` may be set behind them."""
        filled = 0
        self.reads_when_writable = False
        read = self._inside.read
        while len(room) - filled >= RECORD_OCTETS:
            try:
                got: int = read(RECORD_OCTETS, room[filled:] if filled else room)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLWantWriteError:
                self.reads_when_writable = True
                break
            except OSError as error:
                self.end = _told(error)
                break
            if not got:
                self.end = SSL.ZeroReturnError()
                break
            filled += got
            if got < WORTH_ANOTHER_OCTETS:
                break
        return filled

    def send(self, data: Octets | bytearray) -> int:
        """Send all of it, or 0 octets: then all must come again, from its first octet on. Raises SSL.Error."""
        self.writes_when_readable = False
        try:
            sent: int = self._inside.write(data)
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self.writes_when_readable = True
            return 0
        except OSError as error:
            raise _told(error) from error
        return sent

    def say_goodbye(self) -> None:
        """Tell the peer that nothing follows, as far as there is room for it."""
        if self._inside is not None:
            with contextlib.suppress(OSError):  # the connection is closed next, with this said or not
                self._inside.shutdown()

    def _open(self) -> bool:
        """Begin once the client's first message is there; return whether it is. Raises SSL.Error and OSError."""
        there = self._sock.recv_into(_ROOM, MOST_OCTETS, socket.MSG_PEEK)
        if there < max(self._looked, 1):
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the client said no more")
        try:
            hello = read_hello(_ROOM[:there])
            if isinstance(hello, int):
                self._wait_for(hello)
                return False
            context = self._welcome(hello)
        except NotAHello as error:
            self._refuse(_DECODE_ERROR, str(error))
        if self._looked:
            self._wait_for(1)
        self._inside = context._wrap_socket(self._sock, server_side=True)  # noqa: SLF001 - half of wrap_socket()
        return True

    def _welcome(self, hello: ClientHello) -> Any:
        if hello.protocols and self._ours not in hello.protocols:
            self._refuse(_NO_APPLICATION_PROTOCOL, "the client asked for another application protocol")
        context_for, self._context_for = self._context_for, None
        assert context_for is not None
        return context_for(hello.name)

    def _wait_for(self, octets: int) -> None:
        """Be told again when so many are there, and not before: what was looked at stays where it is."""
        self._looked = octets
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, octets)

    def _refuse(self, alert: int, why: str) -> NoReturn:
        self._sock.recv_into(_ROOM)  # or closing sends a reset, which could overtake the alert
        with contextlib.suppress(OSError):
            self._sock.send(bytes((21, 3, 3, 0, 2, 2, alert)))
        raise SSL.Error([("mailferry", "", why)])


def _told(error: OSError) -> SSL.Error:
    """Return what pyOpenSSL raises for the same."""
    if isinstance(error, ssl.SSLZeroReturnError):
        return SSL.ZeroReturnError()
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return SSL.SysCallError(error.errno, error.strerror)
    return SSL.Error([("SSL routines", "", (error.reason or str(error)).lower().replace("_", " "))])
