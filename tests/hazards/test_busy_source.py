"""Ten clients that deliver, delete, move and re-flag at the source while the copy runs: both sides end equal."""

from __future__ import annotations

import imaplib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.store.database import Database
from tests.copying.rig import OLD, PASSWORD, Rig, dovecots, make_rig
from tests.kit import oracle, peers
from tests.kit.peer_plugin import require

pytestmark = [pytest.mark.deadline(200), pytest.mark.hazard("D7")]
CLIENTS = 10
MAILBOXES = ("INBOX", "Work", "Archive")
BARE = "imap_capability = IMAP4rev1 ENABLE NAMESPACE UIDPLUS SPECIAL-USE LITERAL+"
SOURCES = {"QRESYNC": "", "no extensions": BARE + "\nmail_always_cache_fields = flags"}


@pytest.fixture(params=["no extensions", pytest.param("QRESYNC", marks=pytest.mark.slow)])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    require("dovecot")
    pair = dovecots(tmp_path, source={"settings": SOURCES[request.param]})
    yield pair
    for host in pair:
        host.stop()


class Client(threading.Thread):
    """Somebody's mail program, which does not wait for the copy; `done` counts what the server acknowledged."""

    def __init__(self, port: int, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"client {number}")
        self._port, self._number, self._halt = port, number, stop
        self._random = random.Random(number)
        self.done = dict.fromkeys(("append", "delete", "move", "flags"), 0)
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            with imaplib.IMAP4("127.0.0.1", self._port, timeout=20) as session:
                session.login(OLD, PASSWORD)
                while not self._halt.is_set():
                    self._step(session)
        except BaseException as failure:
            self.failed = failure

    def _step(self, session: imaplib.IMAP4) -> None:
        what = self._random.choice(("append", "append", "delete", "move", "flags"))
        mailbox = self._random.choice(MAILBOXES)
        if what == "append":
            octets = b"Subject: client %d, %d\r\n\r\n%s\r\n" % (
                self._number,
                self.done["append"],
                b"new " * self._random.randrange(400),
            )
            answer = session.append(mailbox, self._flags(), imaplib.Time2Internaldate(1_600_000_000), octets)
        else:
            session.select(mailbox)
            uids = session.uid("SEARCH", "ALL")[1][0].split()
            if not uids:
                return
            uid = self._random.choice(uids).decode()
            if what == "flags":
                answer = session.uid("STORE", uid, "FLAGS", self._flags())
            elif what == "delete":
                session.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
                answer = session.uid("EXPUNGE", uid)
            else:
                to = self._random.choice([name for name in MAILBOXES if name != mailbox])
                session.uid("COPY", uid, to)
                session.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
                answer = session.uid("EXPUNGE", uid)
        self.done[what] += answer[0] == "OK"

    def _flags(self) -> str:
        return self._random.choice(("(\\Seen)", "(\\Flagged $Label1)", "(\\Answered \\Seen)", "($Work)"))


def fill(host: Any, count: int) -> None:
    with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        for name in MAILBOXES[1:]:
            session.create(name)
        for number in range(count):
            octets = b"Subject: %d\r\n\r\n%s\r\n" % (number // 2, b"text " * (number // 2 % 50))
            when = imaplib.Time2Internaldate(1_500_000_000 + number)
            session.append(MAILBOXES[number % 3], "(\\Seen)" if number % 2 else "", when, octets)


async def passes_among(rig: Rig, passes: int) -> list[Client]:
    """Run passes while the clients work; no pass may fail for what they do."""
    stop = threading.Event()
    clients = [Client(rig.source.ports["imap"], number, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for _ in range(passes):
            result = await rig.run(approved=True)
            assert result.cause is None, result.cause_text
            assert result.failures == []
            assert result.doubled == 0
    finally:
        stop.set()
        await peers.in_thread(lambda: [client.join(30) for client in clients])
    broken = [(client.failed, client.failed.__context__) for client in clients if client.failed is not None]
    assert not broken, (
        f"what leaving met, what the session broke by; the source's log:\n{rig.source.log_text()}"
    )
    return clients


async def test_ten_clients_at_once_lose_and_double_nothing(hosts: tuple[Any, Any], lite: Database) -> None:
    rig = make_rig(*hosts, lite, batch_messages=10)
    await peers.in_thread(fill, rig.source, 240)
    clients = await passes_among(rig, 4)
    for what in ("append", "delete", "move", "flags"):
        assert sum(client.done[what] for client in clients) > CLIENTS, f"hardly anybody did {what}"
    result = await rig.run(approved=True)
    assert (result.clean, result.skipped, result.known_skips) == (True, 0, 0)
    here = await peers.in_thread(oracle.read, rig.source, OLD)
    there = await peers.in_thread(oracle.read, rig.target, OLD)
    assert oracle.differences(here, there) == []
    again = await rig.run(last=True, approved=True)
    assert (again.copied, again.moved, again.deleted, again.verified) == (0, 0, 0, True)
