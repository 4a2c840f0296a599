"""What `mailferry init` finds out about a host before it writes anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.causes import RemoteFailure
from mailferry.net.connect import Connector

PROBE_SECONDS = 6.0

_CANDIDATES = {
    Protocol.IMAP: ((993, TlsMode.IMPLICIT), (143, TlsMode.STARTTLS)),
    Protocol.POP3: ((995, TlsMode.IMPLICIT), (110, TlsMode.STARTTLS)),
}


async def find_servers(
    host: str, reactor: Any, *, ports: Sequence[int] = ()
) -> tuple[dict[Protocol, Server], list[str]]:
    """Return the first address that works for each protocol, and what went wrong on the others.

    TLS is verified as it will be in service. `ports` are tried with STARTTLS and without TLS on
    loopback, besides the usual four.
    """
    connector = Connector(reactor)
    found: dict[Protocol, Server] = {}
    faults: list[str] = []
    for protocol, usual in _CANDIDATES.items():
        own = [(port, TlsMode.NONE if _loopback(host) else TlsMode.STARTTLS) for port in ports]
        for port, tls in (*own, *usual):
            server = Server(protocol, host, port, tls)
            greeting = await _greeting(connector, server, reactor, faults)
            if greeting is not None and _speaks(protocol, greeting):
                found[protocol] = server
                break
    return found, faults


async def _greeting(connector: Connector, server: Server, reactor: Any, faults: list[str]) -> bytes | None:
    plain = server if server.tls is TlsMode.IMPLICIT else replace(server, tls=TlsMode.NONE)
    try:
        carrier = await connector.connect(plain, timeout=PROBE_SECONDS)
    except RemoteFailure as failure:
        faults.append(failure.text)
        return None
    waiting = _FirstLine(reactor)
    carrier.attach(waiting)
    line = await waiting.line
    carrier.abort()
    return line


class _FirstLine:
    """Takes the server's first octets."""

    def __init__(self, reactor: Any) -> None:
        self.line: Deferred[bytes] = Deferred()
        self._octets = b""
        self._limit = reactor.callLater(PROBE_SECONDS, self._done)

    def received(self, data: bytes) -> None:
        self._octets += data[:512]
        if b"\n" in self._octets:
            self._done()

    def pressure(self, full: bool) -> None:
        """Nothing is sent."""

    def closed(self, reason: object) -> None:  # noqa: ARG002 - whatever the reason
        self._done()

    def _done(self) -> None:
        if self._limit.active():
            self._limit.cancel()
        if not self.line.called:
            self.line.callback(self._octets)


def _speaks(protocol: Protocol, greeting: bytes) -> bool:
    return greeting.startswith(b"* OK" if protocol is Protocol.IMAP else b"+OK")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
