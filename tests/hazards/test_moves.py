"""A message that the source moved is moved at the target, by copy and by move, and never uploaded again."""

from __future__ import annotations

import pytest

from mailferry.copying.results import Mode
from mailferry.plan.differences import Held
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.kit import hostile_mail

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D7")]


def fill(rig: LabRig, count: int = 20) -> None:
    rig.old.create(b"Archive", role=b"\\Archive")
    for number in range(count):
        rig.old.deliver(
            b"Subject: %d\r\n\r\n%d\r\n" % (number, number), internal_date=hostile_mail.when(number)
        )


def move(rig: LabRig, uids: list[int], to: bytes, origin: bytes = b"INBOX") -> None:
    """As a mail program does it: the date of arrival stays."""
    box = rig.old.mailbox(origin)
    for uid in uids:
        message = box.messages[uid]
        rig.old.mailbox(to).add(message.octets, flags=message.flags, internal_date=message.internal_date)
    box.remove(uids)


@pytest.mark.parametrize(
    "quirks",
    [set(), {"no_move"}, {"no_uidplus"}, {"no_move", "no_uidplus", "no_multiappend"}],
    ids=lambda quirks: " ".join(sorted(quirks)) or "all extensions",
)
async def test_a_moved_message_moves_at_the_target(lite: Database, quirks: set[str]) -> None:
    async with lab(lite, new=quirks) as rig:
        fill(rig)
        await rig.run()
        before = len(rig.commands(rig.target, "APPEND"))
        move(rig, [2, 3, 11], b"Archive")
        result = await rig.run()
        assert (result.moved, result.copied, result.deleted, result.clean) == (3, 0, 0, True)
        assert len(rig.commands(rig.target, "APPEND")) == before
        if not {"no_move", "no_uidplus"} <= quirks:  # else what was copied away is marked deleted, no more
            assert rig.unlike() == []
        assert (await rig.run()).moved == 0


async def test_moves_in_both_directions_at_once_and_new_mail_among_them(store: Database) -> None:
    async with lab(store, connections=2) as rig:
        fill(rig)
        for number in range(5):
            rig.old.deliver(
                b"Subject: a%d\r\n\r\n" % number, mailbox=b"Archive", internal_date=hostile_mail.when(50)
            )
        await rig.run()
        move(rig, [1, 2], b"Archive")
        move(rig, [1, 2, 3], b"INBOX", origin=b"Archive")
        rig.old.inbox.remove([5])
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n", mailbox=b"Archive")
        result = await rig.run(last=True)
        assert (result.moved, result.copied, result.deleted, result.verified) == (5, 1, 1, True)
        assert rig.unlike() == []


async def test_flags_that_changed_with_the_move_follow(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        move(rig, [4], b"Archive")
        rig.old.mailbox(b"Archive").reflag(1, [b"\\Flagged", b"$Work"])
        result = await rig.run()
        assert (result.moved, result.reflagged) == (1, 1)
        assert rig.unlike() == []


async def test_another_date_makes_another_message(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        octets = rig.old.inbox.messages[4].octets
        rig.old.inbox.remove([4])
        rig.old.deliver(octets, mailbox=b"Archive", internal_date=hostile_mail.when(77))
        result = await rig.run()
        assert (result.moved, result.copied, result.deleted) == (0, 1, 1)
        assert rig.unlike() == []


async def test_each_copy_moves_once_however_many_turn_up(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig, 10)
        await rig.run()
        message = rig.old.inbox.messages[4]
        rig.old.inbox.remove([4])
        for _ in range(3):
            rig.old.mailbox(b"Archive").add(message.octets, internal_date=message.internal_date)
        result = await rig.run()
        assert (result.moved, result.copied, result.clean) == (1, 2, True)
        assert rig.unlike() == []


async def test_a_renamed_mailbox_takes_its_copies_along_without_approval(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig)
        rig.old.create(b"Work")
        for number in range(30):
            rig.old.deliver(
                b"Subject: w%d\r\n\r\n" % number, mailbox=b"Work", internal_date=hostile_mail.when(3)
            )
        await rig.run()
        rig.old.rename(b"Work", b"Project")
        result = await rig.run()
        assert (result.moved, result.copied, result.held, result.clean) == (30, 0, {}, True)
        assert len(rig.new.mailbox(b"Project").messages) == 30
        assert len(rig.new.mailbox(b"Work").messages) == 0


@pytest.mark.hazard("D17")
async def test_what_moved_is_no_deletion_to_the_brake_and_the_rest_is(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        move(rig, list(range(1, 13)), b"Archive")
        result = await rig.run()
        assert (result.moved, result.held) == (12, {})
        move(rig, [13], b"Archive")
        rig.old.inbox.remove([14, 15, 16, 17])
        result = await rig.run()
        assert (result.moved, result.held) == (
            1,
            {b"INBOX": (Held.EMPTY if not rig.old.inbox.messages else Held.TOO_MANY, 4)},
        ) or (result.moved, result.deleted, result.held) == (1, 4, {})


@pytest.mark.hazard("D16")
async def test_from_the_flip_on_a_move_at_the_source_doubles_nothing_at_the_target(lite: Database) -> None:
    async with lab(lite) as rig:
        fill(rig)
        await rig.run()
        before = rig.new.fingerprint()
        move(rig, [2, 3], b"Archive")
        result = await rig.run(Mode.ADD_ONLY)
        assert (result.moved, result.copied) == (2, 0)
        assert rig.new.fingerprint() == before
