# ruff: noqa: N803 - names that Twisted gives
"""Dialling: what an administrator reads when it fails, and which address is taken."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.error import DNSLookupError, getConnectError
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import Cause, Unavailable
from mailferry.net import connect
from mailferry.net.connect import Connector
from mailferry.net.dial import describe
from mailferry.net.listen import bind
from mailferry.net.sockets import sockets_for
from mailferry.wire.proxy_header import ProxyHeader, parse_proxy_header
from tests.kit.scripted import REC, silent
from tests.net.ears import Ear, kernel_socket


def imap(port: int, host: str = "127.0.0.1") -> Server:
    return Server(Protocol.IMAP, host, port, TlsMode.NONE)


async def hang_up(carrier: Any) -> None:
    ear = Ear()
    carrier.attach(ear)
    carrier.abort()
    await ear.end()


def closed_port() -> int:
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    sock.close()
    return port


@implementer(IHostnameResolver)
class Names:
    """A resolver that knows what a test tells it."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.silent = False

    def resolveHostName(  # noqa: N802 - Twisted's name
        self,
        receiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "",
    ) -> Any:
        self.asked.append(hostName)
        if self.silent:
            return
        if hostName == "explodes":
            raise DNSLookupError
        for address in self.known.get(hostName, []):
            receiver.addressResolved(IPv4Address("TCP", address, 0))
        receiver.resolutionComplete()


class ReactorWith:
    """The real reactor with another resolver; it knows which addresses were dialled."""

    def __init__(self, names: Names) -> None:
        self.nameResolver = names
        self.dialled: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


@pytest.fixture(autouse=True)
def _dialling_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def noting(reactor: Any) -> Any:
        sockets = sockets_for(reactor)
        original = sockets.dial

        def dial(host: str, port: int, **terms: Any) -> Any:
            if isinstance(reactor, ReactorWith):
                reactor.dialled.append(host)
            return original(host, port, **terms)

        sockets.dial = dial
        return sockets

    monkeypatch.setattr(connect, "sockets_for", noting)


async def unavailable(server: Server, connector: Connector | None = None, **terms: Any) -> str:
    with pytest.raises(Unavailable) as caught:
        await (connector or Connector(reactor)).connect(server, **terms)
    assert caught.value.cause is Cause.SERVER_DOWN
    assert str(server) in caught.value.text
    return caught.value.text


async def test_a_connection_is_made_with_nodelay_and_the_proxy_header_goes_first() -> None:
    rec = await REC().start()
    carrier = await Connector(reactor).connect(replace(imap(rec.port), proxy_header=True))
    assert kernel_socket(carrier).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert carrier.peer.port == rec.port
    carrier.write(b"a NOOP\r\n")
    talk = await rec.talk()
    await talk.expect(b"NOOP\r\n")
    header = parse_proxy_header(rec.received)
    assert header == ProxyHeader(16)  # who has no client speaks for himself
    assert rec.received[header.octets :] == b"a NOOP\r\n"
    await hang_up(carrier)
    await rec.stop()


async def test_a_refused_connection_says_so() -> None:
    assert "connection refused" in await unavailable(imap(closed_port()))


async def test_a_network_that_cannot_be_reached_is_told_in_words() -> None:
    assert describe(getConnectError((errno.EHOSTUNREACH, ""))) == "No route to host"


async def test_a_process_without_descriptors_left_is_no_fault_of_the_server_and_breaks_nothing() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    rec = await REC().start()
    connector = Connector(reactor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
    try:
        text = await unavailable(imap(rec.port), connector)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert "Too many open files" in text
    await rec.stop()


async def test_a_server_that_does_not_answer_ends_with_the_time_limit() -> None:
    sock = bind("127.0.0.1", 0, backlog=0)
    port = sock.getsockname()[1]
    fillers = []
    for _ in range(4):  # a full backlog drops further SYNs
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    text = await unavailable(imap(port), timeout=0.3)
    assert "no answer" in text
    for filler in [*fillers, sock]:
        filler.close()


@pytest.mark.parametrize("host", ["nowhere.test", "explodes", "bad name", "x" * 70 + ".邮件"])
async def test_a_name_that_does_not_resolve_says_so(host: str) -> None:
    names = ReactorWith(Names())
    text = await unavailable(imap(1, host), Connector(names))
    assert "does not resolve" in text or "no host name" in text
    assert names.dialled == []


async def test_a_resolver_that_does_not_answer_falls_under_the_time_limit() -> None:
    names = Names()
    names.silent = True
    assert "no answer within" in await unavailable(
        imap(1, "slow.test"), Connector(ReactorWith(names)), timeout=0.1
    )


async def test_a_name_in_chinese_is_asked_for_as_dns_carries_it() -> None:
    names = Names()
    await unavailable(imap(1, "邮件.公司.cn"), Connector(ReactorWith(names)))
    assert names.asked == ["xn--5nq051n.xn--55qx5d.cn"]


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    rec = await REC().start()
    machine = ReactorWith(Names(**{"two.test": ["127.0.0.2", "127.0.0.1"]}))
    carrier = await Connector(machine).connect(imap(rec.port, "two.test"))
    assert machine.dialled == ["127.0.0.2", "127.0.0.1"]
    await hang_up(carrier)
    await rec.stop()


async def test_all_addresses_refusing_says_it_once() -> None:
    machine = ReactorWith(Names(**{"two.test": ["127.0.0.2", "127.0.0.1"]}))
    text = await unavailable(imap(closed_port(), "two.test"), Connector(machine))
    assert text.count("connection refused") == 1


@pytest.mark.hazard("T37")
async def test_only_permitted_addresses_are_dialled_and_the_checked_one_is_the_dialled_one() -> None:
    rec = await REC().start()
    machine = ReactorWith(Names(**{"two.test": ["127.0.0.2", "127.0.0.1"], "one.test": ["127.0.0.2"]}))
    connector = Connector(machine, permitted=lambda a: a != ipaddress.ip_address("127.0.0.2"))
    carrier = await connector.connect(imap(rec.port, "two.test"))
    assert machine.dialled == ["127.0.0.1"]
    assert "allow_networks" in await unavailable(imap(rec.port, "one.test"), connector)
    assert "allow_networks" in await unavailable(imap(rec.port, "127.0.0.2"), connector)
    assert len(machine.dialled) == 1
    await hang_up(carrier)
    await rec.stop()


async def test_our_own_addresses_are_used_in_turn_and_only_for_their_family() -> None:
    rec = await REC().start()
    machine = ReactorWith(Names())
    connector = Connector(machine, source_addresses=["127.0.0.5", "::1", "127.0.0.6"])
    for expected in ("127.0.0.5", "127.0.0.6", "127.0.0.5"):
        carrier = await connector.connect(imap(rec.port))
        assert carrier.host.host == expected
        await hang_up(carrier)
    await rec.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Twisted drops that socket
async def test_an_address_that_is_not_ours_is_named() -> None:
    rec = await REC().start()
    connector = Connector(reactor, source_addresses=["192.0.2.77"])
    assert "our own address" in await unavailable(imap(rec.port), connector)
    await rec.stop()


@pytest.mark.parametrize("stage", ["dns", "tcp", "tls"])
async def test_cancelling_leaves_nothing_behind(stage: str) -> None:
    names = Names(**{"one.test": ["127.0.0.1"]})
    names.silent = stage == "dns"
    rec = await REC(silent).start()
    server = Server(Protocol.IMAP, "one.test", rec.port, TlsMode.IMPLICIT)
    dialling = ensureDeferred(Connector(ReactorWith(names)).connect(server))
    if stage == "tls":
        await (await rec.talk()).count(1)
    dialling.cancel()
    with pytest.raises(CancelledError):
        await dialling
    if stage == "tls":
        await (await rec.talk()).gone()
    await rec.stop()
