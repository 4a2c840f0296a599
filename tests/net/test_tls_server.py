"""Our listeners' TLS: versions, application protocols, STARTTLS, and a certificate that is renewed."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from mailferry.model.access import Protocol
from mailferry.net.carrier import Ending, HandshakeFailed
from mailferry.net.served_certificates import BadTlsFiles
from mailferry.net.tls_server import ServerContexts
from tests.kit.scripted import Gone, dial, hang_up
from tests.kit.tls_files import Issued, TlsClient, TlsFiles
from tests.net.ears import Door, Ear, read_just_now


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "ca")


@pytest.fixture
def issued(files: TlsFiles) -> Issued:
    return files.issue("localhost")


def contexts(issued: Issued, protocol: Protocol = Protocol.IMAP) -> ServerContexts:
    return ServerContexts(issued.certificate, issued.key, protocol, reactor=reactor)


async def test_a_client_gets_tls_on_request_and_its_octets_come_out(issued: Issued) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    client.send(b"STARTTLS\r\n")
    await ear.until(lambda: ear.octets == b"STARTTLS\r\n")
    carrier.write(b"OK go\r\n")
    upgrade = carrier.start_tls_server()
    await client.expect(b"OK go\r\n")
    await client.upgrade(TlsClient())
    await upgrade
    assert carrier.secure is not None
    assert carrier.secure.version == "TLSv1.3"
    assert not carrier.secure.verified
    client.send(b"inside")
    carrier.write(b"welcome")
    await client.expect(b"welcome")
    await ear.until(lambda: ear.octets == b"STARTTLS\r\ninside")
    client.close()
    await ear.end()
    await client.gone()
    await door.stop()


async def test_a_goodbye_inside_tls_is_answered_and_is_the_end(issued: Issued) -> None:
    door = Door(contexts(issued))

    def talk() -> bytes:
        """Say goodbye, and wait for the other one's."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", door.port), 10) as raw,
            context.wrap_socket(raw, suppress_ragged_eofs=False) as inside,
        ):
            greeting = inside.recv(100)
            inside.sendall(b"last words")
            inside.unwrap()
            return greeting

    talking = deferToThread(talk)
    carrier, ear = await door.carrier(), Ear(half=True)
    await carrier.start_tls_server()
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    assert (await ear.end()).ending is Ending.FINISHED
    assert ear.octets == b"last words"
    assert not ear.finishes
    assert await talking == b"* OK ready\r\n"
    await door.stop()


async def test_more_than_one_read_of_records_arrives_whole_in_both_directions(issued: Issued) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    upgrade = carrier.start_tls_server()
    await client.upgrade(TlsClient())
    await upgrade
    carrier.attach(ear)
    octets = bytes(range(256)) * 12_000
    client.stop_reading()
    for number, way in enumerate((carrier.pause, carrier.resume)):
        way()
        carrier.write(octets)
        client.send(octets[number:])
    await ear.until(lambda: len(ear.octets) == 2 * len(octets) - 1)
    assert ear.octets == octets + octets[1:]
    assert ear.pressures == [True]
    client.read_on()
    assert await client.count(2 * len(octets)) == octets + octets
    await ear.until(lambda: ear.pressures[-1] is False)
    await hang_up(client)
    await ear.end()
    await door.stop()


@pytest.mark.hazard("T1")
async def test_octets_that_a_client_sends_behind_starttls_go_to_the_tls_layer_and_end_the_connection(
    issued: Issued,
) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    client.send(b"STARTTLS\r\n")
    await ear.until(lambda: bool(ear.octets))
    upgrade = carrier.start_tls_server()
    client.send(b"a NOOP\r\n")
    with pytest.raises(HandshakeFailed):
        await upgrade
    await ear.end()
    assert ear.octets == b"STARTTLS\r\n"
    await client.gone()
    await door.stop()


@pytest.mark.hazard("T1")
async def test_octets_held_from_before_tls_break_the_upgrade(issued: Issued) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    ear.on_octets = lambda data: carrier.pause()
    carrier.attach(ear)
    client.send(b"STARTTLS\r\n")
    await ear.until(lambda: bool(ear.octets))
    read_just_now(carrier, b"a NOOP\r\n")
    with pytest.raises(HandshakeFailed, match="before TLS"):
        await carrier.start_tls_server()
    await ear.end()
    await client.gone()
    assert ear.octets == b"STARTTLS\r\n"
    await door.stop()


@pytest.mark.hazard("T7")
@pytest.mark.parametrize(
    "client_tls",
    [
        {"newest": SSL.TLS1_1_VERSION},
        {"alpn": [b"http/1.1"]},
        {"alpn": [b"h2", b"http/1.1", b"pop3"]},
    ],
    ids=["TLS 1.1", "a browser", "another mail protocol"],
)
async def test_an_old_version_or_another_application_is_refused(
    issued: Issued, client_tls: dict[str, object]
) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    with pytest.raises(Gone):
        await client.upgrade(TlsClient(**client_tls))
    with pytest.raises(HandshakeFailed):
        await upgrade
    await ear.end()
    await client.gone()
    await door.stop()


async def test_a_client_that_names_our_application_or_none_is_welcome(issued: Issued) -> None:
    door = Door(contexts(issued))
    for number, alpn in enumerate((None, [b"imap"], [b"http/1.1", b"imap"])):
        client = await dial(door.port)
        carrier = await door.carrier(number)
        upgrade = carrier.start_tls_server()
        await client.upgrade(TlsClient(alpn=alpn))
        await upgrade
        await hang_up(client)
    await door.stop()


async def test_a_cancelled_handshake_closes_the_connection(issued: Issued) -> None:
    door = Door(contexts(issued))
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    upgrade.addErrback(lambda failure: None)
    upgrade.cancel()
    await ear.end()
    await client.gone()
    await door.stop()


async def presented(door: Door, number: int) -> bytes:
    client = await dial(door.port)
    carrier = await door.carrier(number)
    upgrade = carrier.start_tls_server()
    await client.upgrade(TlsClient())
    await upgrade
    shown = client.transport.getPeerCertificate().get_serial_number()
    await hang_up(client)
    return shown


async def test_a_renewed_certificate_is_shown_without_a_restart(files: TlsFiles, tmp_path: Path) -> None:
    first, second, clock = files.issue("localhost"), files.issue("localhost"), Clock()
    problems: list[str] = []
    cert, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    cert.write_bytes(first.certificate.read_bytes())
    key.write_bytes(first.key.read_bytes())
    door = Door(ServerContexts(cert, key, Protocol.IMAP, reactor=clock, on_problem=problems.append))
    before = await presented(door, 0)
    cert.write_bytes(second.certificate.read_bytes())
    assert await presented(door, 1) == before
    clock.advance(1)
    assert await presented(door, 2) == before
    assert len(problems) == 1
    assert str(key) in problems[0]
    clock.advance(1)
    assert await presented(door, 3) == before
    assert len(problems) == 1
    key.write_bytes(second.key.read_bytes())
    clock.advance(1)
    after = await presented(door, 4)
    assert after != before
    cert.unlink()
    clock.advance(1)
    assert await presented(door, 5) == after
    assert len(problems) == 2
    await door.stop()


@pytest.mark.parametrize(
    ("breakage", "names"),
    [
        ("no certificate", "certificate"),
        ("no key", "key"),
        ("certificate is text", "certificate"),
        ("key is text", "key"),
        ("key of another", "key"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    files: TlsFiles, tmp_path: Path, breakage: str, names: str
) -> None:
    good, other = files.issue("localhost"), files.issue("localhost")
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    cert.write_bytes(good.certificate.read_bytes())
    key.write_bytes(good.key.read_bytes())
    match breakage:
        case "no certificate":
            cert.unlink()
        case "no key":
            key.unlink()
        case "certificate is text":
            cert.write_text("hello")
        case "key is text":
            key.write_text("hello")
        case "key of another":
            key.write_bytes(other.key.read_bytes())
    with pytest.raises(BadTlsFiles) as caught:
        ServerContexts(cert, key, Protocol.IMAP, reactor=Clock())
    assert str(cert if names == "certificate" else key) in str(caught.value)
