"""The certificates of the pages: by name, and read again when they change."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailferry.app.page_certificates import page_context
from mailferry.config.settings import CertificateSettings, TlsSettings
from mailferry.net.served_certificates import BadTlsFiles
from tests.kit.tls_files import Issued, TlsFiles


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "ca")


def settings(default: Issued, *others: Issued) -> TlsSettings:
    also = tuple(CertificateSettings(certificate=one.certificate, key=one.key) for one in others)
    return TlsSettings(certificate=default.certificate, key=default.key, also=also)


def shown(hall: ssl.SSLContext, name: str | None) -> bytes:
    """Return the certificate that a browser is shown, as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    browser = context.wrap_bio(back, there, server_hostname=name)
    server = hall.wrap_bio(there, back, server_side=True)
    for side in (browser, server, browser, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = browser.getpeercert(binary_form=True)
    assert found is not None
    return found


def der(issued: Issued) -> bytes:
    first, mark, _ = issued.certificate.read_text().partition(ssl.PEM_FOOTER)
    return ssl.PEM_cert_to_DER_cert(first + mark)


def test_a_browser_is_shown_the_certificate_of_the_name_that_it_asks_for(files: TlsFiles) -> None:
    default, other = files.issue("console.new.test"), files.issue("*.other.test")
    hall = page_context(settings(default, other), seconds=Clock().seconds, on_problem=pytest.fail)
    assert shown(hall, "console.other.test") == der(other)
    for name in (None, "console.new.test", "somewhere.test"):
        assert shown(hall, name) == der(default)


def test_a_renewed_certificate_is_shown_and_a_bad_one_changes_nothing(files: TlsFiles) -> None:
    clock, problems = Clock(), []
    default, renewed = files.issue("console.new.test"), files.issue("console.new.test")
    hall = page_context(settings(default), seconds=clock.seconds, on_problem=problems.append)
    before = der(default)
    default.certificate.write_bytes(renewed.certificate.read_bytes())
    clock.advance(1)
    assert shown(hall, None) == before
    assert len(problems) == 1
    default.key.write_bytes(renewed.key.read_bytes())
    clock.advance(1)
    assert shown(hall, None) == der(renewed) != before
    assert len(problems) == 1


def test_files_that_do_not_belong_together_are_named(files: TlsFiles) -> None:
    good, other = files.issue("console.new.test"), files.issue("console.new.test")
    good.key.write_bytes(other.key.read_bytes())
    with pytest.raises(BadTlsFiles, match=str(good.key)):
        page_context(settings(good), seconds=Clock().seconds, on_problem=pytest.fail)
