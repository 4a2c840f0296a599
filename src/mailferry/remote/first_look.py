"""What a server says before anybody logs in: certificate names, greeting, capabilities, ID.

Nothing secret is sent here, so the certificate is read and not judged: its names are what is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut

from mailferry import __version__
from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.net.carrier import Carrier, ClosedReason
from mailferry.net.connect import Connector
from mailferry.net.tls_client import wire_name
from mailferry.wire.server_text import decode_text, visible

LOOK_SECONDS = 15.0
MOST_OCTETS = 65536
MOST_NAMES = 100

_ID = f'ID ("name" "mailferry" "version" "{__version__}" "vendor" "mailferry")'.encode("ascii")
_QUESTIONS = (b"CAPABILITY", _ID, b"LOGOUT")
_CAPABILITY = re.compile(rb"(?:^\* |\[)CAPABILITY ([^\]\r\n]*)", re.IGNORECASE)
_SAYS_ID = re.compile(rb"^\* ID \((.*)\)", re.IGNORECASE)
_PAIR = re.compile(rb'"(name|vendor)" +"((?:[^"\\]|\\.){0,200})"', re.IGNORECASE)


@dataclass(slots=True)
class FirstLook:
    """What was seen at one server."""

    certificate_names: tuple[str, ...] = ()
    greeting: str = ""
    capabilities: tuple[str, ...] = ()
    server_id: str = ""
    """`name vendor`."""


async def first_look(
    connector: Connector, server: Server, *, reactor: Any, seconds: float = LOOK_SECONDS
) -> FirstLook:
    """Connect and look, within `seconds` twice: to connect, and to look. Raises Unavailable when nobody answers.

    A server that falls silent in between is described by what it had said.
    """
    plain = replace(server, tls=TlsMode.NONE)  # TLS is ours here: names are read even if they are wrong
    carrier = await connector.connect(plain, timeout=seconds)
    looker = _Looker(carrier, server)
    done = looker.done
    done.addTimeout(seconds, reactor)
    carrier.attach(looker)
    looker.begin()
    try:
        await done
    except TimedOut:
        pass
    finally:
        carrier.abort()
    return looker.seen


class _Looker:
    """The carrier's user: takes lines, asks one question after the other."""

    def __init__(self, carrier: Carrier, server: Server) -> None:
        self.seen = FirstLook()
        self.done: Deferred[None] = Deferred()
        self._carrier = carrier
        self._server = server
        self._tls = _Tls(server.host) if server.tls is TlsMode.IMPLICIT else None
        self._buffer = b""
        self._octets = 0
        self._asked = 0

    def begin(self) -> None:
        """Send what comes before the greeting: the client's part of TLS."""
        if self._tls is not None:
            self._tls.feed(b"")
            self._carrier.write(self._tls.outgoing())

    def received(self, data: bytes) -> None:
        """Take octets from the server."""
        self._octets += len(data)
        if self._octets > MOST_OCTETS:
            self._end()
            return
        if self._tls is not None:
            try:
                data = self._tls.feed(data)
            except SSL.Error:
                self._end()
                return
            self._carrier.write(self._tls.outgoing())
            if self._tls.names is not None:
                self.seen.certificate_names = self._tls.names
        self._buffer += data
        while b"\n" in self._buffer and not self.done.called:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._line(line.rstrip(b"\r"))

    def pressure(self, full: bool) -> None:
        """A few lines; nothing waits for the network here."""

    def closed(self, reason: ClosedReason) -> None:  # noqa: ARG002 - whatever it was, it is over
        """The server has gone."""
        self._end()

    def _end(self) -> None:
        if not self.done.called:
            self.done.callback(None)

    def _line(self, line: bytes) -> None:
        if not self.seen.greeting:
            self.seen.greeting = visible(decode_text(line))[:400]
            if self._server.protocol is Protocol.POP3:
                self._write(b"QUIT\r\n")
                self._end()
                return
            self._capabilities(line)
            self._ask()
            return
        self._capabilities(line)
        if (said := _SAYS_ID.match(line)) is not None:
            pairs = {key.lower(): value for key, value in _PAIR.findall(said[1])}
            words = b" ".join(pairs[key] for key in (b"name", b"vendor") if key in pairs)
            self.seen.server_id = visible(decode_text(words))
        if line.startswith(b"m%d " % self._asked):
            self._ask()

    def _capabilities(self, line: bytes) -> None:
        if (found := _CAPABILITY.search(line)) is not None:
            tokens = [token.decode("ascii", "replace").upper() for token in found[1].split()[:100]]
            self.seen.capabilities = tuple(dict.fromkeys((*self.seen.capabilities, *tokens)))

    def _ask(self) -> None:
        if self._asked == len(_QUESTIONS):
            self._end()
            return
        self._asked += 1
        self._write(b"m%d %s\r\n" % (self._asked, _QUESTIONS[self._asked - 1]))

    def _write(self, data: bytes) -> None:
        self._carrier.write(data if self._tls is None else self._tls.seal(data))


class _Tls:
    """One client handshake that believes anybody, over memory; fails with SSL.Error."""

    def __init__(self, host: str) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE, None)
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        self._connection = SSL.Connection(context, None)
        if not re.fullmatch(r"[0-9.]+|.*:.*", host):
            self._connection.set_tlsext_host_name(wire_name(host).encode("ascii"))
        self._connection.set_connect_state()
        self.names: tuple[str, ...] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take octets of the network, return those of the server."""
        if data:
            self._connection.bio_write(data)
        if self.names is None:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                return b""
            self.names = _names_of(self._connection.get_peer_certificate(as_cryptography=True))
        return _drained(lambda: self._connection.recv(16384))

    def seal(self, data: bytes) -> bytes:
        """Return `data` as the network carries it."""
        self._connection.send(data)
        return self.outgoing()

    def outgoing(self) -> bytes:
        """Return what the network must carry now."""
        return _drained(lambda: self._connection.bio_read(65536))


def _drained(read: Callable[[], bytes]) -> bytes:
    parts: list[bytes] = []
    while True:
        try:
            parts.append(read())
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return b"".join(parts)


def _names_of(certificate: x509.Certificate | None) -> tuple[str, ...]:
    if certificate is None:
        return ()
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = [
            str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        ]
    return tuple(visible(name) for name in names[:MOST_NAMES])
