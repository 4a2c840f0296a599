"""TLS as a server: the certificates of our listeners, read again when their files change (RFC 8314).

TLS 1.2 is the oldest version offered. A client that names application protocols (RFC 7301) must
name the listener's own, so that a browser cannot be talked into speaking to a mail port (ALPACA).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from mailferry.model.access import Protocol
from mailferry.net import tls_door
from mailferry.net.carrier import TlsFacts
from mailferry.net.chosen import standard_tls
from mailferry.net.descriptor_tls import Agreed, TlsLayer, TlsSteps
from mailferry.net.served_certificates import BadTlsFiles, ServedCertificates
from mailferry.net.tls_records import write_whole

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!3DES"
"""TLS 1.2 ciphers; the CBC suites at the end are what Outlook on Windows 7 speaks."""

C = TypeVar("C")


class _OtherApplication(SSL.Error):
    """The client asked for another application protocol than the listener's."""


def _bare(protocol: Protocol) -> SSL.Context:
    """Return a context of our terms, without a certificate yet."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        | SSL.OP_SINGLE_DH_USE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    write_whole(context)
    context.set_cipher_list(CIPHERS)
    context.set_session_id(f"mailferry {protocol.value}".encode())
    ours = protocol.value.encode()

    def choose(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        if ours in offered:
            return ours
        raise _OtherApplication([("mailferry", "", "the client asked for another application protocol")])

    context.set_alpn_select_callback(choose)
    return context


def _load(certificate: Path, key: Path, protocol: Protocol) -> SSL.Context:
    context = _bare(protocol)
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
    return context


@dataclass(frozen=True, slots=True)
class _Files:
    """Certificates with their keys, the default first."""

    pairs: Sequence[tuple[Path, Path]]
    seconds: Callable[[], float]
    on_problem: Callable[[str], None] | None

    def served(self, load: Callable[[Path, Path], C]) -> ServedCertificates[C]:
        """Return them as what `load` makes of each; raises BadTlsFiles."""
        return ServedCertificates(self.pairs, load, seconds=self.seconds, on_problem=self.on_problem)


class _OpenSslDoor:
    """pyOpenSSL's contexts for the certificates of one listener.

    With several certificates no session can be resumed: OpenSSL takes a session back before it tells which
    name is asked for, so a session of one name would open another (T8).
    """

    def __init__(self, files: _Files, protocol: Protocol) -> None:
        self._certificates = files.served(lambda certificate, key: _load(certificate, key, protocol))
        self._hall = self._make_hall(protocol) if self._certificates.several else None

    def connection(self, sock: socket.socket | None = None) -> SSL.Connection:
        """Return a connection with the present certificates, on `sock` or on nothing but memory."""
        self._certificates.refresh()
        return SSL.Connection(self._hall or self._certificates.default, sock)

    def layer(self, sock: socket.socket) -> TlsSteps:
        """Return the TLS of one client on its socket."""
        return TlsLayer(self.connection(sock), as_client=False)

    def _make_hall(self, protocol: Protocol) -> SSL.Context:
        """Return where handshakes begin that are sent on to the certificate of the name they ask for.

        It has no certificate of its own and is never replaced: the callback that runs must not lose
        the context that holds it when files are read again in the middle of a handshake.
        """
        hall = _bare(protocol)
        hall.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        hall.set_options(SSL.OP_NO_TICKET)

        def send_on(connection: SSL.Connection) -> None:
            asked = connection.get_servername() or b""
            connection.set_context(self._certificates.named(asked.decode("latin-1")))

        hall.set_tlsext_servername_callback(send_on)
        return hall


class _StandardDoor:
    """The standard library's contexts for the same. Each certificate's sessions can be resumed with it alone."""

    def __init__(self, files: _Files, protocol: Protocol) -> None:
        def load(certificate: Path, key: Path) -> ssl.SSLContext:
            _load(certificate, key, protocol)  # finds the same faults, and says of which file
            return tls_door.load(certificate, key, protocol, CIPHERS)

        self._certificates = files.served(load)
        self._protocol = protocol

    def layer(self, sock: socket.socket) -> TlsSteps:
        """Return the TLS of one client on its socket."""
        return tls_door.DoorTls(sock, self._protocol, self._for_name)

    def _for_name(self, name: bytes) -> ssl.SSLContext:
        self._certificates.refresh()
        return self._certificates.named(name.decode("latin-1"))


@implementer(IOpenSSLServerConnectionCreator)
class ServerContexts:
    """The certificates of one listener's protocol, always as fresh as their files (`ServedCertificates`).

    The first is the default; each of `also` is shown to clients that ask for one of its names. A client may
    resume its session until the certificate is another, and never with another certificate.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        protocol: Protocol,
        *,
        also: Sequence[tuple[Path, Path]] = (),
        reactor: IReactorTime,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Read the files; raises BadTlsFiles."""
        files = _Files([(certificate, key), *also], reactor.seconds, on_problem)
        self._door = (_StandardDoor if standard_tls() else _OpenSslDoor)(files, protocol)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002, N802, N803 - Twisted's name
        """Return a connection for Twisted's own TLS layer; Twisted calls this."""
        return cast("_OpenSslDoor", self._door).connection()

    def layer(self, sock: socket.socket) -> TlsSteps:
        """Return the TLS of one client on its socket, for a carrier on descriptors of our own."""
        return self._door.layer(sock)


def accepted_facts(connection: Agreed) -> TlsFacts:
    """Return what a client's finished handshake agreed on."""
    return _facts(connection.get_protocol_version_name(), connection.get_cipher_name() or "")


@lru_cache(maxsize=64)
def _facts(version: str, cipher: str) -> TlsFacts:
    """Return the same object for every client that agreed on the same."""
    return TlsFacts(version, cipher, verified=False)
