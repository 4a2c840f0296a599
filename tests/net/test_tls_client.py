"""Who a server must prove to be, over real handshakes on loopback."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import reactor

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import Cause, Unavailable
from mailferry.net.connect import Connector
from mailferry.net.tls_client import wire_name
from tests.kit.evil import imap_behind_starttls
from tests.kit.scripted import REC, Expect, Upgrade, silent
from tests.kit.tls_files import TlsFiles, TlsPeer
from tests.net.ears import Ear, read_just_now

GREETING = b"* OK ready\r\n"


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "ca")


def imaps(port: int, **terms: Any) -> Server:
    return Server(Protocol.IMAP, "localhost", port, TlsMode.IMPLICIT, **terms)


async def greeted(server: Server) -> bytes:
    """Connect, take the greeting, and hang up."""
    carrier = await Connector(reactor).connect(server)
    ear = Ear()
    carrier.attach(ear)
    await ear.until(lambda: ear.octets.endswith(b"\r\n"))
    assert carrier.secure is not None
    assert carrier.secure.verified
    assert carrier.confidential
    carrier.close()
    await ear.end()
    return bytes(ear.octets)


async def refused(server: Server) -> str:
    """Try to connect and return the text of the refusal."""
    with pytest.raises(Unavailable) as caught:
        await Connector(reactor).connect(server)
    assert caught.value.cause is Cause.TLS_ERROR
    assert str(server) in caught.value.text
    return caught.value.text


async def test_a_good_certificate_is_accepted_and_tls_1_3_spoken(files: TlsFiles) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("localhost"))).start()
    assert await greeted(imaps(rec.port, ca=str(files.ca))) == GREETING
    await rec.stop()


async def test_the_version_that_was_agreed_is_told(files: TlsFiles) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("localhost"), newest=SSL.TLS1_2_VERSION)).start()
    carrier = await Connector(reactor).connect(imaps(rec.port, ca=str(files.ca)))
    assert carrier.secure is not None
    assert carrier.secure.version == "TLSv1.2"
    ear = Ear()
    carrier.attach(ear)
    carrier.close()
    await ear.end()
    await rec.stop()


@pytest.mark.hazard("T5")
@pytest.mark.parametrize(
    ("names", "terms", "ours", "text"),
    [
        (("mail.other.test",), {}, True, "is not for localhost"),
        (("localhost",), {"expired": True}, True, "has expired"),
        (("localhost",), {"not_yet": True}, True, "not valid yet"),
        (("localhost",), {}, False, "unknown authority"),
        (("*.localhost",), {}, True, "is not for localhost"),
    ],
)
async def test_a_certificate_that_does_not_prove_the_host_is_refused(
    *, files: TlsFiles, tmp_path: Path, names: tuple[str, ...], terms: dict[str, bool], ours: bool, text: str
) -> None:
    authority = files if ours else TlsFiles(tmp_path / "other")
    rec = await REC([GREETING], tls=TlsPeer(authority.issue(*names, **terms))).start()
    assert text in await refused(imaps(rec.port, ca=str(files.ca)))
    assert rec.received == b""
    await rec.stop()


@pytest.mark.hazard("T5")
async def test_the_systems_authorities_do_not_know_ours(files: TlsFiles) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("localhost"))).start()
    assert "unknown authority" in await refused(imaps(rec.port))
    await rec.stop()


async def test_verify_name_replaces_the_hosts_name(files: TlsFiles) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("imap.firm.test"))).start()
    server = imaps(rec.port, ca=str(files.ca), verify_name="imap.firm.test")
    assert await greeted(server) == GREETING
    assert "is not for pop.firm.test" in await refused(replace(server, verify_name="pop.firm.test"))
    await rec.stop()


async def test_an_address_is_verified_as_an_address(files: TlsFiles) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("127.0.0.1"))).start()
    server = replace(imaps(rec.port, ca=str(files.ca)), host="127.0.0.1")
    assert await greeted(server) == GREETING
    assert "is not for localhost" in await refused(imaps(rec.port, ca=str(files.ca)))
    await rec.stop()


@pytest.mark.hazard("T5")
async def test_a_pin_accepts_its_certificate_only_and_needs_neither_chain_nor_name(files: TlsFiles) -> None:
    issued, other = files.issue("elsewhere.test", expired=True), files.issue("localhost")
    rec = await REC([GREETING], tls=TlsPeer(issued)).start()
    assert await greeted(imaps(rec.port, pin=issued.pin)) == GREETING
    text = await refused(imaps(rec.port, pin=other.pin, ca=str(files.ca)))
    assert f"sha256:{issued.pin}" in text
    await rec.stop()


@pytest.mark.hazard("T5")
@pytest.mark.parametrize("newest", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
async def test_an_old_tls_version_is_refused_unless_the_address_says_legacy(
    files: TlsFiles, tmp_path: Path, newest: int
) -> None:
    rec = await REC([GREETING], tls=TlsPeer(files.issue("localhost", rsa=True), newest=newest)).start()
    server = imaps(rec.port, ca=str(files.ca))
    assert "legacy_tls=yes" in await refused(server)
    legacy = replace(server, legacy_tls=True)
    assert await greeted(legacy) == GREETING
    assert "is not for" in await refused(replace(legacy, verify_name="other.test"))
    assert "unknown authority" in await refused(replace(legacy, ca=str(TlsFiles(tmp_path / "o").ca)))
    await rec.stop()


@pytest.mark.hazard("T5")
async def test_a_weak_cipher_is_refused(files: TlsFiles) -> None:
    peer = TlsPeer(
        files.issue("localhost", rsa=True), newest=SSL.TLS1_2_VERSION, ciphers=b"aNULL:eNULL:@SECLEVEL=0"
    )
    rec = await REC([GREETING], tls=peer).start()
    assert "no cipher" in await refused(imaps(rec.port, ca=str(files.ca)))
    await rec.stop()


@pytest.mark.parametrize(
    "greeting", [b"* OK plain IMAP here\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["imap", "http"]
)
async def test_a_server_that_speaks_no_tls_is_named_as_such(greeting: bytes) -> None:
    rec = await REC([greeting]).start()
    assert "does not speak TLS" in await refused(imaps(rec.port))
    await rec.stop()


async def test_a_server_that_hangs_up_in_the_handshake_is_a_tls_failure() -> None:
    async def hang_up(talk: Any) -> None:
        await talk.count(1)
        talk.close()

    rec = await REC(hang_up).start()
    assert "closed the connection during the TLS handshake" in await refused(imaps(rec.port))
    await rec.stop()


async def test_a_handshake_that_stalls_ends_with_the_time_limit() -> None:
    rec = await REC(silent).start()
    with pytest.raises(Unavailable, match="did not end within") as caught:
        await Connector(reactor).connect(imaps(rec.port), timeout=0.2)
    assert caught.value.cause is Cause.SERVER_DOWN
    await rec.stop()


async def test_a_file_of_authorities_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    rec = await REC(silent).start()
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing")
    assert str(missing) in await refused(imaps(rec.port, ca=str(missing)))
    assert "holds no certificate" in await refused(imaps(rec.port, ca=str(empty)))
    await rec.stop()


async def test_a_changed_file_of_authorities_counts_at_once(files: TlsFiles, tmp_path: Path) -> None:
    other = TlsFiles(tmp_path / "other")
    rec = await REC([GREETING], tls=TlsPeer(files.issue("localhost"))).start()
    ca = tmp_path / "used.pem"
    ca.write_bytes(other.ca.read_bytes())
    connector, server = Connector(reactor), imaps(rec.port, ca=str(ca))
    with pytest.raises(Unavailable):
        await connector.connect(server)
    ca.write_bytes(files.ca.read_bytes() + other.ca.read_bytes())
    carrier = await connector.connect(server)
    ear = Ear()
    carrier.attach(ear)
    carrier.abort()
    await ear.end()
    await rec.stop()


def starttls(port: int, files: TlsFiles) -> Server:
    return Server(Protocol.IMAP, "localhost", port, TlsMode.STARTTLS, ca=str(files.ca))


async def test_a_plain_connection_becomes_tls_when_asked(files: TlsFiles) -> None:
    tls = TlsPeer(files.issue("localhost"))
    rec = await REC(
        [GREETING, Expect(b"a STARTTLS\r\n"), b"a OK go\r\n", Upgrade(tls), Expect(b"secret"), b"bye"]
    ).start()
    server = starttls(rec.port, files)
    carrier, ear = await Connector(reactor).connect(server), Ear()
    carrier.attach(ear)
    await ear.until(lambda: ear.octets == GREETING)
    assert carrier.secure is None
    carrier.write(b"a STARTTLS\r\n")
    await ear.until(lambda: ear.octets.endswith(b"a OK go\r\n"))
    await carrier.start_tls_client(server)
    carrier.write(b"secret")
    await ear.until(lambda: ear.octets.endswith(b"bye"))
    assert rec.talks[0].plain == b"a STARTTLS\r\n"
    assert rec.talks[0].received == b"secret"
    carrier.close()
    await ear.end()
    await rec.stop()


@pytest.mark.hazard("T2")
@pytest.mark.parametrize(
    "injected", [b"* CAPABILITY AUTH=PLAIN\r\n", b"b OK logged in\r\n" * 50], ids=["capability", "tagged OKs"]
)
async def test_octets_that_a_server_sends_behind_its_go_ahead_are_never_heard_inside_tls(
    files: TlsFiles, injected: bytes
) -> None:
    rec = await REC(imap_behind_starttls(injected, TlsPeer(files.issue("localhost")))).start()
    server = starttls(rec.port, files)
    carrier, ear = await Connector(reactor).connect(server), Ear()
    carrier.attach(ear)
    carrier.write(b"a STARTTLS\r\n")
    await ear.until(lambda: b"OK begin TLS" in ear.octets)
    heard = len(ear.octets)
    with contextlib.suppress(Unavailable):  # octets that came later than the go-ahead break the handshake
        await carrier.start_tls_client(server)
    assert len(ear.octets) == heard
    carrier.abort()
    await ear.end()
    assert len(ear.octets) == heard
    await rec.stop()


@pytest.mark.hazard("T2")
async def test_octets_held_from_before_tls_break_the_upgrade(files: TlsFiles) -> None:
    rec = await REC([GREETING]).start()
    server = starttls(rec.port, files)
    carrier = await Connector(reactor).connect(server)
    first, second = Ear(), Ear()
    first.on_octets = lambda data: carrier.pause()
    carrier.attach(first)
    await first.until(lambda: bool(first.octets))
    read_just_now(carrier, b"* OK [CAPABILITY AUTH=PLAIN] injected\r\n")
    with pytest.raises(Unavailable) as caught:
        await carrier.start_tls_client(server)
    assert caught.value.cause is Cause.PROTOCOL_ERROR
    carrier.attach(second)
    await second.end()
    assert second.octets == b""
    await rec.stop()


async def test_octets_cannot_be_written_while_it_is_not_known_to_whom(files: TlsFiles) -> None:
    rec = await REC([GREETING]).start()
    server = starttls(rec.port, files)
    carrier, ear = await Connector(reactor).connect(server), Ear()
    carrier.attach(ear)
    await ear.until(lambda: bool(ear.octets))
    handshake = carrier.start_tls_client(server)
    with pytest.raises(RuntimeError, match="during a TLS handshake"):
        carrier.write(b"password")
    carrier.abort()
    with pytest.raises(Unavailable):
        await handshake
    await ear.end()
    await rec.stop()


@pytest.mark.parametrize(
    ("name", "wire"),
    [("IMAP.Firm.TEST.", "imap.firm.test"), ("邮件.公司.cn", "xn--5nq051n.xn--55qx5d.cn")],
)
def test_names_go_out_as_dns_carries_them(name: str, wire: str) -> None:
    assert wire_name(name) == wire
