"""TLS as a server: the certificates of our listeners, read again when their files change (RFC 8314).

TLS 1.2 is the oldest version offered. A client that names application protocols (RFC 7301) must
name the listener's own, so that a browser cannot be talked into speaking to a mail port (ALPACA).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from mailferry.model.access import Protocol
from mailferry.net.carrier import TlsFacts
from mailferry.net.served_certificates import BadTlsFiles, ServedCertificates
from mailferry.net.tls_records import write_whole

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!3DES"
"""TLS 1.2 ciphers; the CBC suites at the end are what Outlook on Windows 7 speaks."""


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


@implementer(IOpenSSLServerConnectionCreator)
class ServerContexts:
    """The certificates of one listener's protocol, always as fresh as their files (`ServedCertificates`).

    The first is the default; each of `also` is shown to clients that ask for one of its names. With
    one certificate a client may resume its session, until the certificate is another. With several
    nobody can: OpenSSL takes a session back before it tells which name is asked for, so a session
    of one name would open another (T8).
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
        self._certificates = ServedCertificates(
            [(certificate, key), *also],
            lambda its_certificate, its_key: _load(its_certificate, its_key, protocol),
            seconds=reactor.seconds,
            on_problem=on_problem,
        )
        self._hall = self._make_hall(protocol) if also else None

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002, N802, N803 - Twisted's name
        """Return a connection for Twisted's own TLS layer; Twisted calls this."""
        return self.connection()

    def connection(self, sock: socket.socket | None = None) -> SSL.Connection:
        """Return a connection with the present certificates, on `sock` or on nothing but memory."""
        self._certificates.refresh()
        return SSL.Connection(self._hall or self._certificates.default, sock)

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


def accepted_facts(connection: SSL.Connection) -> TlsFacts:
    """Return what a client's finished handshake agreed on."""
    return _facts(connection.get_protocol_version_name(), connection.get_cipher_name() or "")


@lru_cache(maxsize=64)
def _facts(version: str, cipher: str) -> TlsFacts:
    """Return the same object for every client that agreed on the same."""
    return TlsFacts(version, cipher, verified=False)
