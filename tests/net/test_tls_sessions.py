"""What a TLS session may be used for again: nothing is renegotiated, sent early, or resumed at another door."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import Unavailable
from mailferry.net.connect import Connector
from mailferry.net.tls_server import ServerContexts
from tests.kit.scripted import REC
from tests.kit.tls_files import Issued, TlsFiles, TlsPeer
from tests.net.ears import Door, Ear

pytestmark = pytest.mark.hazard("T8")

EARLY_DATA = 42
"""RFC 8446 4.2.10."""


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return TlsFiles(tmp_path / "ca").issue("localhost")


def door_for(issued: Issued, protocol: Protocol = Protocol.IMAP, clock: Clock | None = None) -> Door:
    return Door(ServerContexts(issued.certificate, issued.key, protocol, reactor=clock or reactor))


class Program:
    """A mail program that remembers its last TLS session and offers it again; it knows of one version."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version
        self.session: ssl.SSLSession | None = None
        self.name: str | None = None
        """What it asks for."""
        self.extensions: list[list[int]] = []
        self.context._msg_callback = self._note

    async def visit(self, door: Door) -> bool:
        """Be greeted; return whether the door knew the session again."""
        number = len(door.carriers)
        visit = deferToThread(self._visit, door.port)
        carrier = await door.carrier(number)
        await carrier.start_tls_server()
        ear = Ear()
        carrier.attach(ear)
        carrier.write(b"* OK ready\r\n")
        reused: bool = await visit
        await ear.end()
        return reused

    def _visit(self, port: int) -> bool:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            self.context.wrap_socket(raw, session=self.session, server_hostname=self.name) as inside,
        ):
            assert inside.recv(100) == b"* OK ready\r\n"
            self.session = inside.session
            return bool(inside.session_reused)

    def _note(self, _link: Any, way: str, _version: Any, _content: Any, message: Any, data: bytes) -> None:
        """Keep the extensions of each ticket that came (RFC 8446 4.6.1)."""
        if way != "read" or message != 4 or self.context.maximum_version is not ssl.TLSVersion.TLSv1_3:
            return
        at = 4 + 4 + 4  # header, lifetime, age
        at += 1 + data[at]
        at += 2 + struct.unpack_from("!H", data, at)[0]
        end = at + 2 + struct.unpack_from("!H", data, at)[0]
        at += 2
        assert end == len(data)
        found = []
        while at < end:
            kind, length = struct.unpack_from("!HH", data, at)
            found.append(kind)
            at += 4 + length
        self.extensions.append(found)


VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)


@VERSIONS
async def test_a_session_is_known_again_at_its_own_door_and_at_no_other(
    issued: Issued, version: ssl.TLSVersion
) -> None:
    imap, pop3 = door_for(issued), door_for(issued, Protocol.POP3)
    program = Program(version)
    assert not await program.visit(imap)
    assert await program.visit(imap)
    assert not await program.visit(pop3)
    for door in (imap, pop3):
        await door.stop()


@VERSIONS
async def test_a_session_does_not_outlive_the_certificate_that_it_began_with(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    files, clock = TlsFiles(tmp_path / "ca"), Clock()
    first, second = files.issue("localhost"), files.issue("localhost")
    door, program = door_for(first, clock=clock), Program(version)
    await program.visit(door)
    first.certificate.write_bytes(second.certificate.read_bytes())
    first.key.write_bytes(second.key.read_bytes())
    clock.advance(1)
    assert not await program.visit(door)
    await door.stop()


async def test_no_ticket_allows_early_data(issued: Issued) -> None:
    door, program = door_for(issued), Program(ssl.TLSVersion.TLSv1_3)
    await program.visit(door)
    assert program.extensions, "no ticket came"
    assert not [one for one in program.extensions if EARLY_DATA in one]
    await door.stop()


def s_client(port: int, *words: str) -> str:
    """Let openssl connect, and return what it tells once the door has closed."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ign_eof", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=9,
        check=False,
    )
    return done.stdout + done.stderr


def allowing_early_data(session: str) -> str:
    """Return a saved session with 16 KiB of early data written into it, as no server of ours does."""
    der = base64.b64decode("".join(session.strip().splitlines()[1:-1]))

    def header(at: int) -> tuple[int, int]:
        """Return where an element's contents begin and end."""
        length, octets = der[at + 1], 0
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(der[at + 2 : at + 2 + octets])
        return at + 2 + octets, at + 2 + octets + length

    at, end = header(0)
    begin = at
    while at < end and der[at] < 0xAF:
        at = header(at)[1]
    inside = der[begin:at] + b"\xaf\x04\x02\x02\x40\x00" + der[at:end]
    made = base64.encodebytes(b"\x30\x82" + len(inside).to_bytes(2) + inside).decode()
    return f"-----BEGIN SSL SESSION PARAMETERS-----\n{made}-----END SSL SESSION PARAMETERS-----\n"


async def test_early_data_that_is_sent_all_the_same_is_neither_accepted_nor_heard(
    issued: Issued, tmp_path: Path
) -> None:
    door = door_for(issued)
    saved, forged, early = tmp_path / "session", tmp_path / "forged", tmp_path / "early"
    early.write_bytes(b"a LOGIN victim secret\r\nb LOGOUT\r\n")
    told, heard = [], []
    for number, words in enumerate((["-sess_out", saved], ["-sess_in", forged, "-early_data", early])):
        if number:
            forged.write_text(allowing_early_data(saved.read_text()))
        visit = deferToThread(s_client, door.port, *map(str, words))
        carrier, ear = await door.carrier(number), Ear()
        await carrier.start_tls_server()
        carrier.attach(ear)
        carrier.write(b"* OK ready\r\n")
        carrier.close()
        told.append(await visit)
        await ear.end()
        heard.append(bytes(ear.octets))
    assert "Early data was not sent" in told[0]
    assert "Early data was rejected" in told[1]
    assert "Reused, TLSv1.3" in told[1], "the session itself was taken"
    assert heard == [b"", b""]
    await door.stop()


async def test_a_client_cannot_have_a_session_negotiated_again(issued: Issued) -> None:
    door = door_for(issued)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)

    def talk() -> None:
        with socket.create_connection(("127.0.0.1", door.port), 10) as raw:
            raw.setblocking(True)
            inside = SSL.Connection(context, raw)
            inside.set_connect_state()
            inside.do_handshake()
            assert inside.recv(100) == b"* OK ready\r\n"
            assert inside.renegotiate()
            with pytest.raises(SSL.Error):
                inside.do_handshake()

    talking = deferToThread(talk)
    carrier, ear = await door.carrier(), Ear()
    await carrier.start_tls_server()
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    await talking
    await ear.end()
    await door.stop()


async def test_a_server_cannot_have_a_session_negotiated_again(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "ca")
    peer = TlsPeer(files.issue("localhost"), newest=SSL.TLS1_2_VERSION)

    def serve(listening: socket.socket) -> bool:
        """Ask for another handshake and read on; return whether there was one."""
        with listening.accept()[0] as raw:
            raw.settimeout(None)
            inside = SSL.Connection(peer.context, raw)
            inside.set_accept_state()
            inside.do_handshake()
            inside.send(b"* OK ready\r\n")
            inside.renegotiate()
            inside.do_handshake()
            inside.send(b"* OK asked\r\n")
            with contextlib.suppress(SSL.Error):  # which is how it is told of a refusal
                assert inside.recv(100) == b"a LOGOUT\r\n"
            return not inside.renegotiate_pending()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = deferToThread(serve, listening)
        port = listening.getsockname()[1]
        carrier = await Connector(reactor).connect(
            Server(Protocol.IMAP, "localhost", port, TlsMode.IMPLICIT, ca=str(files.ca))
        )
        ear = Ear()
        carrier.attach(ear)
        await ear.until(lambda: ear.octets == b"* OK ready\r\n* OK asked\r\n")
        carrier.write(b"a LOGOUT\r\n")
        renegotiated = await serving
        await ear.end()
        assert not renegotiated


async def test_a_server_must_prove_each_name_anew_whatever_session_we_had_with_it(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "ca")
    rec = await REC([b"* OK ready\r\n"], tls=TlsPeer(files.issue("imap.firm.test"))).start()
    connector = Connector(reactor)
    for name, proved in (("imap.firm.test", True), ("pop.firm.test", False), ("imap.firm.test", True)):
        server = Server(
            Protocol.IMAP, "127.0.0.1", rec.port, TlsMode.IMPLICIT, ca=str(files.ca), verify_name=name
        )
        if not proved:
            with pytest.raises(Unavailable, match="is not for"):
                await connector.connect(server)
            continue
        carrier, ear = await connector.connect(server), Ear()
        carrier.attach(ear)
        await ear.until(lambda ear=ear: ear.octets == b"* OK ready\r\n")
        carrier.close()
        await ear.end()
    await rec.stop()
