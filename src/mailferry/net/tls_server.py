"""TLS as a server: the certificate of our listeners, read again when its files change (RFC 8314).

TLS 1.2 is the oldest version offered. A client that names application protocols (RFC 7301) must
name the listener's own, so that a browser cannot be talked into speaking to a mail port (ALPACA).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from mailferry.model.access import Protocol
from mailferry.net.carrier import TlsFacts

LOOK_AGAIN_SECONDS = 1.0
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!3DES"
"""TLS 1.2 ciphers; the CBC suites at the end are what Outlook on Windows 7 speaks."""

_Stamp = tuple[tuple[int, int, int], ...]


class BadTlsFiles(Exception):
    """The certificate or its key cannot be used; the text names the file and the fault."""


class _OtherApplication(SSL.Error):
    """The client asked for another application protocol than the listener's."""


def _load(certificate: Path, key: Path, protocol: Protocol) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        | SSL.OP_SINGLE_DH_USE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS)
    context.set_session_id(f"mailferry {protocol.value}".encode())
    for path in (certificate, key):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise BadTlsFiles(f"{path}: {error.strerror}") from error
    try:
        context.use_certificate_chain_file(str(certificate))
    except SSL.Error as error:
        raise BadTlsFiles(f"{certificate}: no certificate in PEM form in this file") from error
    try:
        context.use_privatekey_file(str(key))
    except SSL.Error as error:
        raise BadTlsFiles(f"{key}: no private key in PEM form that fits {certificate}") from error
    try:
        context.check_privatekey()
    except SSL.Error as error:
        raise BadTlsFiles(f"{key}: this key does not belong to {certificate}") from error
    ours = protocol.value.encode()

    def choose(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        if ours in offered:
            return ours
        raise _OtherApplication([("mailferry", "", "the client asked for another application protocol")])

    context.set_alpn_select_callback(choose)
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerContexts:
    """The certificate of one listener's protocol, always as fresh as its files.

    The files are looked at no more than once a second and read again when their time, size or
    inode changed. New files that cannot be used leave the old certificate in place and are
    reported once to `on_problem`.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        protocol: Protocol,
        *,
        reactor: IReactorTime,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Read the files; raises BadTlsFiles."""
        self._certificate = certificate
        self._key = key
        self._protocol = protocol
        self._reactor = reactor
        self._on_problem = on_problem
        self._stamp = self._look()
        self._context = _load(certificate, key, protocol)
        self._looked_at = reactor.seconds()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002, N802, N803 - Twisted's name
        """Return a connection for Twisted's own TLS layer; Twisted calls this."""
        return self.connection()

    def connection(self, sock: socket.socket | None = None) -> SSL.Connection:
        """Return a connection with the present certificate, on `sock` or on nothing but memory."""
        self._refresh()
        return SSL.Connection(self._context, sock)

    def _look(self) -> _Stamp:
        found = []
        for path in (self._certificate, self._key):
            try:
                entry = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((entry.st_mtime_ns, entry.st_size, entry.st_ino))
        return tuple(found)

    def _refresh(self) -> None:
        now = self._reactor.seconds()
        if now - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = now
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = _load(self._certificate, self._key, self._protocol)
        except BadTlsFiles as problem:
            # Certificate first, key a moment later is how renewals write: the next look sees both.
            if self._on_problem is not None:
                self._on_problem(str(problem))


def accepted_facts(connection: SSL.Connection) -> TlsFacts:
    """Return what a client's finished handshake agreed on."""
    return TlsFacts(
        version=connection.get_protocol_version_name(),
        cipher=connection.get_cipher_name() or "",
        verified=False,
    )
