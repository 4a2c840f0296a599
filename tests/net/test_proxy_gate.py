"""A listener behind a balancer, over real TCP: whose header is believed, and what becomes of the others."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from mailferry.model.access import Protocol
from mailferry.net.carrier import Address
from mailferry.net.proxy_gate import HEADER_SECONDS, is_trusted
from mailferry.net.tls_server import ServerContexts
from mailferry.wire.proxy_header import Endpoint, proxy_header
from tests.kit.scripted import dial, hang_up
from tests.kit.tls_files import TlsFiles
from tests.net.ears import Door, Ear

pytestmark = pytest.mark.hazard("T33")

HERE = [ipaddress.ip_network("127.0.0.0/8")]
ELSEWHERE = [ipaddress.ip_network("192.0.2.0/24")]
CLIENT, DOOR = Endpoint("203.0.113.9", 56324), Endpoint("192.0.2.1", 143)
VERSIONS = {
    "v1": b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 143\r\n",
    "v2": proxy_header(CLIENT, DOOR),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("way", ["octet by octet", "with what follows"])
async def test_the_client_is_who_the_balancer_names_and_nobody_is_greeted_before(
    version: str, way: str
) -> None:
    door = Door(proxies=HERE)
    client = await dial(door.port)
    header = VERSIONS[version]
    if way == "octet by octet":
        for number in range(len(header)):
            assert not door.carriers
            client.send(header[number : number + 1])
            await turns()
        client.send(b"a NOOP\r\n")
    else:
        client.send(header + b"a NOOP\r\n")
    carrier = await door.carrier()
    assert carrier.peer == Address("203.0.113.9", 56324)
    assert carrier.host == Address("192.0.2.1", 143)
    assert not carrier.loopback
    ear = Ear()
    carrier.attach(ear)
    await ear.until(lambda: ear.octets == b"a NOOP\r\n")
    carrier.write(b"a OK\r\n")
    await client.expect(b"a OK\r\n")
    await hang_up(client)
    await ear.end()
    await door.listening.stop()


async def test_a_balancer_that_speaks_for_itself_is_itself() -> None:
    door = Door(proxies=HERE)
    client = await dial(door.port)
    client.send(proxy_header(None, None))
    assert (await door.carrier()).peer.host == "127.0.0.1"
    await door.stop()
    await client.gone()


async def test_a_tls_hello_behind_the_header_finds_its_handshake(tmp_path: Path) -> None:
    files = TlsFiles(tmp_path)
    issued = files.issue("mail.example")
    from twisted.internet import reactor

    contexts = ServerContexts(issued.certificate, issued.key, Protocol.IMAP, reactor=reactor)
    door = Door(contexts, proxies=HERE)
    trust = ssl.create_default_context(cafile=str(files.ca))

    def talk() -> bytes:
        """Send header and hello in one segment."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = trust.wrap_bio(incoming, outgoing, server_hostname="mail.example")
        with socket.create_connection(("127.0.0.1", door.port), 10) as raw:
            octets = VERSIONS["v2"]
            while True:
                try:
                    inside.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(octets + outgoing.read())
                    octets = b""
                    incoming.write(raw.recv(65536))
            raw.sendall(outgoing.read())
            while True:
                try:
                    return inside.read(100)
                except ssl.SSLWantReadError:
                    incoming.write(raw.recv(65536))

    talking = deferToThread(talk)
    carrier = await door.carrier()
    await carrier.start_tls_server()
    assert carrier.peer.host == "203.0.113.9"
    carrier.write(b"* OK ready\r\n")
    assert await talking == b"* OK ready\r\n"
    await door.stop()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stranger_is_served_and_his_header_is_no_command_of_anybodys(version: str) -> None:
    door = Door(proxies=ELSEWHERE)
    client = await dial(door.port)
    carrier = await door.carrier()  # greeted at once: nothing is waited for
    client.send(VERSIONS[version])
    ear = Ear()
    carrier.attach(ear)
    await ear.until(lambda: ear.octets == VERSIONS[version])
    assert carrier.peer.host == "127.0.0.1"
    assert not door.faults
    await hang_up(client)
    await ear.end()
    await door.listening.stop()


@pytest.mark.parametrize(
    "octets", [b"a LOGIN u p\r\n", b"\0", VERSIONS["v2"][:13] + b"\x31\xff\xff", b"PROXY TCP4 x y 1 2\r\n"]
)
async def test_what_is_no_header_ends_the_connection_and_is_told(octets: bytes) -> None:
    door = Door(proxies=HERE)
    client = await dial(door.port)
    client.send(octets)
    await client.gone()
    assert [balancer for balancer, _ in door.faults] == ["127.0.0.1"]
    assert not door.carriers
    await door.listening.stop()


async def test_a_header_has_five_seconds_whatever_drips() -> None:
    clock = Clock()
    door = Door(proxies=HERE, clock=clock)
    client = await dial(door.port)
    for octet in VERSIONS["v1"][:4]:
        client.send(bytes([octet]))
        await turns()
        clock.advance(HEADER_SECONDS / 4)
        await turns()
    await client.gone()
    assert door.faults == [("127.0.0.1", "no PROXY header within 5 s")]
    assert not clock.getDelayedCalls()
    await door.listening.stop()


@pytest.mark.parametrize("sent", [b"", b"PRO", VERSIONS["v2"][:14]])
async def test_a_balancer_that_only_looks_whether_we_are_there_leaves_nothing(sent: bytes) -> None:
    clock = Clock()
    door = Door(proxies=HERE, clock=clock)
    client = await dial(door.port)
    client.send(sent)
    await turns()
    await hang_up(client)
    for _ in range(200):
        await turns()
        if not clock.getDelayedCalls():
            break
    assert not clock.getDelayedCalls()
    assert not door.faults
    await door.listening.stop()


async def test_half_a_header_does_not_keep_us_awake() -> None:
    door = Door(proxies=HERE)
    client = await dial(door.port)
    client.send(VERSIONS["v1"][:10])
    await turns()
    looked = len(list(door.listening._waiting))
    assert looked == 1
    (waiting,) = door.listening._waiting
    assert waiting._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 11
    await door.listening.stop()
    await client.gone()


def test_networks_hold_their_addresses_and_ipv4_inside_ipv6() -> None:
    assert is_trusted("127.0.0.1", HERE)
    assert is_trusted("::ffff:127.0.0.1", HERE)
    assert not is_trusted("127.0.0.1", ELSEWHERE)
    assert is_trusted("fe80::1%eth0", [ipaddress.ip_network("fe80::/10")])
    assert struct.calcsize("!12sBBH") == 16


async def turns(count: int = 20) -> None:
    """Let the reactor look at its sockets."""
    from twisted.internet import reactor, task

    for _ in range(count):
        await task.deferLater(reactor, 0)
