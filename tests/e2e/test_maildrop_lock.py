"""A real POP3 server that locks the maildrop: the user's login gets it while the copier is in the middle."""

from __future__ import annotations

import imaplib
import poplib
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.slow_link import SlowLink
from tests.e2e.stage import DOMAIN, MASTER, OLD, USER
from tests.kit import peers
from tests.kit.peer_dovecot import Dovecot
from tests.kit.service import Service, until

pytestmark = [
    pytest.mark.peer("dovecot"),
    pytest.mark.timeout(200),
    pytest.mark.hazard("D20"),
    pytest.mark.slow,
]

MESSAGES = 25
OCTETS = 400_000
PACE = 150_000.0
"""Octets a second that get to the target: the copier stands in the maildrop, some messages ahead of it."""


class Place:
    """A Dovecot that gives one POP3 session at a time, a target behind a narrow link, and the service."""

    def __init__(self, tmp_path: Path) -> None:
        lock = "protocol pop3 {\n  pop3_lock_session = yes\n}\n"
        self.source: Dovecot = peers.dovecot(tmp_path, users={USER: OLD}, settings=lock)
        self.target: Dovecot = peers.dovecot(tmp_path, users={USER: "nobody knows"}, master=MASTER)
        for number in range(MESSAGES):
            body = b"%04d%s\r\n" % (number, b"x" * 70) * (OCTETS // 76)
            self.source.save(USER, b"Subject: %d\r\n\r\n%s" % (number, body))
        self.link = SlowLink(self.target.ports["imap"], octets_per_second=PACE)
        self.service = Service(
            tmp_path / "service",
            target_imap=f"imap://127.0.0.1:{self.link.port}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{self.target.ports['pop3']}?tls=none",
            master_user=MASTER[0],
            master_password=MASTER[1],
            passwd_file=self.target.users_path,
            copy={"pass_interval_seconds": 2, "batch_messages": 2},
        )
        source = f"pop3://127.0.0.1:{self.source.ports['pop3']}?tls=none"
        self.service.run("domain", "add", DOMAIN, "--source", source, "--notices", "none")

    def close(self) -> None:
        """End everything."""
        try:
            self.service.stop()
        finally:
            self.link.close()
            self.source.stop()
            self.target.stop()

    def pop3(self) -> poplib.POP3:
        """Log in through the service."""
        client = poplib.POP3("127.0.0.1", self.service.pop3_port)
        client.encoding = "utf-8"
        client.user(USER)
        client.pass_(OLD)
        return client

    def copied(self) -> int:
        """Return how many messages the ledger has."""
        return int(self.service.show(USER)["messages"]["copied"])

    def logins(self) -> int:
        """Return how often somebody opened the source's maildrop."""
        return self.source.log_text().count("pop3-login: Info: Login")

    def logged_in(self, before: int) -> bool:
        """Whether somebody has opened it since."""
        return self.logins() > before


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    opened = Place(tmp_path)
    yield opened
    opened.close()


def subjects(server: Dovecot) -> Counter[str]:
    """Return what lies in INBOX."""
    rows = server.doveadm_json("fetch", "-u", USER, "hdr.subject", "mailbox", "INBOX")
    return Counter(row["hdr.subject"] for row in rows)


def test_a_login_gets_the_maildrop_within_seconds_while_the_copier_is_in_it(place: Place) -> None:
    place.service.start()
    place.pop3().quit()
    until(place.copied, 60, "the copy is under way")
    took: list[float] = []
    for last in (False, True):
        assert place.copied() < MESSAGES, "the copy is under way"
        began = time.monotonic()
        user = place.pop3()
        took.append(time.monotonic() - began)
        assert user.stat()[0] == MESSAGES
        assert user.retr(1)[1][0] == b"Subject: 0"
        user.quit()
        if not last:
            until(partial(place.logged_in, place.logins()), 60, "the copier sent what it had and came back")
    assert max(took) < 4.0, took
    place.link.widen()
    until(lambda: place.service.show(USER)["state"] == "done", 90, "the account has moved")
    assert subjects(place.target) == subjects(place.source)
    client = imaplib.IMAP4("127.0.0.1", place.service.imap_port)
    client.authenticate("PLAIN", lambda _: b"\0" + USER.encode() + b"\0" + OLD.encode())
    assert client.select("INBOX")[1] == [b"%d" % MESSAGES]
    client.logout()
