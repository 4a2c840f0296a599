# ruff: noqa: N802, N803 - names that Twisted calls
"""Certificates for tests: an authority and what it issues, as files below a folder."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer


@dataclass(frozen=True)
class Issued:
    """One certificate with its key, as the files that servers are configured with."""

    certificate: Path
    key: Path

    @property
    def pin(self) -> str:
        """Hex sha256 of the certificate itself."""
        first = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return hashlib.sha256(first.public_bytes(Encoding.DER)).hexdigest()


class TlsFiles:
    """An authority in `folder`; two of them do not trust each other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self._count = 0
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, *names: str, expired: bool = False, not_yet: bool = False, rsa: bool = False) -> Issued:
        """Issue a certificate for host names or addresses."""
        self._count += 1
        now = dt.datetime.now(dt.UTC)
        day = dt.timedelta(days=1)
        begin, end = (now - 30 * day, now - day) if expired else (now - day, now + 30 * day)
        if not_yet:
            begin = now + day
        leaf = self._ca.issue_cert(
            *names,
            common_name=names[0],
            not_before=begin,
            not_after=end,
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
        )
        issued = Issued(
            self._folder / f"{self._count}-{names[0].replace(':', '_')}.crt",
            self._folder / f"{self._count}-{names[0].replace(':', '_')}.key",
        )
        leaf.private_key_pem.write_to_path(str(issued.key))
        issued.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return issued


@implementer(IOpenSSLServerConnectionCreator)
class TlsPeer:
    """The server side of TLS for a scripted peer, with versions and ciphers as bad as a test wants."""

    def __init__(
        self,
        issued: Issued,
        *,
        newest: int | None = None,
        oldest: int | None = None,
        ciphers: bytes | None = None,
    ) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        if oldest is not None or newest is not None:
            self.context.set_cipher_list(b"ALL:@SECLEVEL=0")
            self.context.set_min_proto_version(oldest or SSL.TLS1_VERSION)
            self.context.set_max_proto_version(newest or 0)
        if ciphers is not None:
            self.context.set_cipher_list(ciphers)
        self.context.use_certificate_chain_file(str(issued.certificate))
        self.context.use_privatekey_file(str(issued.key))

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


@implementer(IOpenSSLClientConnectionCreator)
class TlsClient:
    """The client side of TLS for a scripted peer; it checks nothing and notes what it was shown."""

    def __init__(
        self, *, newest: int | None = None, oldest: int | None = None, alpn: list[bytes] | None = None
    ) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if oldest is not None or newest is not None:
            self.context.set_cipher_list(b"ALL:@SECLEVEL=0")
            self.context.set_min_proto_version(oldest or SSL.TLS1_VERSION)
            self.context.set_max_proto_version(newest or 0)
        if alpn:
            self.context.set_alpn_protos(alpn)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)
