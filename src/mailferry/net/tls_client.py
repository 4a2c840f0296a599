"""TLS as a client: who a server must prove to be, and what is said when it does not (RFC 8314, 9525).

By default the chain must end in an authority of the system (or of the address's `ca`) and the
certificate must carry the host's name (or `verify_name`). A pin replaces both checks. TLS 1.2 is
the oldest version spoken, unless the address says `legacy_tls`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from pathlib import Path
from weakref import WeakKeyDictionary

import idna
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from mailferry.model.access import Server
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.carrier import TlsFacts
from mailferry.net.descriptor_tls import TlsLayer
from mailferry.net.tls_records import write_whole

_CHAIN_FAULTS = {
    9: "the server's certificate is not valid yet",
    10: "the server's certificate has expired",
    18: "the server's certificate is self-signed (?pin=sha256:... accepts exactly this one)",
    19: "the server's certificate comes from an unknown authority (?ca=FILE names it)",
    20: "the server's certificate comes from an unknown authority (?ca=FILE names it)",
    21: "the server's certificate comes from an unknown authority (?ca=FILE names it)",
    23: "the server's certificate was revoked",
    26: "the server's certificate is not meant for servers",
}
"""X509_V_ERR numbers that administrators meet; the others are shown by number."""

_HANDSHAKE_FAULTS = (
    ("protocol version", "the server offers no TLS version that we accept (?legacy_tls=yes takes old ones)"),
    (
        "unsupported protocol",
        "the server offers no TLS version that we accept (?legacy_tls=yes takes old ones)",
    ),
    ("internal error", "the server failed inside its own TLS"),
    ("no shared cipher", "the server offers no cipher that we accept (?legacy_tls=yes takes old ones)"),
    ("handshake failure", "the server offers no cipher that we accept (?legacy_tls=yes takes old ones)"),
    ("dh key too small", "the server's key exchange is too weak (?legacy_tls=yes takes it)"),
    ("ee key too small", "the server's key is too small (?legacy_tls=yes takes it)"),
    ("legacy renegotiation", "the server's TLS is too old (?legacy_tls=yes takes it)"),
    ("wrong version number", "the server does not speak TLS at this place (wrong port, or STARTTLS instead)"),
    ("packet length", "the server does not speak TLS at this place (wrong port, or STARTTLS instead)"),
    ("record layer", "the server does not speak TLS at this place (wrong port, or STARTTLS instead)"),
)
"""Parts of OpenSSL's own reason strings, and what they mean to an administrator."""


class _ChainFaults:
    """The first fault of each handshake's chain check.

    Kept beside the OpenSSL connections, because Twisted uses their own place for such data.
    """

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[SSL.Connection, int] = WeakKeyDictionary()

    def note(self, connection: SSL.Connection, _cert: object, fault: int, _depth: int, ok: int) -> bool:
        """Remember the fault and let OpenSSL's own verdict stand; OpenSSL calls this per certificate."""
        if not ok:
            self._found.setdefault(connection, fault)
        return bool(ok)

    def of(self, connection: SSL.Connection | None) -> int | None:
        """Return the X509_V_ERR number that ended the handshake of `connection`, if that was it."""
        return None if connection is None else self._found.get(connection)


def _alpn(server: Server) -> list[bytes]:
    return [server.protocol.value.encode()]


def _new_context(server: Server, faults: _ChainFaults) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    write_whole(context)
    if server.legacy_tls:
        # Twisted's own way to lower the minimum sets only OP_NO flags, which a TLS 1.0-only peer
        # still answers with "protocol version"; the minimum itself must be lowered.
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_options(SSL.OP_LEGACY_SERVER_CONNECT)
    else:
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos(_alpn(server))
    if server.pin is not None:
        context.set_verify(SSL.VERIFY_NONE, None)
        return context
    context.set_verify(SSL.VERIFY_PEER, faults.note)
    if server.ca is None:
        context.set_default_verify_paths()
    else:
        context.load_verify_locations(server.ca)
    return context


def _stamp(path: str | None) -> tuple[int, int]:
    if path is None:
        return (0, 0)
    found = Path(path).stat()
    return (found.st_mtime_ns, found.st_size)


def _as_address(name: str) -> str | None:
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return None


def wire_name(host: str) -> str:
    """Return `host` as DNS and SNI carry it (IDNA 2008); ASCII names pass as they are, in lower case."""
    if host.isascii():
        return host.lower().rstrip(".")
    return idna.encode(host, uts46=True).decode("ascii")


@implementer(IOpenSSLClientConnectionCreator)
class ServerCheck:
    """The client side of one handshake: makes the OpenSSL connection, then checks who answered."""

    def __init__(self, server: Server, context: SSL.Context, faults: _ChainFaults) -> None:
        self._server = server
        self._context = context
        self._name = server.verify_name or server.host
        self._address = _as_address(self._name)
        self._faults = faults
        self._connection: SSL.Connection | None = None
        try:
            self._wire_name = wire_name(self._name)
        except idna.IDNAError as error:
            raise self.failure(f"{self._name!r} is no host name") from error

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: ARG002, N802, N803 - Twisted's name
        """Return a connection for Twisted's own TLS layer; Twisted calls this."""
        return self.connection()

    def connection(self, sock: socket.socket | None = None) -> SSL.Connection:
        """Return a connection, on `sock` or on nothing but memory, that names the host it wants (SNI)."""
        connection = self._connection = SSL.Connection(self._context, sock)
        if self._address is None:
            connection.set_tlsext_host_name(self._wire_name.encode())
        return connection

    def layer(self, sock: socket.socket) -> TlsLayer:
        """Return the TLS of a carrier on descriptors of our own."""
        return TlsLayer(self.connection(sock), as_client=True)

    def facts(self, connection: SSL.Connection) -> TlsFacts:
        """Check the peer of a finished handshake; raises Unavailable(TLS_ERROR) when it is not the one."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            raise self.failure("the server sent no certificate")
        if self._server.pin is not None:
            found = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
            if found != self._server.pin:
                raise self.failure(f"the server's certificate is another than the pinned one: sha256:{found}")
        else:
            self._check_name(connection)
        return TlsFacts(
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            verified=True,
        )

    def _check_name(self, connection: SSL.Connection) -> None:
        try:
            if self._address is None:
                verify_hostname(connection, self._wire_name)
            else:
                verify_ip_address(connection, self._address)
        except (VerificationError, CertificateError, ValueError) as error:
            raise self.failure(
                f"the server's certificate is not for {self._name} (?name=HOST names another)"
            ) from error

    def failure(self, text: str) -> Unavailable:
        """Return what a caller of connect or start_tls_client gets, `text` behind the server's address."""
        return Unavailable(Cause.TLS_ERROR, f"{self._server}: {text}")

    def handshake_failure(self, error: BaseException | None) -> Unavailable:
        """Return the failure for a handshake that broke off with `error` (None: the peer went away)."""
        fault = self._faults.of(self._connection)
        if fault is not None:
            known = _CHAIN_FAULTS.get(
                fault, f"the server's certificate was not accepted (X.509 error {fault})"
            )
            return self.failure(known)
        if not isinstance(error, SSL.Error):
            return self.failure("the server closed the connection during the TLS handshake")
        return self.failure(_explain(error))


def openssl_reasons(error: SSL.Error) -> str:
    """Return OpenSSL's own words for an error, on one line."""
    details = error.args[0] if error.args and isinstance(error.args[0], list | tuple) else ()
    reasons = [str(part[-1]) for part in details if isinstance(part, tuple) and part]
    return "; ".join(reasons) or str(error) or type(error).__name__


def _explain(error: SSL.Error) -> str:
    """Return one line for what a server did in a handshake, with the remedy where there is one."""
    text = openssl_reasons(error)
    lowered = text.lower()
    for part, meaning in _HANDSHAKE_FAULTS:
        if part in lowered:
            return meaning
    return f"TLS failed: {text}"


class ClientTls:
    """Client contexts, one for each set of terms, made once; a changed `ca` file makes a new one."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[object, ...], SSL.Context] = {}
        self._faults = _ChainFaults()

    def check_for(self, server: Server) -> ServerCheck:
        """Return the check for one handshake with `server`.

        Raises Unavailable(TLS_ERROR) when its `ca` file cannot be read.
        """
        try:
            terms = (server.ca, _stamp(server.ca), server.pin is None, server.legacy_tls, server.protocol)
            context = self._contexts.get(terms)
            if context is None:
                context = self._contexts[terms] = _new_context(server, self._faults)
        except (OSError, SSL.Error) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds no certificate"
            raise Unavailable(
                Cause.TLS_ERROR, f"{server}: cannot read the authorities in {server.ca}: {why}"
            ) from error
        return ServerCheck(server, context, self._faults)
