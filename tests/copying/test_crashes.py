"""Killed at each labelled place, and run again: nothing lost, nothing twice, nothing altered (hazard D1)."""

from __future__ import annotations

import imaplib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.crash_labels import COPY_LABELS
from mailferry.store.database import Database
from tests.copying.rig import OLD, PASSWORD, dovecots, make_account
from tests.kit import crash, oracle
from tests.kit.peer_plugin import require
from tests.kit.stores import fresh_database

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.hazard("D1"), pytest.mark.deadline(120)]

ROOT = Path(__file__).parents[2]
FIRST_COPY = ["intent-written", "literal-begun", "literal-sent", "batch-sent", "append-acknowledged"]
FIRST_COPY += ["ledger-committed", "mailbox-created", "mailbox-finished"]
LATER = ["flags-stored", "deleted-at-target", "intent-examined", "surplus-removed", "moved-at-target"]
LATER += ["matched-again"]


class Copies:
    """Passes in processes of their own between two Dovecots."""

    def __init__(self, tmp_path: Path, forks: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.forks = forks
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
                octets = b"Subject: %d\r\nFrom: a@b\r\n\r\n%s\r\n" % (
                    number // 6,
                    b"text " * (number // 6 % 7),
                )
                flags = ("", "(\\Seen)", "(\\Flagged $Label1)")[number % 3]
                session.append(
                    mailbox, flags, imaplib.Time2Internaldate(1_500_000_000 + number * 999), octets
                )

    def run(self, crash_at: tuple[str, int] | None = None) -> dict[str, Any]:
        """Run one pass; return its exit status and what it printed."""
        facts = {
            "store": self.url,
            "account": self.account,
            "old": self.source.ports,
            "new": self.target.ports,
            "mode": "mirror",
            "batch": 10,
            "connections": 2,
            "crash_at": None if crash_at is None else crash.crash_at(*crash_at)[crash.VARIABLE],
        }
        return self.forks(facts)

    def finish(self) -> dict[str, Any]:
        """Run to the end; return what it told."""
        done = self.run()
        assert done["code"] == 0, done["err"]
        told: dict[str, Any] = json.loads(done["out"])
        assert told["clean"], told
        return told

    def same(self) -> None:
        """Both sides hold the same mail, by Dovecot's own word."""
        here, there = oracle.read(self.source, OLD), oracle.read(self.target, OLD)
        assert here.messages == there.messages

    def stop(self) -> None:
        self.source.stop()
        self.target.stop()
        self._remove()


@pytest.fixture(scope="module")
def forks() -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """A process that forks one for each pass, so that the imports are paid once."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.copying.copy_once"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    to, back = server.stdin, server.stdout

    def ask(facts: dict[str, Any]) -> dict[str, Any]:
        to.write(json.dumps(facts) + "\n")
        to.flush()
        answer: dict[str, Any] = json.loads(back.readline())
        return answer

    yield ask
    to.close()
    server.wait(10)
    back.close()


@pytest.fixture
def copies(tmp_path: Path, forks: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[Copies]:
    require("dovecot")
    made = Copies(tmp_path, forks)
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
    assert set(FIRST_COPY) | set(LATER) == set(COPY_LABELS)


@pytest.mark.parametrize("passage", [1, 3])
@pytest.mark.parametrize("label", FIRST_COPY)
def test_a_first_copy_killed_anywhere_ends_equal(copies: Copies, label: str, passage: int) -> None:
    copies.fill(60, "Work", "&mHl27g-")
    died = copies.run((label, passage))
    assert died["code"] in ({crash.KILLED} if passage == 1 else {crash.KILLED, 0}), died["err"]
    told = copies.finish()
    copies.same()
    assert told["copied"] + told["already"] <= 60
    assert copies.finish() == {"copied": 0, "already": 0, "clean": True}


def test_killed_again_while_settling_it_still_ends_equal(copies: Copies) -> None:
    copies.fill(40)
    assert copies.run(("append-acknowledged", 2))["code"] == crash.KILLED
    assert copies.run(("intent-examined", 1))["code"] == crash.KILLED
    told = copies.finish()
    assert told["already"] in {10, 20, 30}, "as many as were on their way"
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
    assert copies.run((label, 1))["code"] == crash.KILLED
    copies.finish()
    copies.same()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_five_times_over_nothing_is_lost_or_twice(copies: Copies, seed: int) -> None:
    copies.fill(120, "A", "B")
    for step in range(5):
        label = ("literal-sent", "literal-begun", "append-acknowledged", "intent-written")[(seed + step) % 4]
        copies.run((label, 1 + (seed * 7 + step * 13) % 40))
    copies.finish()
    copies.same()


@pytest.mark.hazard("D7")
def test_killed_between_a_move_at_the_target_and_the_ledger_it_ends_equal(copies: Copies) -> None:
    copies.fill(40, "Work")
    copies.finish()
    with imaplib.IMAP4("127.0.0.1", copies.source.ports["imap"]) as session:
        session.login(OLD, PASSWORD)
        session.select("INBOX")
        session.uid("MOVE", "1:3", "Work")
    assert copies.run(("moved-at-target", 1))["code"] == crash.KILLED
    copies.finish()
    copies.same()


@pytest.mark.hazard("D6")
def test_killed_before_new_numbers_are_written_it_ends_equal(copies: Copies) -> None:
    copies.fill(40)
    copies.finish()
    copies.source.doveadm("mailbox", "update", "-u", OLD, "--uid-validity", "4711", "INBOX")
    assert copies.run(("matched-again", 1))["code"] == crash.KILLED
    told = copies.finish()
    assert told["copied"] == 0
    copies.same()


@pytest.mark.slow
@pytest.mark.parametrize("label", FIRST_COPY)
def test_each_place_of_a_first_copy_kills_three_runs_in_a_row(copies: Copies, label: str) -> None:
    copies.fill(90, "Work", "&mHl27g-")
    killed = [copies.run((label, 1))["code"] for _ in range(3)]
    assert killed[0] == crash.KILLED
    copies.finish()
    copies.same()
