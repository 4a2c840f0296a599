"""A notice in a real Dovecot: once, however often its copier is killed behind the APPEND."""

from __future__ import annotations

import email
import email.policy
import imaplib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from mailferry.model.account import Event
from mailferry.store import accounts, domains, notices
from mailferry.store.database import Database
from mailferry.store.notices import Notice
from mailferry.store.schema import notices as table
from tests.copying.rig import NEW, PASSWORD, make_account
from tests.kit import crash, peers
from tests.kit.stores import fresh_database

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.deadline(120)]

ROOT = Path(__file__).parents[2]


class Delivery:
    """A target, and a store with an account that has just moved there."""

    def __init__(self, tmp_path: Path) -> None:
        self.target = peers.start("dovecot", tmp_path, users={NEW: PASSWORD})
        self.url, _ = fresh_database("sqlite", tmp_path)
        self.store = Database(self.url)
        self.account = make_account(self.store)
        self.store.run_now("moved", self._moved)

    def _moved(self, conn: Connection) -> None:
        domains.set_rules(conn, "old.test", notices="done", language="both")
        for event in (Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE):
            epoch = accounts.get(conn, self.account).epoch
            accounts.apply(conn, self.account, event, epoch=epoch)

    def round(self, **environment: str) -> int:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.copying.notify_once", self.url, str(self.target.ports["imap"])],
            cwd=ROOT,
            env={**os.environ, **environment},
            check=False,
            timeout=60,
            capture_output=True,
        )
        assert ran.returncode in {0, crash.KILLED}, ran.stderr.decode()
        return ran.returncode

    def notice(self) -> Notice:
        (one,) = self.store.read_now("notice", lambda conn: notices.of_account(conn, self.account))
        return one

    def hold_is_over(self) -> None:
        self.store.run_now("later", lambda conn: conn.execute(update(table).values(due_at=1.0)))

    def inbox(self) -> list[tuple[bytes, bytes]]:
        """Return flags and octets of each message."""
        with imaplib.IMAP4("127.0.0.1", self.target.ports["imap"]) as session:
            session.login(NEW, PASSWORD)
            session.select("INBOX", readonly=True)
            _, found = session.fetch("1:*", "(FLAGS BODY.PEEK[])")
        return [part for part in found if isinstance(part, tuple)]


@pytest.mark.hazard("D1")
def test_killed_between_append_and_commit_it_finds_its_message_again(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path)
    try:
        assert delivery.round(**crash.crash_at("notice-appended")) == crash.KILLED
        assert len(delivery.inbox()) == 1
        assert delivery.notice().sent_at is None
        assert delivery.round() == 0
        assert delivery.notice().tries == 1, "it is held by the one that was killed"
        delivery.hold_is_over()
        assert delivery.round() == 0
        assert delivery.notice().sent_at is not None
        ((told, octets),) = delivery.inbox()
        assert b"\\Seen" not in told
        message = email.message_from_bytes(octets, policy=email.policy.default)
        assert octets.isascii()
        assert message["From"] == "moves@site.test"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Subject"] == "Your mailbox has moved / 邮箱搬家已完成"
    finally:
        delivery.store.close()
        delivery.target.stop()
