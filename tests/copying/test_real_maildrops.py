"""Whole maildrops of real POP3 servers: each message arrives once, and what is known is not asked for again."""

from __future__ import annotations

import imaplib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from mailferry.copying.results import Mode
from mailferry.store import maildrops
from mailferry.store.database import Database
from tests.copying.rig import NEW, OLD, PASSWORD, PROFILE, Rig, endpoints, make_rig
from tests.kit import peers
from tests.kit.daemon import plain_user
from tests.kit.peer_courier import Courier
from tests.kit.peer_dovecot import Dovecot

pytestmark = [pytest.mark.deadline(90), pytest.mark.hazard("D2")]

MESSAGES: Sequence[bytes] = (
    b"Subject: plain\r\n\r\nplain\r\n",
    b"Subject: dots\r\n\r\n.one\r\n..two\r\n...three\r\n",
    b"Subject: lone dot\r\n\r\nabove\r\n.\r\nbelow\r\n",
    b"Subject: same\r\n\r\nfirst\r\n",
    b"Subject: same\r\n\r\nsecond\r\n",
    b"Subject: same\r\n\r\nfirst\r\n",
    b"Subject: eight bits\r\n\r\n\xd6\xd0\xce\xc4 \xe4\xb8\xad\r\n",
    b"Subject: long line\r\n\r\n" + b"x" * 70_000 + b"\r\n",
    b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 180_000,
    b"Subject: no body\r\n\r\n",
    b"Subject: ends with a dot\r\n\r\nthe end\r\n.\r\n",
    b"Subject: no last line end\r\n\r\nopen",
)


@dataclass
class Source:
    """A real server's maildrop: how mail gets into it and out of it, and how often it was read."""

    server: Dovecot | Courier
    deliver: Callable[[bytes], None]
    remove: Callable[[bytes], None]

    def sessions(self) -> list[int]:
        """Return how much each session retrieved: messages on Dovecot, octets on Courier."""
        return [int(count) for count in re.findall(r"retr=(\d+)", self.server.log_text())]

    def shown(self) -> Counter[bytes]:
        """Return the mail as POP3 shows it."""
        import poplib

        poplib._MAXLINE = 4 * 1024 * 1024  # type: ignore[attr-defined]
        client = poplib.POP3("127.0.0.1", self.server.ports["pop3"])
        client.user(OLD)
        client.pass_(PASSWORD)
        number = client.stat()[0]
        found = Counter(b"\r\n".join(client.retr(n + 1)[1]) + b"\r\n" for n in range(number))
        client.quit()
        return found


def dovecot(tmp_path: Path) -> Source:
    server = peers.dovecot(tmp_path, users={OLD: PASSWORD})

    def remove(subject: bytes) -> None:
        server.doveadm("expunge", "-u", OLD, "mailbox", "INBOX", "header", "subject", subject.decode())

    return Source(server, lambda octets: server.save(OLD, octets), remove)


def courier(tmp_path: Path) -> Source:
    server = peers.courier(tmp_path, users={OLD: PASSWORD})
    box = server.home(OLD) / "Maildir" / "new"
    numbers = iter(range(1, 1000))

    def deliver(octets: bytes) -> None:
        path = box / f"{1_700_000_000 + next(numbers)}.M1.here"
        path.write_bytes(octets.replace(b"\r\n", b"\n"))
        os.chown(path, plain_user().pw_uid, plain_user().pw_gid)

    def remove(subject: bytes) -> None:
        for path in (*box.iterdir(), *(box.parent / "cur").iterdir()):
            if b"Subject: " + subject in path.read_bytes():
                path.unlink()

    return Source(server, deliver, remove)


KINDS = {"dovecot": dovecot, "courier": courier}


@asynccontextmanager
async def between(kind: str, tmp_path: Path, store: Database) -> AsyncIterator[tuple[Source, Rig]]:
    """A filled maildrop of a source without IMAP, and a Dovecot as the target."""
    from twisted.internet import reactor

    source: Source = await peers.in_thread(KINDS[kind], tmp_path)
    target = await peers.in_thread(peers.dovecot, tmp_path, users={NEW: PASSWORD})
    try:
        target.doveadm("mailbox", "update", "-u", NEW, "--uid-validity", "77", "INBOX")
        for octets in MESSAGES:
            source.deliver(octets)
        rig = make_rig(source.server, target, store)
        ends = endpoints(reactor, {"pop3": source.server.ports["pop3"]}, target.ports, PROFILE)
        rig.desk = replace(rig.desk, endpoints=ends)
        yield source, rig
    finally:
        await peers.in_thread(source.server.stop)
        await peers.in_thread(target.stop)


def there(rig: Rig) -> Counter[bytes]:
    """Return the target's INBOX."""
    client = imaplib.IMAP4("127.0.0.1", rig.target.ports["imap"])
    client.login(NEW, PASSWORD)
    client.select("INBOX", readonly=True)
    _, answers = client.fetch("1:*", "(BODY.PEEK[])")
    client.logout()
    return Counter(answer[1] for answer in answers if isinstance(answer, tuple))


async def run(rig: Rig, mode: Mode = Mode.MIRROR) -> Any:
    """Run a pass, however short a time ago the last login was."""
    rig.store.run_now("later", lambda conn: maildrops.note(conn, rig.account_id, next_login_at=None))
    return await rig.run(mode)


async def last_session(source: Source, number: int) -> int:
    """Return how much the last session retrieved, once the log tells of `number` of them."""
    from twisted.internet import reactor

    while len(source.sessions()) < number:
        await deferLater(reactor, 0.02, lambda: None)
    assert len(source.sessions()) == number
    return source.sessions()[-1]


async def same(source: Source, rig: Rig) -> bool:
    here: Counter[bytes] = await peers.in_thread(source.shown)
    found: Counter[bytes] = await peers.in_thread(there, rig)
    assert found == here, [octets[:60] for octets in ((found - here) + (here - found))]
    return True


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.peer("dovecot", kind)) for kind in KINDS]
)
async def test_a_maildrop_arrives_whole_and_an_unchanged_one_is_not_read_again(
    lite: Database, tmp_path: Path, kind: str
) -> None:
    async with between(kind, tmp_path, lite) as (source, rig):
        first = await run(rig)
        assert await last_session(source, 1) > 0
        assert (first.cause, first.copied, first.clean) == (None, len(MESSAGES), True), first.cause_text
        assert await same(source, rig)
        again = await run(rig)
        assert (again.copied, again.deleted, again.clean) == (0, 0, True)
        assert await last_session(source, 3) == 0, "what is known is not read again"
        source.remove(b"plain")
        source.deliver(b"Subject: new\r\n\r\n.new\r\n")
        changed = await run(rig)
        assert (changed.copied, changed.deleted, changed.held, changed.clean) == (1, 1, {}, True)
        assert await same(source, rig)
        late = await run(rig, Mode.ADD_ONLY)
        assert (late.copied, late.clean) == (0, True)
        last = await run(rig)
        assert last.clean


@pytest.mark.peer("courier", "dovecot")
async def test_a_server_that_wants_a_pause_between_two_logins_gets_it(lite: Database, tmp_path: Path) -> None:
    async with between("courier", tmp_path, lite) as (source, rig):
        assert (await rig.run()).clean
        assert isinstance(source.server, Courier)
        logins = source.server.log_text().count("LOGIN, user")
        soon = await rig.run()
        assert soon.waits is not None
        assert 5 < soon.waits.seconds <= 11
        assert source.server.log_text().count("LOGIN, user") == logins, "it is not even asked"


@pytest.mark.hazard("D6")
@pytest.mark.peer("dovecot")
async def test_a_real_server_that_changes_all_its_uidls_is_matched_and_not_copied_again(
    lite: Database, tmp_path: Path
) -> None:
    async with between("dovecot", tmp_path, lite) as (source, rig):
        assert (await run(rig)).copied == len(MESSAGES)
        server = source.server
        assert isinstance(server, Dovecot)
        await peers.in_thread(lambda: server.stop(keep=True))
        server.options = replace(server.options, uidl_format="%v.%u")
        await peers.in_thread(server.start)
        source.deliver(b"Subject: new\r\n\r\n")
        result = await run(rig)
        assert (result.copied, result.deleted, result.held, result.clean) == (1, 0, {}, True)
        assert await same(source, rig)


@pytest.mark.hazard("D25")
@pytest.mark.peer("dovecot")
async def test_what_a_real_pop3_shows_and_imap_hides_arrives_once_and_stays_when_the_window_moves_on(
    lite: Database, tmp_path: Path
) -> None:
    from twisted.internet import reactor

    async with between("dovecot", tmp_path, lite) as (pop3, rig):
        window: Source = await peers.in_thread(dovecot, tmp_path)
        try:
            for octets in MESSAGES[6:-1]:  # the last one has a line end over POP3 only
                window.deliver(octets)
            old = {"imap": window.server.ports["imap"], "pop3": pop3.server.ports["pop3"]}
            rig.desk = replace(rig.desk, endpoints=endpoints(reactor, old, rig.target.ports, PROFILE))
            result = await run(rig)
            assert (result.cause, result.clean) == (None, True), result.cause_text
            assert await same(pop3, rig)
            window.remove(b"eight bits")  # a day later IMAP does not show it any more
            for _ in range(3):
                result = await run(rig)
                assert result.clean
            assert await same(pop3, rig)
        finally:
            await peers.in_thread(window.server.stop)
