"""UIDs that lose their meaning: between passes, within one, back to an old value, and given out a second time."""

from __future__ import annotations

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, Progress
from mailferry.lab.mailstore import LabMailbox
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn
from tests.copying.test_broken_links import through
from tests.kit.fault_relay import FR, Fault, Kind

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D6")]


def renumber(box: LabMailbox, uidvalidity: int, uidnext: int = 1, *, reverse: bool = False) -> None:
    """Lay the same messages in again under other UIDs."""
    messages = list(box.messages.values())
    box.remove(list(box.messages))
    box.uidvalidity, box.uidnext = uidvalidity, uidnext
    for message in reversed(messages) if reverse else messages:
        box.add(message.octets, flags=message.flags, internal_date=message.internal_date)


def fill(rig: LabRig, count: int = 15) -> None:
    for number in range(count):
        rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))


@pytest.mark.parametrize("side", ["old", "new"])
async def test_uidvalidity_there_and_back_again_costs_no_message_and_no_copy(
    lite: Database, side: str
) -> None:
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        box = rig.old.inbox if side == "old" else rig.new.inbox
        first = box.uidvalidity
        for uidvalidity, uidnext in ((first + 500, 40), (first, 1), (first + 500, 7)):
            renumber(box, uidvalidity, uidnext, reverse=uidvalidity == first)
            result = await rig.run()
            assert (result.copied, result.deleted, result.held, result.clean) == (0, 0, {}, True)
            assert rig.unlike() == []


async def test_a_change_while_the_pass_runs_is_found_within_it(lite: Database) -> None:
    """The connection breaks, and behind the next one the same messages have other numbers."""
    async with lab(lite, connections=1, batch_messages=4) as rig:
        for number in range(30):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 2000))
        relay = await FR(rig.source.imap_port, Fault(Kind.CUT, "to_client", 30_000, 0)).start()
        through(rig, source=relay)
        changed = False

        def change(_: object) -> None:
            nonlocal changed
            if relay.struck and not changed:
                changed = True
                renumber(rig.old.inbox, 7777, 300)

        await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), change)
        await relay.stop()
        await turn()
        through(rig)
        for _ in range(2):
            result = await rig.run()
        assert changed
        assert (result.clean, result.held) == (True, {})
        assert rig.unlike() == []


@pytest.mark.parametrize("more", [set(), {"no_multiappend"}], ids=["batch", "single"])
async def test_a_target_mailbox_made_anew_while_the_pass_runs_gets_everything(
    lite: Database, more: set[str]
) -> None:
    """What it says of the next message tells so: nothing is believed to lie there that went to the old one."""
    async with lab(lite, new=more, connections=1, batch_messages=4) as rig:
        fill(rig, 40)
        changed = False

        def change(progress: Progress) -> None:
            nonlocal changed
            if progress.copied == 8 and not changed:
                changed = True
                box = rig.new.inbox
                box.remove(list(box.messages))
                box.uidvalidity, box.uidnext = 8888, 1

        request = PassRequest(rig.account_id, Mode.MIRROR, last=True)
        result = await run_pass(rig.desk, request, change)
        assert changed
        assert not result.verified or rig.unlike() == []
        result = await rig.run(last=True)
        assert (result.clean, result.copied) == (True, 0), "the pass before had told that all is there"
        assert rig.unlike() == []


async def test_a_source_set_back_gives_uids_to_other_messages(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 15)
        await rig.run()
        box = rig.old.inbox
        box.remove([11, 12, 13, 14, 15])
        box.uidnext = 11  # an older state was restored; it counts on from there
        for number in range(3):
            rig.old.deliver(b"Subject: after\r\n\r\nafter %d\r\n" % number)
        result = await rig.run()
        assert result.copied == 3
        assert sum(count for _, count in result.held.values()) == 5
        await rig.run(approved=True)
        assert rig.unlike() == []


async def test_a_target_set_back_gets_its_lost_copies_again_and_keeps_strangers(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 15)
        await rig.run()
        box = rig.new.inbox
        box.remove([11, 12, 13, 14, 15])
        box.uidnext = 11
        strangers = [rig.new.deliver(b"Subject: stranger\r\n\r\n%d\r\n" % n).uid for n in range(2)]
        result = await rig.run()
        assert (result.copied, result.deleted, result.clean) == (5, 0, True)
        assert set(strangers) <= set(box.messages)
        box.remove(strangers)
        assert rig.unlike() == []


async def test_a_server_that_reckons_uidnext_from_what_is_left_is_believed(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 15)
        await rig.run()
        rig.old.inbox.remove([15])
        rig.old.inbox.uidnext = 15
        result = await rig.run()
        assert (result.copied, result.deleted, result.held) == (0, 1, {})
        assert rig.unlike() == []
