"""The certificates of pages that are served with TLS: chosen by name and read again as those of the mail doors."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from mailferry.config.settings import TlsSettings
from mailferry.net.served_certificates import BadTlsFiles, ServedCertificates


def page_context(
    tls: TlsSettings, *, seconds: Callable[[], float], on_problem: Callable[[str], None]
) -> ssl.SSLContext:
    """Return a context that shows each client the certificate of the name it asks for.

    Raises BadTlsFiles. `seconds` and `on_problem` as `ServedCertificates` takes them.
    """
    files = [(pair.certificate, pair.key) for _, pair in tls.each]
    certificates = ServedCertificates(files, _load, seconds=seconds, on_problem=on_problem)
    hall = _bare()

    def send_on(connection: ssl.SSLSocket | ssl.SSLObject, asked: str | None, _hall: ssl.SSLContext) -> None:
        certificates.refresh()
        connection.context = certificates.named(asked or "")

    hall.sni_callback = send_on  # called for clients that name nothing as well
    return hall


def _bare() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # a session would outlive its certificate, and open other names than its own
    return context


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    context = _bare()
    try:
        # the empty passphrase keeps OpenSSL from asking the terminal for one
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise BadTlsFiles(f"{certificate} and {key} cannot be used together") from error
    return context
