"""Our clients against a real Dovecot: logins, listings, copies, octet for octet."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from imaplib import Internaldate2tuple
from pathlib import Path

import pytest
import pytest_twisted

from mailferry.model.access import Credentials, Protocol, Secret, Server, TlsMode
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.model.mail import MessageFacts
from mailferry.net.connect import Connector
from mailferry.remote.imap_append import AppendStream
from mailferry.remote.imap_client import FlagChange, ImapClient
from mailferry.remote.open import open_session
from mailferry.remote.pop3_client import Pop3Client
from mailferry.remote.target_login import TargetAccess, TargetLogin, target_credentials
from mailferry.wire.imap_names import encode_mailbox
from tests.kit import peers
from tests.kit.fault_relay import FR, Fault, Kind
from tests.kit.peer_dovecot import Dovecot
from tests.kit.tls_files import TlsFiles
from tests.remote.sessions import GENERIC, Collected

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.deadline(60)]
USER, OTHER, PASSWORD = "u1@old.test", "u2@old.test", "Kiefer-88"
NAME = encode_mailbox("归档 2026年")
DATE = b"17-Jul-1996 02:44:25 +0800"


@pytest_twisted.async_yield_fixture
async def dovecot(tmp_path: Path) -> AsyncIterator[Dovecot]:
    issued = TlsFiles(tmp_path / "tls").issue("127.0.0.1")
    server = await peers.in_thread(
        peers.start,
        "dovecot",
        tmp_path,
        users={USER: PASSWORD, OTHER: PASSWORD},
        master=("boss", "m"),
        certificate=issued.certificate,
        key=issued.key,
    )
    yield server
    await peers.in_thread(server.stop)


async def imap_session(
    server: Dovecot,
    user: str = USER,
    *,
    port: int | None = None,
    tls: Path | None = None,
    credentials: Credentials | None = None,
) -> ImapClient:
    from twisted.internet import reactor

    where = Server(
        protocol=Protocol.IMAP,
        host="127.0.0.1",
        port=port or server.ports["imap"],
        tls=TlsMode.STARTTLS if tls else TlsMode.NONE,
        ca=str(tls) if tls else None,
    )
    me = credentials or Credentials(user, Secret(PASSWORD.encode()))
    session = await open_session(Connector(reactor), where, me, GENERIC, reactor=reactor)
    return ImapClient(session, GENERIC, reactor)


async def pop3_session(server: Dovecot, user: str = USER) -> Pop3Client:
    from twisted.internet import reactor

    where = Server(protocol=Protocol.POP3, host="127.0.0.1", port=server.ports["pop3"], tls=TlsMode.NONE)
    me = Credentials(user, Secret(PASSWORD.encode()))
    session = await open_session(Connector(reactor), where, me, GENERIC, reactor=reactor)
    return Pop3Client(session, GENERIC, reactor)


def message(number: int, size: int = 500) -> bytes:
    line = b"%06d " % number + b"x" * 60 + b"\r\n"
    return b"Subject: %d\r\n\r\n.\r\n" % number + line * (size // len(line)) + b"last"


class Copying:
    """The copier in small: each fetched message goes straight into the append stream."""

    def __init__(self, source: ImapClient, facts: dict[int, MessageFacts]) -> None:
        self.source = source
        self.facts = facts
        self.stream: AppendStream | None = None
        self.pauses = 0
        self.order: list[int] = []

    def on_pressure(self, full: bool) -> None:
        if full:
            self.pauses += 1
            self.source.pause()
        else:
            self.source.resume()

    def begin(self, key: int, size: int | None) -> None:
        assert self.stream is not None
        assert size is not None
        self.order.append(key)
        facts = self.facts[key]
        self.stream.begin_message(facts.flags, facts.internal_date, size)

    def chunk(self, data: bytes) -> None:
        assert self.stream is not None
        self.stream.chunk(data)

    def end(self) -> None:
        assert self.stream is not None
        self.stream.end_message()

    def broken(self) -> None:
        assert self.stream is not None
        self.stream.abort()


async def put(client: ImapClient, mailbox: bytes, bodies: list[bytes]) -> list[int | None]:
    stream = client.append_batch(mailbox)
    for body in bodies:
        stream.begin_message((b"\\Seen", b"$Work"), DATE, len(body))
        if body:
            stream.chunk(body)
        stream.end_message()
    return [result.uid for result in await stream.finish()]


async def listing(client: ImapClient, mailbox: bytes) -> dict[int, MessageFacts]:
    await client.select(mailbox, read_only=True)
    found: dict[int, MessageFacts] = {}
    await client.fetch_facts(b"1:*", lambda fact: found.__setitem__(fact.uid, fact))
    return found


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("plus", [True, False])
async def test_a_mailbox_is_copied_octet_for_octet(dovecot: Dovecot, batches: bool, plus: bool) -> None:
    source, target = await imap_session(dovecot), await imap_session(dovecot, OTHER)
    if not plus:
        target._link.capabilities -= {b"LITERAL+", b"LITERAL-"}
    assert await source.create(NAME)
    bodies = [message(n) for n in range(120)] + [
        b"\r\n",
        message(0),
        b"Subject: big\r\n\r\n" + b"y" * 3_000_000,
    ]
    uids = await put(source, NAME, bodies)
    assert uids == list(range(1, len(bodies) + 1))
    facts = await listing(source, NAME)
    assert facts[1] == MessageFacts(
        1, frozenset({b"\\Seen", b"$Work"}), facts[1].internal_date, len(bodies[0])
    )
    assert Internaldate2tuple(b'INTERNALDATE "%s"' % facts[1].internal_date) == Internaldate2tuple(
        b'INTERNALDATE "%s"' % DATE
    )

    assert await target.create(NAME, "archive")
    copying = Copying(source, facts)
    copying.stream = target.append_batch(NAME, batches=batches, on_pressure=copying.on_pressure)
    outcome = await source.fetch_bodies(list(facts), copying)
    results = await copying.stream.finish()
    assert outcome.missing == ()
    assert [r.uid for r in results] == list(range(1, len(bodies) + 1))

    copied = await listing(target, NAME)
    assert [copied[uid] for uid in sorted(copied)] == [facts[uid] for uid in copying.order]
    sink = Collected()
    await target.fetch_bodies(list(copied), sink)
    digests = [hashlib.sha256(sink.messages[uid]).digest() for uid in sorted(sink.messages)]
    assert digests == [hashlib.sha256(body).digest() for body in bodies]
    for client in (source, target):
        await client.logout()


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
async def test_a_source_that_breaks_off_leaves_no_partial_message(
    dovecot: Dovecot, kind: Kind, batches: bool
) -> None:
    relay = await FR(dovecot.ports["imap"], Fault(kind, "to_client", 150_000)).start()
    feeder, source = await imap_session(dovecot), await imap_session(dovecot, port=relay.port)
    target = await imap_session(dovecot, OTHER)
    await put(feeder, b"INBOX", [message(0), message(1, 300_000), message(2)])
    facts = await listing(source, b"INBOX")
    copying = Copying(source, facts)
    copying.stream = target.append_batch(b"INBOX", batches=batches, on_pressure=copying.on_pressure)
    with pytest.raises(Unavailable):
        await source.fetch_bodies(list(facts), copying)
    assert relay.struck == 1
    assert target.closed
    with pytest.raises(Unavailable):
        await copying.stream.finish()
    again = await imap_session(dovecot, OTHER)
    kept = {fact.size for fact in (await listing(again, b"INBOX")).values()}
    assert kept <= {len(message(0))}
    for client in (feeder, again):
        await client.logout()
    await relay.stop()


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
async def test_a_target_that_breaks_off_leaves_no_partial_message(
    dovecot: Dovecot, kind: Kind, batches: bool
) -> None:
    relay = await FR(dovecot.ports["imap"], Fault(kind, "to_server", 150_000)).start()
    source, target = await imap_session(dovecot), await imap_session(dovecot, OTHER, port=relay.port)
    await put(source, b"INBOX", [message(0), message(1, 300_000), message(2)])
    facts = await listing(source, b"INBOX")
    copying = Copying(source, facts)
    copying.stream = target.append_batch(b"INBOX", batches=batches, on_pressure=copying.on_pressure)
    await source.fetch_bodies(list(facts), copying)
    assert copying.order == [1, 2, 3]
    with pytest.raises(Unavailable):
        await copying.stream.finish()
    again = await imap_session(dovecot, OTHER)
    kept = {fact.size for fact in (await listing(again, b"INBOX")).values()}
    assert kept <= {len(message(0))}
    for client in (source, again):
        await client.logout()
    await relay.stop()


async def test_mailboxes_status_flags_and_moves(dovecot: Dovecot) -> None:
    client = await imap_session(dovecot)
    assert await client.create(NAME)
    assert not await client.create(NAME)
    await client.subscribe(NAME)
    assert NAME in await client.subscribed()
    boxes = {box.name: box for box in await client.list_mailboxes()}
    assert NAME in boxes
    assert client.unread_lists == ()
    assert await client.namespace() == (b"", boxes[b"INBOX"].delimiter)
    await put(client, b"INBOX", [message(n) for n in range(10)])
    status = await client.select(b"INBOX")
    assert (status.exists, status.uidnext, status.read_only) == (10, 11, False)
    assert status.permanent_flags is not None
    assert b"\\*" in status.permanent_flags
    await client.store_flags([1, 2], (b"\\Flagged",), FlagChange.REPLACE)
    flags: dict[int, frozenset[bytes]] = {}
    await client.fetch_flags(b"1:3", flags.__setitem__)
    assert flags == {
        1: frozenset({b"\\Flagged"}),
        2: frozenset({b"\\Flagged"}),
        3: frozenset({b"\\Seen", b"$Work"}),
    }
    assert status.highestmodseq is not None
    changed: dict[int, frozenset[bytes]] = {}
    await client.fetch_flags(b"1:*", changed.__setitem__, changed_since=status.highestmodseq)
    assert sorted(changed) == [1, 2]
    assert await client.move([4, 5], NAME) == {4: 1, 5: 2}
    assert await client.delete([1])
    told = await client.status_all([b"INBOX", NAME, b"nowhere"])
    assert {name: status.exists for name, status in told.items()} == {b"INBOX": 7, NAME: 2}
    await client.keepalive()
    await client.delete_mailbox(NAME)
    with pytest.raises(Refused):
        await client.select(NAME)
    await client.logout()


@pytest.mark.hazard("D7")
async def test_a_vanished_message_is_missing_and_the_others_come(dovecot: Dovecot) -> None:
    client = await imap_session(dovecot)
    await put(client, b"INBOX", [message(n) for n in range(3)])
    await client.select(b"INBOX")
    await client.delete([2])
    sink = Collected()
    outcome = await client.fetch_headers([1, 2, 3], sink)
    assert outcome.missing == (2,)
    assert sink.messages == {1: b"Subject: 0\r\n\r\n", 3: b"Subject: 2\r\n\r\n"}
    await client.logout()


async def test_an_append_to_nowhere_is_refused_message_by_message(dovecot: Dovecot) -> None:
    client = await imap_session(dovecot)
    stream = client.append_batch(b"Nowhere")
    for _ in range(3):
        stream.begin_message((), None, 4)
        stream.chunk(b"a: b")
        stream.end_message()
    results = await stream.finish()
    assert [(r.stored, r.code, r.whole_batch) for r in results] == [(False, "TRYCREATE", True)] * 3
    assert await put(client, b"INBOX", [message(1)]) == [1]
    await client.logout()


@pytest.mark.hazard("D10")
async def test_an_empty_message_is_refused_and_its_neighbours_can_go_alone(dovecot: Dovecot) -> None:
    client = await imap_session(dovecot)
    assert await put(client, b"INBOX", [message(1), b"", message(2)]) == [None, None, None]
    stream = client.append_batch(b"INBOX", batches=False)
    for body in (message(1), b"", message(2)):
        stream.begin_message((), None, len(body))
        if body:
            stream.chunk(body)
        stream.end_message()
    results = await stream.finish()
    assert [(r.stored, r.uid, r.whole_batch) for r in results] == [
        (True, 1, False),
        (False, None, False),
        (True, 2, False),
    ]
    assert not client.closed
    await client.logout()


async def test_pop3_gives_the_same_octets_and_headers(dovecot: Dovecot) -> None:
    imap = await imap_session(dovecot)
    bodies = [message(n) + b"\r\n" for n in range(150)]
    await put(imap, b"INBOX", bodies)
    await imap.logout()
    client = await pop3_session(dovecot)
    assert b"PIPELINING" in await client.capa()
    assert await client.stat() == (150, sum(map(len, bodies)))
    assert len(await client.list()) == 150
    assert len(set((await client.uidl()).values())) == 150
    sink, headers = Collected(), Collected()
    assert (await client.fetch(range(1, 152), sink)).refused.keys() == {151}
    assert [sink.messages[n] for n in range(1, 151)] == bodies
    await client.fetch([3], headers, top_lines=0)
    assert headers.messages == {3: b"Subject: 2\r\n\r\n"}
    await client.quit()


async def test_a_wrong_password_is_refused_and_a_master_opens_any_mailbox(
    dovecot: Dovecot, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as caught:
        await imap_session(dovecot, credentials=Credentials(USER, Secret(b"wrong")))
    assert caught.value.cause is Cause.BAD_CREDENTIALS
    for way in (TargetLogin.DOVECOT_MASTER, TargetLogin.MASTER):
        access = TargetAccess(way, "boss", Secret(b"m"))
        client = await imap_session(
            dovecot, credentials=target_credentials(access, OTHER), tls=tmp_path / "tls" / "ca.pem"
        )
        assert (await client.select(b"INBOX")).exists == 0
        await client.logout()
