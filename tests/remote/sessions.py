"""Clients of ours that talk to scripted servers, without the login before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.profile import Profile
from mailferry.model.witness import Witness
from mailferry.net.connect import Connector
from mailferry.remote.imap_client import ImapClient
from mailferry.remote.open import OpenSession
from mailferry.remote.pop3_client import Pop3Client
from tests.kit.scripted import REC, Script, Talk

GENERIC = Profile(profile_id="generic", names={"en": "Generic"})
Answer = Callable[[Talk, bytes, bytes], Awaitable[bool]]


@dataclass
class Collected:
    """A sink that keeps what it is given; `events` is the order of things."""

    messages: dict[int, bytes] = field(default_factory=dict)
    sizes: dict[int, int | None] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    largest_chunk: int = 0
    _now: int | None = None
    _octets: bytearray = field(default_factory=bytearray)

    def begin(self, key: int, size: int | None) -> None:
        assert self._now is None, "a message inside a message"
        self._now, self._octets = key, bytearray()
        self.sizes[key] = size
        self.events.append(f"begin {key}")

    def chunk(self, data: bytes) -> None:
        assert self._now is not None
        assert data
        self.largest_chunk = max(self.largest_chunk, len(data))
        self._octets += data

    def end(self) -> None:
        assert self._now is not None
        assert self._now not in self.messages, "a message twice"
        self.messages[self._now] = bytes(self._octets)
        self.events.append(f"end {self._now}")
        self._now = None

    def broken(self) -> None:
        assert self._now is not None
        self.events.append(f"broken {self._now}")
        self._now = None


def server_at(port: int, protocol: Protocol, tls: TlsMode = TlsMode.NONE) -> Server:
    return Server(protocol=protocol, host="127.0.0.1", port=port, tls=tls)


async def session_at(
    port: int, protocol: Protocol, capabilities: bytes, residual: bytes = b""
) -> OpenSession:
    """Connect without a login; the capabilities are those that a login would have told."""
    from twisted.internet import reactor

    server = server_at(port, protocol)
    carrier = await Connector(reactor).connect(server)
    witness = Witness(server=server, login="u", confidential=True, proved_by="NAMESPACE")
    return OpenSession(carrier, protocol, tuple(capabilities.split()), residual, witness)


@asynccontextmanager
async def imap(
    script: Script,
    capabilities: bytes = b"IMAP4rev1",
    *,
    profile: Profile = GENERIC,
    clock: IReactorTime | None = None,
    residual: bytes = b"",
) -> AsyncIterator[tuple[ImapClient, REC]]:
    from twisted.internet import reactor

    rec = await REC(script).start()
    session = await session_at(rec.port, Protocol.IMAP, capabilities, residual)
    client = ImapClient(session, profile, clock or reactor)
    try:
        yield client, rec
    finally:
        client.close()
        await rec.stop()


@asynccontextmanager
async def pop3(
    script: Script, capabilities: bytes = b"", *, clock: IReactorTime | None = None
) -> AsyncIterator[tuple[Pop3Client, REC]]:
    from twisted.internet import reactor

    rec = await REC(script).start()
    session = await session_at(rec.port, Protocol.POP3, capabilities)
    client = Pop3Client(session, GENERIC, clock or reactor)
    try:
        yield client, rec
    finally:
        client.close()
        await rec.stop()


def answering(*answers: bytes) -> Script:
    """An IMAP server that answers each line with the next of `answers`; `%t` is the line's tag."""

    async def run(talk: Talk) -> None:
        for answer in answers:
            tag = (await talk.line()).split(b" ", 1)[0]
            talk.send(answer.replace(b"%t", tag))

    return run


def commands_of(rec: REC) -> list[bytes]:
    """The lines that the server got, without their tags."""
    lines = rec.received.split(b"\r\n")[:-1]
    return [line.split(b" ", 1)[1] if b" " in line else line for line in lines]
