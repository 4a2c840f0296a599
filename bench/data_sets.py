"""The mail that is copied: sets A, B, C and P, laid straight into Maildirs as a delivery would.

The same set always holds the same octets. File names carry sizes, as Dovecot's own do, and the
indexes are warmed, so that no copier pays for the source's first look at its files.
"""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from tests.kit.daemon import plain_user
from tests.kit.peer_dovecot import Dovecot

FIRST_DATE = 1_400_000_000
FLAGS = ("S", "S", "S", "", "FS", "RS", "S", "", "S", "S")
"""Maildir flags, one after the other."""
_LINE = 76
"""As base64.encodebytes makes them."""
_POOL_LINES = 8_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """How much mail of which size."""

    name: str
    messages: int
    mailboxes: int
    smallest: int
    largest: int
    protocol: str = "imap"
    twins: int = 1
    """How many messages have the same octets; they lie in the same mailbox."""

    def words(self) -> str:
        """Describe the set for a heading."""
        size = f"{self.smallest // 1000} to {self.largest // 1000} kB"
        if self.smallest == self.largest:
            size = f"{self.smallest // 1_000_000} MB"
        return (
            f"{self.messages:,} messages of {size} in {self.mailboxes} mailbox{'es' * (self.mailboxes > 1)}"
        )

    def small(self) -> DataSet:
        """Return a set of the same kind that is copied in a moment, to try the bench itself."""
        messages = max(8, min(120, 4_000_000 // self.largest))
        return replace(self, messages=messages, mailboxes=min(self.mailboxes, 3))

    def mailbox(self, number: int) -> str:
        """Return the name of the mailbox that message `number` lies in."""
        index = number % self.mailboxes
        return "INBOX" if index == 0 else f"Folder {index:02}"

    def mailbox_names(self) -> list[str]:
        """Return all names."""
        return [self.mailbox(number) for number in range(self.mailboxes)]


SETS = {
    "A": DataSet("A", 5_000, 10, 4_000, 20_000),
    "B": DataSet("B", 50_000, 20, 4_000, 20_000),
    "C": DataSet("C", 500, 5, 2_000_000, 2_000_000),
    "P": DataSet("P", 5_000, 1, 4_000, 20_000, protocol="pop3"),
}


class Mail:
    """Makes the messages of a set; message `number` always has the same octets."""

    def __init__(self, data_set: DataSet) -> None:
        self.data_set = data_set
        dice = random.Random(f"pool {data_set.name}")
        self._pool = base64.encodebytes(dice.randbytes(_POOL_LINES * _LINE * 3 // 4))

    def message(self, number: int) -> bytes:
        """Return one message with LF line ends; numbers beyond the set's are new mail."""
        kept = self.data_set
        if number < kept.messages:
            number %= kept.messages // kept.twins
        dice = random.Random(f"{kept.name} {number}")
        size = dice.randint(kept.smallest, kept.largest)
        date = format_datetime(datetime.fromtimestamp(date_of(number), UTC))
        head = (
            f"Return-Path: <sender{number % 97}@example.org>\n"
            f"Received: from mx.example.org by old.example.net with ESMTPS id {number:010x};\n\t{date}\n"
            f"From: Sender {number % 97} <sender{number % 97}@example.org>\nTo: <user@bench.test>\n"
            f"Subject: Message {number} of set {kept.name}\nDate: {date}\n"
            f"Message-ID: <{kept.name}.{number}.{dice.getrandbits(64):016x}@example.org>\n"
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\n\n"
        ).encode()
        lines = max(1, (size - len(head)) // (_LINE + 2))  # a line end counts twice, as it is sent
        return head + b"".join(self._lines(dice, lines))

    def _lines(self, dice: random.Random, lines: int) -> Iterator[bytes]:
        while lines:
            first = dice.randrange(_POOL_LINES)
            taken = min(lines, _POOL_LINES - first)
            yield self._pool[first * (_LINE + 1) : (first + taken) * (_LINE + 1)]
            lines -= taken


def date_of(number: int) -> int:
    """Return the INTERNALDATE of message `number`."""
    return FIRST_DATE + number * 977


def file_name(number: int, octets: bytes, flags: str) -> str:
    """Return a Maildir file name with the sizes that spare Dovecot reading the file."""
    virtual = len(octets) + octets.count(b"\n")
    return f"{date_of(number)}.M{number}P1.bench,S={len(octets)},W={virtual}:2,{flags}"


def lay(data_set: DataSet, server: Dovecot, user: str) -> None:
    """Write the whole set into the user's Maildir and let the server index it."""
    home = server.home(user)
    root = home / "Maildir"
    folders: dict[str, Path] = {}
    for index, name in enumerate(data_set.mailbox_names()):
        folder = root if name == "INBOX" else root / f".{name}"
        for part in ("cur", "new", "tmp"):
            (folder / part).mkdir(parents=True)
        if folder != root:
            (folder / "maildirfolder").touch()
        # a UIDVALIDITY of its own: Dovecot takes the time, and the target's mailbox may be as old
        uidlist = f"3 V{FIRST_DATE + index} N1 G{random.Random(name).getrandbits(128):032x}\n"
        (folder / "dovecot-uidlist").write_text(uidlist)
        folders[name] = folder / "cur"
    (root / "subscriptions").write_text("".join(f"{name}\n" for name in folders))
    mail = Mail(data_set)
    for number in range(data_set.messages):
        octets = mail.message(number)
        path = folders[data_set.mailbox(number)] / file_name(number, octets, FLAGS[number % len(FLAGS)])
        path.write_bytes(octets)
        os.utime(path, (date_of(number), date_of(number)))
    give_to_server(home)
    warm(server, user)


def give_to_server(home: Path) -> None:
    """As root: let the user that servers run as own the folder."""
    if os.getuid() != 0:
        return
    owner = plain_user()
    for folder, folders, names in os.walk(home):
        for name in (*folders, *names):
            os.chown(Path(folder, name), owner.pw_uid, owner.pw_gid)
    os.chown(home, owner.pw_uid, owner.pw_gid)


def warm(server: Dovecot, user: str) -> None:
    """Fill the server's indexes and caches with what copiers ask for."""
    facts = "uid flags date.received size.virtual size.physical hdr.message-id"
    server.doveadm("fetch", "-u", user, facts, "mailbox", "*", "ALL")
