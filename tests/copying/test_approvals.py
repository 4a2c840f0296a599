"""What an administrator's approval frees: deletions that were held when it was given, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.copying.results import Mode, PassRequest
from mailferry.copying.turn_notes import TurnNotes
from mailferry.model.account import Event
from mailferry.observe.log import get_log
from mailferry.plan.differences import Held
from mailferry.store import accounts, leases, nodes
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D17")]


def fill(rig: LabRig, count: int, *names: bytes) -> None:
    for name in names:
        if name != b"INBOX":
            rig.old.create(name)
        for number in range(count):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, name), mailbox=name)


async def test_an_approval_frees_what_was_held_and_nothing_that_vanishes_later(store: Database) -> None:
    async with lab(store) as rig:
        fill(rig, 20, b"INBOX", b"A", b"B", b"C")
        await rig.run()
        rig.old.inbox.remove(range(1, 5))
        assert (await rig.run()).held == {b"INBOX": (Held.TOO_MANY, 4)}
        rig.old.mailbox(b"A").remove(range(1, 21))
        rig.old.delete(b"B")
        rig.old.mailbox(b"C").remove(range(1, 5))
        result = await rig.run(approved=True)
        assert result.deleted == 4
        later = {b"A": (Held.EMPTY, 20), b"B": (Held.EMPTY, 20), b"C": (Held.TOO_MANY, 4)}
        assert result.held == later
        assert [len(rig.new.mailbox(name).messages) for name in (b"INBOX", b"A", b"B", b"C")] == [
            16,
            20,
            20,
            20,
        ]
        assert (await rig.run(approved=True)).deleted == 44, "another approval frees these"


async def test_an_approval_given_while_nothing_was_held_leaves_a_changed_uidvalidity_held(
    lite: Database,
) -> None:
    async with lab(lite) as rig:
        fill(rig, 3, b"INBOX")
        await rig.run()
        rig.old.inbox.remove([1, 2])
        rig.old.inbox.uidvalidity += 1
        result = await rig.run(approved=True)
        assert result.held == {b"INBOX": (Held.UIDVALIDITY, 2)}
        assert len(rig.new.inbox.messages) == 3


async def test_an_approval_of_something_else_empties_no_maildrop(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"pop3"})) as rig:
        fill(rig, 3, b"INBOX")
        await rig.run()
        rig.old.inbox.remove([1, 2, 3])
        rig.old.deliver(b"Subject: new\r\n\r\n")  # not empty, which would be another brake
        assert (await rig.run(approved=True)).held == {b"INBOX": (Held.TOO_MANY, 3)}
        assert (await rig.run(approved=True)).deleted == 3


async def test_an_approval_of_something_else_is_used_up_by_deletions_that_it_left_held(
    lite: Database,
) -> None:
    async with lab(lite) as rig:

        def due(conn: Any) -> Any:
            accounts.apply(conn, rig.account_id, Event.SOURCE_ACCEPTED, epoch=0)
            accounts.note(conn, rig.account_id, next_due_at=0.0, approved_at=1.0)
            node = nodes.register(conn, "copier", "here", "boot", 1)
            return leases.take(conn, node, limit=1, lease_seconds=60.0)[0]

        fill(rig, 3, b"INBOX")
        await rig.run()
        taken = lite.run_now("take", due)
        rig.old.inbox.remove([1, 2, 3])
        result = await rig.run(approved=True)
        assert result.held == {b"INBOX": (Held.EMPTY, 3)}
        notes = TurnNotes(lite, "old.test", lambda: taken.lease, get_log("test"))
        await notes.passed(taken.account, PassRequest(rig.account_id, Mode.MIRROR, approved=True), result)
        known = lite.read_now("account", lambda conn: accounts.get(conn, rig.account_id))
        assert known.approved_at is None, "the next pass would free them"
