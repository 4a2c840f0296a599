"""One mail host of the lab: IMAP and POP3, plain with STARTTLS/STLS and implicit TLS, on free loopback ports.

A host keeps its ports over `stop` and `start`, so that a host that comes back is the same host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from mailferry.lab.certificates import CertificateFiles
from mailferry.lab.imap_host import ImapConnection
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.pop3_host import Pop3Connection
from mailferry.lab.premises import LabAccount, Premises
from mailferry.lab.quirks import quirks_named
from mailferry.lab.server_tls import ServerTls

LOOPBACK = "127.0.0.1"
SERVICES = ("imap", "imaps", "pop3", "pop3s")


class _Factory(ServerFactory):
    """Makes one connection object for each client and knows them all."""

    noisy = False

    def __init__(self, host: LabHost, protocol: str, *, implicit: bool) -> None:
        self.host = host
        self.protocol_name = protocol
        self.implicit = implicit
        self.connections: set[ImapConnection | Pop3Connection] = set()

    def buildProtocol(self, _: object) -> Protocol:  # noqa: N802 - Twisted's name
        host = self.host
        kind = ImapConnection if self.protocol_name == "imap" else Pop3Connection
        connection = kind(
            host.premises, host.reactor, None if self.implicit else host.tls_options, secure=self.implicit
        )
        self.connections.add(connection)
        connection.on_lost = lambda: self.connections.discard(connection)
        return connection


class LabHost:
    """A small mail host. Raises UnknownQuirk for a quirk that does not exist."""

    def __init__(
        self,
        reactor: Any,
        name: str,
        *,
        accounts: Mapping[str, LabAccount],
        tls: CertificateFiles | None = None,
        quirks: Iterable[str] = (),
        passwd_file: Path | None = None,
        master: tuple[str, bytes] | None = None,
        plaintext_login: bool = True,
    ) -> None:
        self.reactor = reactor
        self.premises = Premises(
            name=name,
            accounts=dict(accounts),
            quirks=quirks_named(quirks),
            passwd_file=passwd_file,
            master=master,
            plaintext_login=plaintext_login,
        )
        self.tls_options = (
            None if tls is None else ServerTls(tls, lambda: self.premises.has("tls_cert_other_name"))
        )
        self._ports: dict[str, int] = dict.fromkeys(SERVICES, 0)
        self._listening: dict[str, tuple[Any, _Factory]] = {}

    @property
    def imap_port(self) -> int:
        """Port of IMAP with STARTTLS; 0 before the first start."""
        return self._ports["imap"]

    @property
    def imaps_port(self) -> int:
        """Port of IMAP with implicit TLS; 0 without certificates."""
        return self._ports["imaps"]

    @property
    def pop3_port(self) -> int:
        """Port of POP3 with STLS; 0 before the first start."""
        return self._ports["pop3"]

    @property
    def pop3s_port(self) -> int:
        """Port of POP3 with implicit TLS; 0 without certificates."""
        return self._ports["pop3s"]

    def mailstore(self, address: str) -> Mailstore:
        """Return the mail of an account; KeyError when there is none."""
        return self.premises.store(address)

    def start(self) -> Deferred[None]:
        """Listen on all services that are not listening yet."""
        for service in SERVICES:
            self.switch_on(service)
        return succeed(None)

    def switch_on(self, service: str) -> None:
        """Listen on one service: imap, imaps, pop3 or pop3s; on its old port where it had one."""
        implicit = service.endswith("s")
        if service in self._listening or (implicit and self.tls_options is None):
            return
        factory = _Factory(self, service.removesuffix("s"), implicit=implicit)
        outer: Any = factory
        if self.tls_options is not None and implicit:
            outer = TLSMemoryBIOFactory(self.tls_options, isClient=False, wrappedFactory=factory)
            outer.noisy = False
        port = self.reactor.listenTCP(self._ports[service], outer, interface=LOOPBACK)
        self._ports[service] = port.getHost().port
        self._listening[service] = (port, factory)

    def switch_off(self, service: str) -> Deferred[None]:
        """Stop listening on one service and cut its connections."""
        entry = self._listening.pop(service, None)
        if entry is None:
            return succeed(None)
        port, factory = entry
        ended = [port.stopListening(), *(c.abort() for c in list(factory.connections))]
        return DeferredList([d for d in ended if d is not None]).addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Stop all services and cut all connections."""
        return DeferredList([self.switch_off(s) for s in list(self._listening)]).addCallback(lambda _: None)
