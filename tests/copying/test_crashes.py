"""Killed at each labelled place, and run again: nothing lost, nothing twice, nothing altered (hazard D1)."""

from __future__ import annotations

import imaplib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.crash_labels import COPY_LABELS
from tests.copying.rig import OLD, PASSWORD, dovecots, make_account
from tests.kit import crash, oracle
from tests.kit.peer_plugin import require
from tests.kit.stores import fresh_database
from mailferry.store.database import Database

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.hazard("D1"), pytest.mark.deadline(120)]

ROOT = Path(__file__).parents[2]
FIRST_COPY = ["intent-written", "literal-begun", "literal-sent", "batch-sent", "append-acknowledged"]
FIRST_COPY += ["ledger-committed", "mailbox-created", "mailbox-finished"]


class Copies:
    """Passes in processes of their own between two Dovecots."""

    def __init__(self, tmp_path: Path, **source: Any) -> None:
        self.source, self.target = dovecots(tmp_path)
        self.url, self._remove = fresh_database("sqlite", tmp_path)
        database = Database(self.url)
        self.account = make_account(database)
        database.close()

    def fill(self, messages: int, *mailboxes: str) -> None:
        """Lay messages into mailboxes, identical twins among them."""
        with imaplib.IMAP4("127.0.0.1", self.source.ports["imap"]) as session:
            session.login(OLD, PASSWORD)
            for mailbox in mailboxes:
                session.create(mailbox)
            for number in range(messages):
                mailbox = ("INBOX", *mailboxes)[number % (len(mailboxes) + 1)]
                octets = b"Subject: %d\r\nFrom: a@b\r\n\r\n%s\r\n" % (number // 6, b"text " * (number // 6 % 7))
                flags = ("", "(\\Seen)", "(\\Flagged $Label1)")[number % 3]
                session.append(mailbox, flags, imaplib.Time2Internaldate(1_500_000_000 + number * 999), octets)

    def run(self, crash_at: tuple[str, int] | None = None, *, connections: int = 2) -> subprocess.CompletedProcess[str]:
        facts = {
            "store": self.url, "account": self.account, "old": self.source.ports, "new": self.target.ports,
            "mode": "mirror", "batch": 10, "connections": connections,
        }  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        if crash_at is not None:
            environment |= crash.crash_at(*crash_at)
        return subprocess.run(
            [sys.executable, "-m", "tests.copying.copy_once", json.dumps(facts)],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Run to the end; return what it told."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["clean"], done.stdout
        return told

    def same(self) -> None:
        """Both sides hold the same mail, by Dovecot's own word."""
        here, there = oracle.read(self.source, OLD), oracle.read(self.target, OLD)
        assert here.messages == there.messages

    def stop(self) -> None:
        self.source.stop()
        self.target.stop()
        self._remove()


@pytest.fixture
def copies(tmp_path: Path) -> Any:
    require("dovecot")
    made = Copies(tmp_path)
    yield made
    made.stop()


def test_the_table_names_every_place_in_the_code() -> None:
    here = {
        label
        for path in (ROOT / "src/mailferry/copying").glob("*.py")
        if path.name not in {"cutover.py", "queue.py", "work.py"}
        for label in crash.labels()
        if f'"{label}"' in path.read_text() and "crash_point(" in path.read_text()
    }
    assert here == set(COPY_LABELS)
    assert set(FIRST_COPY) | {"flags-stored", "deleted-at-target", "intent-examined"} == set(COPY_LABELS)


@pytest.mark.parametrize("passage", [1, 3])
@pytest.mark.parametrize("label", FIRST_COPY)
def test_a_first_copy_killed_anywhere_ends_equal(copies: Copies, label: str, passage: int) -> None:
    copies.fill(60, "Work", "&V4NXPpCuTvY-")
    died = copies.run((label, passage))
    assert died.returncode in ({crash.KILLED} if passage == 1 else {crash.KILLED, 0}), died.stderr
    told = copies.finish()
    copies.same()
    assert told["copied"] + told["already"] <= 60
    assert copies.finish() == {"copied": 0, "already": 0, "clean": True}


def test_killed_again_while_settling_it_still_ends_equal(copies: Copies) -> None:
    copies.fill(40)
    assert copies.run(("append-acknowledged", 2)).returncode == crash.KILLED
    assert copies.run(("intent-examined", 1)).returncode == crash.KILLED
    told = copies.finish()
    assert told["already"] == 10
    copies.same()


@pytest.mark.parametrize("label", ["flags-stored", "deleted-at-target"])
def test_killed_while_changes_follow_it_ends_equal(copies: Copies, label: str) -> None:
    copies.fill(40)
    copies.finish()
    with imaplib.IMAP4("127.0.0.1", copies.source.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.select("INBOX")
        session.store("1:3", "+FLAGS", "(\\Deleted)")
        session.expunge()
        session.store("5:9", "FLAGS", "(\\Answered $Other)")
    assert copies.run((label, 1)).returncode == crash.KILLED
    copies.finish()
    copies.same()


@pytest.mark.slow
def test_killed_at_random_a_hundred_times_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    require("dovecot")
    for round_number in range(20):
        copies = Copies(tmp_path / str(round_number)) if (tmp_path / str(round_number)).mkdir() is None else None
        assert copies is not None
        copies.fill(120, "A", "B")
        for step in range(5):
            passage = 1 + (round_number * 7 + step * 13) % 40
            copies.run((["literal-sent", "literal-begun", "batch-sent"][step % 3], passage))
            time.sleep(0)
        copies.finish()
        copies.same()
        copies.stop()
