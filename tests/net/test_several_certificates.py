"""Several certificates at one listener: the name that a client asks for chooses, and each is renewed by itself."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from mailferry.model.access import Protocol
from mailferry.net.carrier import HandshakeFailed
from mailferry.net.served_certificates import BadTlsFiles
from mailferry.net.tls_server import ServerContexts
from tests.kit.tls_files import Issued, TlsFiles
from tests.net.ears import Door, Ear
from tests.net.test_tls_sessions import VERSIONS, Program

NAMES = (
    ("mail.new.test",),
    ("mail.other.test", "*.other.test"),
    ("*.new.test", "mail.new.test", "imap.other.test"),
)
OLDEST = pytest.mark.parametrize(
    "version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"]
)


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path / "ca")


@pytest.fixture
def issued(files: TlsFiles) -> list[Issued]:
    return [files.issue(*names) for names in NAMES]


def door_for(issued: list[Issued], clock: Clock | None = None, problems: list[str] | None = None) -> Door:
    default, *others = issued
    return Door(
        ServerContexts(
            default.certificate,
            default.key,
            Protocol.IMAP,
            also=[(one.certificate, one.key) for one in others],
            reactor=clock or reactor,
            on_problem=None if problems is None else problems.append,
        )
    )


def serial(issued: Issued) -> int:
    return x509.load_pem_x509_certificates(issued.certificate.read_bytes())[0].serial_number


def shake(port: int, name: bytes | None, version: int, alpn: bytes) -> int:
    """Ask for `name`; return the serial number of the certificate that is shown."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    context.set_alpn_protos([alpn])
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        raw.setblocking(True)
        inside = SSL.Connection(context, raw)
        if name is not None:
            inside.set_tlsext_host_name(name)
        inside.set_connect_state()
        inside.do_handshake()
        found = inside.get_peer_certificate(as_cryptography=True)
        assert found is not None
        return found.serial_number


async def shown(
    door: Door, name: bytes | None, *, version: int = SSL.TLS1_3_VERSION, alpn: bytes = b"imap"
) -> int:
    number = len(door.carriers)
    shaking = deferToThread(shake, door.port, name, version, alpn)
    carrier, ear = await door.carrier(number), Ear()
    carrier.attach(ear)
    try:
        await carrier.start_tls_server()
    finally:
        shaking.addErrback(lambda failure: failure.trap(SSL.Error))
        found = await shaking
        carrier.close()
        await ear.end()
    return int(found)


@OLDEST
async def test_a_client_is_shown_the_certificate_of_the_name_that_it_asks_for(
    issued: list[Issued], version: int
) -> None:
    door = door_for(issued)
    wanted = {
        None: 0,
        b"mail.new.test": 0,  # two have it: the earlier one's
        b"MAIL.New.Test": 0,
        b"mail.other.test": 1,
        b"pop3.other.test": 1,
        b"imap.other.test": 2,  # its own name comes before another's wildcard
        b"imap.new.test": 2,
        b"IMAP.NEW.TEST": 2,
        b"a.b.new.test": 0,  # a wildcard is for one label
        b"new.test": 0,
        b"test": 0,
        b"*.other.test": 1,
        b"\xff\xfe.other.test": 1,
        b"x" * 255: 0,
        b"." * 200: 0,
    }
    found = {name: await shown(door, name, version=version) for name in wanted}
    assert found == {name: serial(issued[number]) for name, number in wanted.items()}
    await door.stop()


async def test_each_certificate_is_renewed_by_itself_and_a_bad_one_stays_what_it_was(
    files: TlsFiles, issued: list[Issued]
) -> None:
    clock, problems = Clock(), []
    door = door_for(issued, clock, problems)
    default, other, _ = issued
    renewed, before = files.issue("mail.other.test", "new.name.test"), serial(other)
    other.certificate.write_bytes(renewed.certificate.read_bytes())
    for _ in range(2):
        clock.advance(1)
        assert await shown(door, b"mail.other.test") == before, "its key is not there yet"
    assert len(problems) == 1
    assert str(other.key) in problems[0]
    other.key.write_bytes(renewed.key.read_bytes())
    clock.advance(1)
    assert await shown(door, b"mail.other.test") == serial(renewed)
    assert await shown(door, b"new.name.test") == serial(renewed), "its names are read anew as well"
    assert await shown(door, b"pop3.other.test") == serial(default)
    assert await shown(door, None) == serial(default)
    assert len(problems) == 1
    await door.stop()


@pytest.mark.hazard("T8")
@VERSIONS
async def test_a_session_of_one_name_does_not_open_another(
    issued: list[Issued], version: object, carriers: str
) -> None:
    door, program = door_for(issued), Program(version)
    for name, own in (
        ("mail.new.test", False),
        ("mail.other.test", False),
        ("mail.other.test", True),
        ("pop3.other.test", True),  # the same certificate's
        ("imap.other.test", False),
        ("mail.other.test", False),
        ("mail.new.test", False),
    ):
        program.name = name
        assert await program.visit(door) is (own and carriers == "descriptor"), name
    await door.stop()


@pytest.mark.hazard("T7")
@pytest.mark.parametrize(
    "client", [{"version": SSL.TLS1_1_VERSION}, {"alpn": b"http/1.1"}], ids=["TLS 1.1", "a browser"]
)
async def test_the_terms_are_the_same_for_every_name(issued: list[Issued], client: dict[str, object]) -> None:
    door = door_for(issued)
    for name in (None, b"mail.other.test"):
        with pytest.raises(HandshakeFailed):
            await shown(door, name, **client)
    await door.stop()


def test_a_further_certificate_that_cannot_be_used_is_named(issued: list[Issued]) -> None:
    default, other, _ = issued
    other.key.write_text("hello")
    with pytest.raises(BadTlsFiles, match=str(other.key)):
        door_for([default, other])
