"""What a killed run sent late, and what the user deleted before the next run looked: neither is doubled nor comes back."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.copying.results import Mode
from mailferry.model.causes import Cause
from mailferry.store import intents, remarks
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn
from tests.copying.test_broken_links import through
from tests.kit.fault_relay import FR, Fault, Kind

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D1")]


def open_intents(rig: LabRig) -> list[bool]:
    """Return of each open intent whether it was examined."""
    rows = rig.store.read_now("intents", lambda conn: intents.pending(conn, rig.account_id))
    return [row.examined for row in rows]


async def broken_off(rig: LabRig, direction: Any, at: int) -> None:
    """Run a pass over a target that breaks off each connection at an octet."""
    relay = await FR(rig.target.imap_port, Fault(Kind.CUT, direction, at)).start()
    through(rig, target=relay)
    rig.limited(lost_connections=0)
    result = await rig.run()
    assert result.cause is Cause.TARGET_DOWN
    assert relay.struck > 0
    await relay.stop()
    await turn()
    through(rig)


def fill(rig: LabRig, count: int = 6) -> None:
    for number in range(count):
        rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 300))


async def test_a_copy_that_arrives_after_the_next_run_has_looked_is_taken_away(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        fill(rig)
        await broken_off(rig, "to_server", 900)
        assert open_intents(rig) == [False]
        again = await rig.run(last=True)
        assert (again.copied, again.clean, again.unsettled, again.verified) == (6, True, 1, False)
        assert open_intents(rig) == [True]
        for message in list(rig.old.inbox.messages.values())[:3]:  # the octets were under way all the time
            rig.new.inbox.add(message.octets, flags=message.flags, internal_date=message.internal_date)
        third = await rig.run(last=True)
        assert (third.copied, third.doubled, third.doubles_removed, third.verified) == (0, 3, 3, True)
        assert open_intents(rig) == []
        assert rig.unlike() == []


async def test_from_the_flip_on_a_late_copy_is_counted_and_left_to_the_user(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        fill(rig)
        await broken_off(rig, "to_server", 900)
        await rig.run()
        message = rig.old.inbox.messages[2]
        rig.new.inbox.add(message.octets, internal_date=message.internal_date)
        result = await rig.run(Mode.ADD_ONLY)
        assert (result.doubled, result.doubles_removed) == (1, 0)
        assert len(rig.new.inbox.messages) == 7
        rows = rig.store.read_now("remarks", lambda conn: remarks.of_account(conn, rig.account_id))
        assert [(row.kind.value, row.number) for row in rows] == [("doubled", 1)]
        assert open_intents(rig) == []


async def test_a_twin_that_the_source_has_is_no_late_copy(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        for _ in range(4):
            rig.old.deliver(b"Subject: twin\r\n\r\nsame\r\n" + b"x" * 300)
        await broken_off(rig, "to_server", 900)
        await rig.run()
        rig.old.deliver(b"Subject: twin\r\n\r\nsame\r\n" + b"x" * 300)
        for _ in range(2):
            result = await rig.run()
            assert (result.doubled, result.clean) == (0, True)
        assert len(rig.new.inbox.messages) == 5


@pytest.mark.hazard("D17")
async def test_a_message_deleted_before_its_intent_was_settled_does_not_come_back(lite: Database) -> None:
    async with lab(lite, connections=1, batch_messages=12) as rig:
        fill(rig, 12)
        await broken_off(rig, "to_server", 900)
        for message in rig.old.inbox.messages.values():  # the target has them all, its answer is lost
            rig.new.inbox.add(message.octets, flags=message.flags, internal_date=message.internal_date)
        rig.old.inbox.remove([3])
        result = await rig.run()
        assert (result.copied, result.clean) == (0, True)
        assert len(rig.new.inbox.messages) == 11
        assert rig.unlike() == []
