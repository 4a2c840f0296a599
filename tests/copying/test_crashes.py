"""Killed at each labelled place, and run again: nothing lost, nothing twice, nothing altered (hazard D1)."""

from __future__ import annotations

import imaplib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from mailferry.copying.crash_labels import COPY_LABELS
from mailferry.copying.results import SkipReason
from mailferry.store import ledger, mailboxes, skipped
from mailferry.store.database import Database
from tests.copying.rig import OLD, PASSWORD, dovecots, make_account
from tests.kit import crash, oracle
from tests.kit.peer_plugin import require
from tests.kit.stores import fresh_database

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.hazard("D1"), pytest.mark.deadline(120)]

ROOT = Path(__file__).parents[2]
FIRST_COPY = ["intent-written", "literal-begun", "literal-sent", "batch-sent", "append-acknowledged"]
FIRST_COPY += ["ledger-committed", "mailbox-created", "mailbox-finished"]


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

    @contextmanager
    def at(self, host: Any) -> Iterator[imaplib.IMAP4]:
        """A mail program at one side, with INBOX open."""
        with imaplib.IMAP4("127.0.0.1", host.ports["imap"]) as session:
            session.login(OLD, PASSWORD)
            session.select("INBOX")
            yield session

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


# --- what has to go before, so that the next pass comes by a place


def nothing_copied(copies: Copies) -> None:
    copies.fill(60, "Work", "&mHl27g-")


def changed(copies: Copies) -> None:
    copies.fill(40)
    copies.finish()
    with copies.at(copies.source) as session:
        session.store("1:3", "+FLAGS", "(\\Deleted)")
        session.expunge()
        session.store("5:9", "FLAGS", "(\\Answered $Other)")


def moved(copies: Copies) -> None:
    copies.fill(40, "Work")
    copies.finish()
    with copies.at(copies.source) as session:
        session.uid("MOVE", "1:3", "Work")


def renumbered(copies: Copies) -> None:
    copies.fill(40)
    copies.finish()
    copies.source.doveadm("mailbox", "update", "-u", OLD, "--uid-validity", "4711", "INBOX")


def killed_before_it_knew(copies: Copies) -> None:
    copies.fill(40)
    assert copies.run(("append-acknowledged", 2))["code"] == crash.KILLED


def copies_came_late(copies: Copies) -> None:
    """A run was killed, the next one copied anew, and then what the first had sent arrived after all."""
    copies.fill(12)
    assert copies.run(("intent-written", 1))["code"] == crash.KILLED
    assert copies.finish()["copied"] == 12
    with copies.at(copies.source) as session:
        late = [session.fetch(str(n), "(INTERNALDATE BODY.PEEK[])")[1][0] for n in (2, 5, 9)]
    with copies.at(copies.target) as session:
        for facts, octets in late:  # type: ignore[misc]
            session.append("INBOX", "", imaplib.Time2Internaldate(imaplib.Internaldate2tuple(facts)), octets)


def given_whole_at_last(copies: Copies) -> None:
    """Some copies are incomplete ones, as far as the store knows, and it is time to ask for them again."""
    copies.fill(12)
    copies.finish()

    def incomplete(conn: Connection) -> None:
        (inbox,) = mailboxes.of_account(conn, copies.account)
        some = [entry._replace(digest=bytes(16)) for entry in ledger.load(conn, inbox.id)][:3]
        kept = mailboxes.ensure(
            conn, copies.account, mailboxes.incomplete_name(b"INBOX"), target_name=b"INBOX"
        )
        both = {key: getattr(inbox, key) for key in ("source_uidvalidity", "target_uidvalidity")}
        mailboxes.note(conn, kept.id, **both)
        ledger.forget(conn, inbox.id, [entry.source_uid for entry in some])
        ledger.commit(conn, kept.id, some)
        for entry in some:
            skipped.note(conn, inbox.id, entry.source_uid, reason=SkipReason.HEADER_ONLY, now=0.0)

    database = Database(copies.url)
    database.run_now("incomplete", incomplete)
    database.close()


KILLS: Mapping[str, Callable[[Copies], None]] = {
    **dict.fromkeys(FIRST_COPY, nothing_copied),
    "flags-stored": changed,
    "deleted-at-target": changed,
    "incomplete-removed": given_whole_at_last,
    "moved-at-target": moved,
    "matched-again": renumbered,
    "intent-examined": killed_before_it_knew,
    "surplus-removed": copies_came_late,
}
"""Each place of the copier, and what leads a pass to it."""


def test_the_table_names_every_place_in_the_code_and_each_has_its_kill() -> None:
    others = {"cutover.py", "queue.py", "work.py", "notice_delivery.py"}
    folder = ROOT / "src/mailferry/copying"
    texts = [path.read_text() for path in folder.glob("*.py") if path.name not in others]
    placed = "\n".join(text for text in texts if "crash_point(" in text)
    here = {label for label in crash.labels() if f'"{label}"' in placed}
    assert here == set(COPY_LABELS)
    assert set(KILLS) == set(COPY_LABELS), "a place where nobody kills it"


@pytest.mark.hazard("D6")
@pytest.mark.hazard("D7")
@pytest.mark.parametrize("label", KILLS)
def test_killed_anywhere_it_ends_equal(copies: Copies, label: str) -> None:
    KILLS[label](copies)
    died = copies.run((label, 1))
    assert died["code"] == crash.KILLED, died["err"]
    told = copies.finish()
    copies.same()
    if label == "matched-again":
        assert told["copied"] == 0
    elif label == "intent-examined":
        assert told["already"] in {10, 20, 30}, "as many as were on their way"
    assert copies.finish() == {"copied": 0, "already": 0, "clean": True}
    copies.same()


@pytest.mark.parametrize("label", ["append-acknowledged", "literal-sent"])
def test_killed_at_a_later_batch_it_ends_equal(copies: Copies, label: str) -> None:
    nothing_copied(copies)
    assert copies.run((label, 3))["code"] == crash.KILLED
    told = copies.finish()
    assert told["copied"] + told["already"] <= 60
    copies.same()


@pytest.mark.slow
@pytest.mark.parametrize("label", KILLS)
def test_killed_three_times_in_a_row_at_each_place_it_ends_equal(copies: Copies, label: str) -> None:
    KILLS[label](copies)
    killed = [copies.run((label, passage))["code"] for passage in (1, 1, 2)]
    assert killed[0] == crash.KILLED
    assert set(killed) <= {crash.KILLED, 0}
    copies.finish()
    copies.same()
    copies.finish()
    copies.same()


@pytest.mark.slow
@pytest.mark.parametrize("passage", [2, 3])
@pytest.mark.parametrize("label", FIRST_COPY)
def test_a_first_copy_killed_later_on_ends_equal(copies: Copies, label: str, passage: int) -> None:
    nothing_copied(copies)
    assert copies.run((label, passage))["code"] in {crash.KILLED, 0}
    told = copies.finish()
    copies.same()
    assert told["copied"] + told["already"] <= 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_five_times_over_nothing_is_lost_or_twice(copies: Copies, seed: int) -> None:
    copies.fill(120, "A", "B")
    for step in range(5):
        label = ("literal-sent", "literal-begun", "append-acknowledged", "intent-written")[(seed + step) % 4]
        copies.run((label, 1 + (seed * 7 + step * 13) % 40))
    copies.finish()
    copies.same()
