"""What a pass costs in statements and commands: by mailboxes and batches, not by messages."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mailferry.remote.imap_link import ImapLink
from mailferry.remote.pop3_link import Pop3Link
from mailferry.store.database import Database
from mailferry.store.prepared import Prepared
from tests.copying.lab_rig import lab
from tests.copying.rig import NEW, OLD, PASSWORD, Rig, make_rig
from tests.kit.stores import fresh_database

pytestmark = pytest.mark.deadline(120)
FEW = 10
BATCH = 500
PER_BATCH = 8
"""Statements: the intent, the ledger's blocks, the counts, the lease."""
DATE = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Cost:
    """Statements to the store, commands to the source and the target."""

    statements: int = 0
    imap: int = 0
    pop3: int = 0


@dataclass
class Costs:
    """A first copy, and a pass over what did not change."""

    first: Cost
    again: Cost


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cost]:
    """Counts from now on."""
    cost = Cost()

    def statement(*_: Any) -> None:
        cost.statements += 1

    def counted(kind: Any, name: str) -> None:
        send = kind.send

        def sending(*words: Any, **more: Any) -> Any:
            setattr(cost, name, getattr(cost, name) + 1)
            return send(*words, **more)

        monkeypatch.setattr(kind, "send", sending)

    event.listen(Engine, "before_cursor_execute", statement)
    straight = Prepared.on_driver

    def prepared(*words: Any) -> Any:
        statement()
        return straight(*words)

    monkeypatch.setattr(Prepared, "on_driver", prepared)  # it goes past SQLAlchemy
    counted(ImapLink, "imap")
    counted(Pop3Link, "pop3")
    yield cost
    event.remove(Engine, "before_cursor_execute", statement)


async def costs(rig: Rig, counting: Cost) -> Costs:
    """Return what a first copy and the third pass cost; between them nothing happens at the hosts."""
    found = []
    for _ in range(3):
        before = replace(counting)
        result = await rig.run()
        assert result.clean, result
        found.append(
            Cost(*(now - then for now, then in zip(astuple(counting), astuple(before), strict=True)))
        )
    assert result.copied == 0
    return Costs(found[0], found[2])


@contextmanager
def fresh_store(folder: Path) -> Iterator[Database]:
    from twisted.internet import reactor

    folder.mkdir()
    url, remove = fresh_database("sqlite", folder)
    store = Database(url, reactor=reactor, readers=2)
    try:
        yield store
    finally:
        store.close()
        remove()


async def between_labs(folder: Path, messages: int, protocols: Collection[str], counting: Cost) -> Costs:
    """Return the costs of an account of so many messages in three mailboxes, one where there is POP3 alone."""
    settings: dict[str, Any] = {"batch_messages": BATCH, "read_back": 0.0, "slice_seconds": 600.0}
    with fresh_store(folder) as store:
        async with lab(store, protocols=frozenset(protocols), **settings) as rig:
            boxes = [rig.old.inbox, *(rig.old.create(name) for name in (b"Work", b"Play"))]
            for number in range(messages):
                box = boxes[number % 3 if "imap" in protocols else 0]
                box.add(b"Subject: %d\r\n\r\n" % number, internal_date=DATE)
            found = await costs(rig, counting)
            assert sum(map(len, rig.ledgered().values())) == messages
    return found


@pytest.mark.parametrize(
    ("protocols", "many"),
    [({"imap"}, 10_000), ({"pop3"}, 10_000), ({"imap", "pop3"}, 2000)],
    ids=["imap", "pop3", "both"],
)
async def test_what_a_pass_costs_depends_on_mailboxes_and_batches_and_not_on_messages(
    tmp_path: Path, protocols: set[str], many: int, counting: Cost
) -> None:
    few = await between_labs(tmp_path / "few", FEW, protocols, counting)
    more = await between_labs(tmp_path / "many", many, protocols, counting)
    print(few, more, sep="\n")
    assert more.again == few.again
    batches = many / BATCH + 3
    assert more.first.statements - few.first.statements <= PER_BATCH * batches
    assert more.first.imap - few.first.imap <= 2 * batches
    # POP3 can ask for one message at a time only: RETR where it is the source, TOP where UIDLs are learnt
    assert more.first.pop3 - few.first.pop3 <= many + 2 * batches


@pytest.mark.peer("dovecot")
async def test_mailboxes_that_say_that_nothing_changed_cost_the_same_however_full_they_are(
    hosts: tuple[Any, Any], tmp_path: Path, counting: Cost
) -> None:
    source, _ = hosts
    found = []
    for messages in (FEW, 10_000 - FEW):
        fill(source.ports["imap"], messages)
        with fresh_store(tmp_path / f"{messages}") as store:
            rig = make_rig(*hosts, store, batch_messages=BATCH, read_back=0.0)
            found.append((await costs(rig, counting)).again)
            assert rig.results[-1].mailboxes_unchanged == rig.results[-1].mailboxes > 0
        for box in hosts[1:]:
            box.doveadm("expunge", "-u", NEW, "mailbox", "INBOX", "all")
    print(found)
    assert found[0] == found[1]


def fill(port: int, messages: int) -> None:
    """Append so many messages to INBOX in one command."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        lines = wire.makefile("rb")
        lines.readline()
        wire.sendall(b'a LOGIN "%s" "%s"\r\nb APPEND INBOX' % (OLD.encode(), PASSWORD.encode()))
        octets = b"Subject: one\r\n\r\n"
        wire.sendall(b" {%d+}\r\n%s" % (len(octets), octets) * messages + b"\r\nc LOGOUT\r\n")
        answers = {line.split()[0]: line.split()[1] for line in lines}
    assert (answers[b"a"], answers[b"b"]) == (b"OK", b"OK")
