"""How a handshake begins at our doors: with a whole first message, however it comes, that asks for what we are."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from mailferry.model.access import Protocol
from mailferry.net import chosen, tls_door
from mailferry.net.carrier import Ending, HandshakeFailed
from mailferry.net.client_hello import ClientHello, read_hello
from mailferry.net.served_certificates import BadTlsFiles
from mailferry.net.tls_server import ServerContexts
from tests.kit.tls_files import Issued, TlsFiles
from tests.net.ears import Door, Ear

PLACES = (1, 3, 7, 40, 43, 100)
"""Where the first message is cut."""


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return TlsFiles(tmp_path / "ca").issue("localhost")


def door_for(issued: Issued) -> Door:
    return Door(ServerContexts(issued.certificate, issued.key, Protocol.IMAP, reactor=reactor))


class Client:
    """The client side of TLS over a socket, whose first octets go out as a test wants; all of it blocks."""

    def __init__(self, port: int, *protocols: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        self.raw = socket.create_connection(("127.0.0.1", port), 10)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._back, self._there = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inside = context.wrap_bio(self._back, self._there)
        with pytest.raises(ssl.SSLWantReadError):
            self._inside.do_handshake()
        self.hello = self._there.read()

    def in_records(self) -> bytes:
        """Return the first message in several records."""
        places = [5, *(5 + place for place in PLACES), len(self.hello)]
        pieces = [self.hello[begin:end] for begin, end in pairwise(places)]
        return b"".join(self.hello[:3] + struct.pack("!H", len(piece)) + piece for piece in pieces)

    def until_greeted(self, last: bytes = b"") -> bytes:
        """Go on from what was sent until a greeting came, then leave with `last` and no goodbye."""
        with self.raw:
            self._asked(self._inside.do_handshake)
            greeting = self._asked(self._inside.read)
            self.raw.sendall(last)
        return greeting

    def until_told_goodbye(self) -> bytes:
        """Talk without a pause; return what is said until a goodbye comes, without which it is an ssl.SSLError."""
        heard = b""
        with self.raw:
            self._asked(self._inside.do_handshake)
            for _ in range(9):
                self._inside.write(b"a NOOP\r\n")
            while octets := self._asked(self._inside.read):
                heard += octets
        return heard

    def _asked(self, ask: Callable[[], bytes | None]) -> bytes:
        while True:
            try:
                return ask() or b""
            except ssl.SSLWantReadError:
                pass
            finally:
                self.raw.sendall(self._there.read())
            octets = self.raw.recv(65536)
            if not octets:
                self._back.write_eof()
            self._back.write(octets)


@pytest.mark.parametrize("cut", ["records", "segments", "both"])
async def test_a_first_message_in_pieces_is_a_first_message(issued: Issued, cut: str) -> None:
    door = door_for(issued)
    client = Client(door.port, "imap")
    octets = client.hello if cut == "segments" else client.in_records()
    carrier, ear = await door.carrier(), Ear()
    upgrade = carrier.start_tls_server()

    def talk() -> bytes:
        for number in range(1 if cut == "records" else len(octets)):
            client.raw.sendall(octets if cut == "records" else octets[number : number + 1])
        return client.until_greeted()

    talking = deferToThread(talk)
    await upgrade
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    assert await talking == b"* OK ready\r\n"
    await ear.end()
    await door.stop()


@pytest.mark.hazard("T7")
async def test_a_refused_application_is_told_by_its_alert(issued: Issued) -> None:
    door = door_for(issued)
    client = Client(door.port, "http/1.1")
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    client.raw.sendall(client.hello)
    with pytest.raises(HandshakeFailed, match="another application protocol"):
        await upgrade
    await ear.end()
    with pytest.raises(ssl.SSLError) as refused:
        await deferToThread(client.until_greeted)
    assert "NO_APPLICATION_PROTOCOL" in str(refused.value).upper().replace(" ", "_")
    assert not ear.octets
    await door.stop()


@pytest.mark.hazard("T7")
@pytest.mark.parametrize("way", ["records", "after an alert"])
async def test_nobody_between_gets_a_browser_past_the_door(issued: Issued, way: str) -> None:
    """What is put before a browser's first message, or where it is cut, is no part of what both ends prove."""
    door = door_for(issued)
    client = Client(door.port, "http/1.1")
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    client.raw.sendall(client.in_records() if way == "records" else b"\x15\3\1\0\2\1\x5a" + client.hello)
    with pytest.raises(HandshakeFailed):
        await upgrade
    await ear.end()
    assert not ear.octets
    client.raw.close()
    await door.stop()


@pytest.mark.hazard("T1")
@pytest.mark.parametrize("said", [b"a NOOP\r\n", b"\r", b"\x16\3\1\0\0", b"\x16\3\1\0\4\2\0\0\0"])
async def test_what_is_no_first_message_ends_the_connection(issued: Issued, said: bytes) -> None:
    door = door_for(issued)
    raw = socket.create_connection(("127.0.0.1", door.port), 10)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    raw.sendall(said)
    raw.shutdown(socket.SHUT_WR)
    with pytest.raises(HandshakeFailed):
        await upgrade
    await ear.end()
    assert not ear.octets
    raw.close()
    await door.stop()


@pytest.mark.parametrize("kept", [0, 1, 5, 200])
async def test_a_client_that_leaves_within_its_first_message_is_gone(issued: Issued, kept: int) -> None:
    door = door_for(issued)
    client = Client(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    upgrade = carrier.start_tls_server()
    client.raw.sendall(client.hello[:kept])
    client.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(HandshakeFailed, match="closed the connection"):
        await upgrade
    await ear.end()
    client.raw.close()
    await door.stop()


async def test_a_first_message_that_is_not_whole_is_looked_at_once_and_costs_no_tls(
    issued: Issued, monkeypatch: pytest.MonkeyPatch, carriers: str
) -> None:
    if carriers != "descriptor":
        pytest.skip("Twisted's TLS reads it itself")
    looks: list[ClientHello | int] = []

    def counted(octets: memoryview) -> ClientHello | int:
        looks.append(read_hello(octets))
        return looks[-1]

    monkeypatch.setattr(tls_door, "read_hello", counted)
    door = door_for(issued)
    slow = Client(door.port)
    upgrade = (await door.carrier()).start_tls_server()
    slow.raw.sendall(slow.hello[:-1])
    for number in range(1, 4):  # turns of the reactor
        other = Client(door.port)
        other.raw.sendall(other.hello)
        greeted = deferToThread(other.until_greeted)
        carrier, ear = await door.carrier(number), Ear()
        await carrier.start_tls_server()
        carrier.attach(ear)
        carrier.write(b"* OK ready\r\n")
        await greeted
        await ear.end()
    assert [look for look in looks if isinstance(look, int)] == [len(slow.hello)]
    assert not upgrade.called
    assert door.carriers[0]._tls._inside is None  # type: ignore[attr-defined]
    slow.raw.sendall(slow.hello[-1:])
    slow.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(HandshakeFailed):
        await upgrade
    slow.raw.close()
    await door.stop()


async def test_an_end_without_a_goodbye_is_no_orderly_one(issued: Issued, carriers: str) -> None:
    if carriers != "descriptor":
        pytest.skip("Twisted's TLS takes a FIN for a goodbye")
    door = door_for(issued)
    client = Client(door.port)
    client.raw.sendall(client.hello)
    talking = deferToThread(client.until_greeted)
    carrier, ear = await door.carrier(), Ear()
    await carrier.start_tls_server()
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    await talking
    assert (await ear.end()).ending is Ending.LOST
    await door.stop()


async def test_a_client_that_talks_on_hears_what_was_said_last_and_a_goodbye(issued: Issued) -> None:
    door = door_for(issued)
    client = Client(door.port)
    client.raw.sendall(client.hello)
    talking = deferToThread(client.until_told_goodbye)
    carrier, ear = await door.carrier(), Ear()
    await carrier.start_tls_server()
    carrier.write(b"* BYE\r\n")
    carrier.close()
    carrier.attach(ear)
    assert await talking == b"* BYE\r\n"
    await ear.end()
    await door.stop()


async def test_a_broken_record_ends_a_session_with_its_reason(issued: Issued, carriers: str) -> None:
    door = door_for(issued)
    client = Client(door.port)
    client.raw.sendall(client.hello)
    talking = deferToThread(client.until_greeted, b"\x17\3\3\0\x20" + bytes(32))
    carrier, ear = await door.carrier(), Ear()
    await carrier.start_tls_server()
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    await talking
    end = await ear.end()
    assert end.ending is Ending.TLS
    assert "bad record mac" in end.text
    await door.stop()


async def test_a_python_without_what_we_take_of_it_has_pyopenssls_tls(
    issued: Issued, monkeypatch: pytest.MonkeyPatch, carriers: str
) -> None:
    monkeypatch.setattr(chosen, "HAS_TLS_ON_SOCKETS", False)
    door = door_for(issued)
    client = Client(door.port)
    client.raw.sendall(client.hello)
    talking = deferToThread(client.until_greeted)
    carrier, ear = await door.carrier(), Ear()
    await carrier.start_tls_server()
    if carriers == "descriptor":
        assert isinstance(carrier._tls.connection, SSL.Connection)  # type: ignore[attr-defined]
    carrier.attach(ear)
    carrier.write(b"* OK ready\r\n")
    assert await talking == b"* OK ready\r\n"
    await ear.end()
    await door.stop()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(issued: Issued, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(issued.key.read_bytes(), None)
    issued.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(BadTlsFiles, match="used together"):
        tls_door.load(issued.certificate, issued.key, Protocol.IMAP, b"DEFAULT")
