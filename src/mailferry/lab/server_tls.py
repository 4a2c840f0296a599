"""TLS as a lab host serves it: one certificate, TLS 1.2 and later."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from mailferry.lab.certificates import CertificateFiles


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS state of each connection."""

    def __init__(self, files: CertificateFiles) -> None:
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._context.use_certificate_chain_file(str(files.certificate))
        self._context.use_privatekey_file(str(files.key))

    def serverConnectionForTLS(self, _: object) -> SSL.Connection:  # noqa: N802 - Twisted's name
        """Return the state of one more connection."""
        return SSL.Connection(self._context, None)
