"""The oracle sees each single fault that a copy can make, and calls two good copies equal."""

from __future__ import annotations

import imaplib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit import oracle
from tests.kit.peer_dovecot import Dovecot

USER = "u1@old.test"
MESSAGES = (
    b"Subject: plain\r\n\r\nbody\r\n",
    b"Subject: =?gb18030?b?xOO6ww==?=\r\n\r\n\xc4\xe3\xba\xc3 8-bit\r\n",
    b"Subject: no line end behind",
    b"Subject: a trap\r\n\r\ntext:\r\n\x0c\r\nmailbox: INBOX\r\nuid: 3\r\ntext:\r\n\r\n\x0c\r\n",
    b"\r\n\r\n\x0c\r\n",
    b"From nobody\r\n\r\n.\r\n..\r\n",
)
START = Callable[..., Dovecot]


def fill(dovecot: Dovecot) -> None:
    dovecot.create_mailbox(USER, "Sent")
    with imaplib.IMAP4("127.0.0.1", dovecot.ports["imap"]) as imap:
        imap.login(USER, "pw1")
        twins = (*MESSAGES, MESSAGES[0])
        rows = [("INBOX", r"(\Seen $Forwarded)", message) for message in twins]
        rows += [("Sent", "()", message) for message in MESSAGES[:3]]
        for number, (mailbox, flags, message) in enumerate(rows):
            answer = imap.append(mailbox, flags, f'"{number % 7 + 1:2d}-Jan-1999 01:02:03 +0800"', message)
            assert answer[0] == "OK", answer


@pytest.fixture
def pair(start_peer: Callable[..., Any]) -> tuple[Dovecot, Dovecot]:
    """Two Dovecots with the same mail in different formats."""
    servers = [start_peer("dovecot", users={USER: "pw1"}, location=kind) for kind in ("maildir", "sdbox")]
    for server in servers:
        fill(server)
    return servers[0], servers[1]


@pytest.mark.peer("dovecot")
def test_the_same_mail_in_two_formats_is_the_same_and_reading_changes_nothing(
    pair: tuple[Dovecot, Dovecot],
) -> None:
    one, two = (oracle.read(server, USER) for server in pair)
    assert len(one) == 10
    assert one.mailboxes() == {"INBOX": 7, "Sent": 3}
    assert oracle.differences(one, two) == []
    oracle.assert_same(one, oracle.read(pair[0], USER))
    assert {message.digest for message in one.messages} == {oracle.digest_of(message) for message in MESSAGES}


@pytest.mark.peer("dovecot")
def test_doveadm_and_the_files_on_disk_agree(pair: tuple[Dovecot, Dovecot]) -> None:
    oracle.assert_same(oracle.read(pair[0], USER), oracle.read_maildir(pair[0].home(USER)))


def a_file(dovecot: Dovecot, subject: bytes) -> Path:
    folder = dovecot.home(USER) / "Maildir"
    return next(path for path in sorted(folder.rglob("cur/*")) if subject in path.read_bytes())


def one_byte(dovecot: Dovecot) -> None:
    path = a_file(dovecot, b"8-bit")
    facts = path.stat()
    path.write_bytes(path.read_bytes().replace(b"8-bit", b"8-bot"))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def a_twin(dovecot: Dovecot) -> None:
    path = a_file(dovecot, b"a trap")
    head, _, flags = path.name.partition(",")
    twin = path.with_name(f"{head}x,{flags}")
    shutil.copy2(path, twin)
    os.chown(twin, path.stat().st_uid, path.stat().st_gid)
    dovecot.doveadm("force-resync", "-u", USER, "INBOX")


def a_loss(dovecot: Dovecot) -> None:
    dovecot.doveadm("expunge", "-u", USER, "mailbox", "INBOX", "SUBJECT", "a trap")


def a_flag(dovecot: Dovecot) -> None:
    dovecot.doveadm("flags", "remove", "-u", USER, r"\Seen", "mailbox", "INBOX", "UID", "1")


def a_keyword(dovecot: Dovecot) -> None:
    dovecot.doveadm("flags", "remove", "-u", USER, "$Forwarded", "mailbox", "INBOX", "UID", "1")


def a_date(dovecot: Dovecot) -> None:
    path = a_file(dovecot, b"a trap")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))
    (dovecot.home(USER) / "Maildir" / "dovecot.index.cache").unlink(missing_ok=True)


def a_place(dovecot: Dovecot) -> None:
    dovecot.doveadm("move", "-u", USER, "Sent", "mailbox", "INBOX", "SUBJECT", "a trap")


@pytest.mark.peer("dovecot")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (one_byte, ["lost: ", "foreign or altered: "]),
        (a_twin, ["twice: "]),
        (a_loss, ["lost: "]),
        (a_flag, [r"flags: \Seen became none"]),
        (a_keyword, ["keywords: $Forwarded became none"]),
        (a_date, ["date: 1999-01-03 17:02:03Z became 1999-01-03 18:02:03Z"]),
        (a_place, ["mailbox: 'INBOX' became 'Sent'"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_one_fault_is_seen_and_named(
    pair: tuple[Dovecot, Dovecot], fault: Callable[[Dovecot], None], words: list[str]
) -> None:
    damaged, good = pair
    fault(damaged)
    lines = oracle.differences(oracle.read(good, USER), oracle.read(damaged, USER))
    assert len(lines) == len(words), lines
    assert all(any(line.startswith(word) for line in lines) for word in words), lines
    with pytest.raises(AssertionError, match="faults"):
        oracle.assert_same(oracle.read(good, USER), oracle.read(damaged, USER))


@pytest.mark.peer("dovecot")
def test_identical_twins_are_counted(pair: tuple[Dovecot, Dovecot]) -> None:
    damaged, good = pair
    damaged.doveadm("expunge", "-u", USER, "mailbox", "INBOX", "UID", "7")  # the twin of message 1
    lines = oracle.differences(oracle.read(good, USER), oracle.read(damaged, USER))
    assert [line.split(":")[0] for line in lines] == ["lost"]


def test_mailboxes_can_be_renamed_and_left_out_before_comparing() -> None:
    message = oracle.Message("Old/Sent", "d", (), (), 0)
    mail = oracle.Mail(oracle.Counter({message: 2, oracle.replace(message, mailbox="Spam"): 1}), {})
    renamed = mail.without("Spam").renamed(lambda name: name.rpartition("/")[2])
    assert renamed.mailboxes() == {"Sent": 2}
    assert oracle.differences(renamed, renamed + renamed) == ["twice: 'Sent' d ''", "twice: 'Sent' d ''"]
