"""TLS as a lab host serves it: TLS 1.2 and later, under its own name or, where a quirk says so, another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from mailferry.lab.certificates import CertificateFiles


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS state of each connection."""

    def __init__(self, files: CertificateFiles, other_name: Callable[[], bool]) -> None:
        self._own = _context(files.certificate, files.key)
        self._other = _context(files.other_name, files.key)
        self._other_name = other_name

    def serverConnectionForTLS(self, _: object) -> SSL.Connection:  # noqa: N802 - Twisted's name
        """Return the state of one more connection."""
        return SSL.Connection(self._other if self._other_name() else self._own, None)


def _context(certificate: Path, key: Path) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_chain_file(str(certificate))
    context.use_privatekey_file(str(key))
    return context
