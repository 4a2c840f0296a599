"""Sources that show the last 30 days: noticed, and what goes out of their view is not taken away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest, PassResult, Waits
from mailferry.model.profile import Profile
from mailferry.plan.completeness import Doubt, Grade
from mailferry.plan.visible_days import DAY, FirstSight, ends_at_window, oldest_in_view
from mailferry.store import deletions
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D25")]

IMAP = frozenset({"imap"})
NOW = 2_000_000_000.0


def fill(rig: LabRig, ages: list[float], first_uid: int = 1) -> None:
    rig.old.inbox.uidnext = first_uid
    for number, days in enumerate(ages):
        date = datetime.now(UTC) - timedelta(days=days)
        rig.old.deliver(
            b"Subject: %d\r\n\r\n%d\r\n" % (number, number), internal_date=date.replace(microsecond=0)
        )


def let_a_day_go_by(rig: LabRig) -> None:
    """Make all mail on both sides a day older."""
    for store in (rig.old, rig.new):
        for message in store.inbox.messages.values():
            message.internal_date -= timedelta(days=1)


def doubts(result: PassResult) -> set[Doubt]:
    return set(result.completeness.doubts)


@pytest.mark.parametrize(
    ("ages", "first_uid", "days", "suspect"),
    [
        ([29.5 - n for n in range(12)], 4000, 30, True),
        ([29.5 - n for n in range(12)], 4000, None, True),
        ([29.5 - n for n in range(12)], 4000, 0, False),
        ([29.5 - n for n in range(12)], 1, 30, False),
        ([29.5 - n for n in range(5)], 4000, 30, False),
        ([20.0 - n for n in range(12)], 4000, 30, False),
        ([400.0] + [29.5 - n for n in range(12)], 4000, 30, False),
        ([13.5 - n / 2 for n in range(12)], 4000, 14, True),
    ],
    ids=[
        "a window",
        "nobody knows",
        "it shows all",
        "never more",
        "too few",
        "young",
        "older mail",
        "14 days",
    ],
)
async def test_an_account_whose_mail_all_ends_at_the_window_is_suspect(
    lite: Database, ages: list[float], first_uid: int, days: int | None, suspect: bool
) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        rig.desk = replace(rig.desk, profile=Profile("x", {}, visibility_window_days=days))
        fill(rig, ages, first_uid)
        for _ in range(2):
            result = await rig.run()
            assert (Doubt.ENDS_AT_WINDOW in doubts(result)) is suspect, "the second pass sees nothing new"
            assert result.completeness.grade is (Grade.SUSPECT if suspect else Grade.GOOD)


def two_mailboxes(rig: LabRig, *, older: bool) -> None:
    """A window's mail in INBOX and in another mailbox, where one message may be older."""
    for mailbox in (b"INBOX", b"Projects"):
        box = rig.old.find(mailbox) or rig.old.create(mailbox)
        box.uidnext = 4000
        for number in range(12):
            date = datetime.now(UTC) - timedelta(days=29.5 - number)
            rig.old.deliver(
                b"Subject: %d\r\n\r\nHi\r\n" % number,
                mailbox=mailbox,
                internal_date=date.replace(microsecond=0),
            )
    if older:
        rig.old.deliver(
            b"Subject: old\r\n\r\nHi\r\n", mailbox=b"Projects", internal_date=datetime(2001, 1, 1, tzinfo=UTC)
        )


async def broken_off(rig: LabRig, copies: int, *, killed: bool) -> None:
    """Begin a pass that ends once INBOX has so many copies."""

    def enough() -> bool:
        return len(rig.new.inbox.messages) >= copies

    def waits() -> Waits | None:
        return Waits(1.0, "others wait") if enough() and not killed else None

    def kill(_: object) -> None:
        if enough():
            raise RuntimeError("killed")

    desk = replace(rig.desk, must_wait=waits)
    request = PassRequest(rig.account_id, Mode.MIRROR)
    if killed:
        with pytest.raises(RuntimeError, match="killed"):
            await run_pass(desk, request, kill)
    else:
        assert (await run_pass(desk, request)).waits is not None
    await turn()


@pytest.mark.parametrize("older", [False, True], ids=["a window", "older mail"])
@pytest.mark.parametrize("killed", [False, True], ids=["ended early", "killed"])
@pytest.mark.parametrize("copies", [1, 12], ids=["in a mailbox", "between two"])
async def test_a_first_look_that_took_several_passes_is_judged_as_one(
    lite: Database, copies: int, killed: bool, older: bool
) -> None:
    async with lab(lite, protocols=IMAP, batch_messages=1, connections=1) as rig:
        two_mailboxes(rig, older=older)
        await broken_off(rig, copies, killed=killed)
        assert copies <= len(rig.new.inbox.messages) <= max(copies, 8)
        assert not any(box.messages for box in rig.new if box.name != b"INBOX")
        for _ in range(2):
            result = await rig.run()
            assert result.clean
            assert (Doubt.ENDS_AT_WINDOW in doubts(result)) is not older
        assert len(rig.new.inbox.messages) == 12


async def test_the_doubt_is_over_once_older_mail_comes_into_view(lite: Database) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        fill(rig, [29.5 - n for n in range(12)], 4000)
        first = await rig.run()
        assert "there was older mail" in first.completeness.details[0]
        fill(rig, [300.0], 5000)
        assert (await rig.run()).completeness.grade is Grade.GOOD
        assert (await rig.run()).completeness.grade is Grade.GOOD


async def test_the_doubt_is_over_once_the_oldest_message_outlives_the_window(lite: Database) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        fill(rig, [29.5 - n for n in range(12)], 4000)
        assert (await rig.run()).completeness.grade is Grade.SUSPECT
        lite.run_now(
            "three days later",
            lambda conn: conn.exec_driver_sql("UPDATE remarks SET number = number - 3 * 86400"),
        )
        assert (await rig.run()).completeness.grade is Grade.GOOD


async def test_copies_stay_when_their_messages_go_out_of_view(lite: Database) -> None:
    async with lab(lite, old={"window_30d"}, protocols=IMAP) as rig:
        fill(rig, [29.5 - n for n in range(28)])
        assert (await rig.run()).copied == 28
        for slipped in (1, 2, 3):
            let_a_day_go_by(rig)
            result = await rig.run()
            assert (result.deleted, len(rig.new.inbox.messages), result.held) == (0, 28, {})
            assert result.completeness.details == (
                f"{slipped} messages went out of view when they became old",
            )
        rig.source.premises.quirks.discard("window_30d")
        wide = await rig.run()
        assert (wide.copied, wide.completeness.grade, rig.unlike()) == (0, Grade.GOOD, [])


@pytest.mark.hazard("D17")
async def test_what_our_own_session_deleted_goes_however_old_it_is(lite: Database) -> None:
    async with lab(lite, old={"window_30d"}, protocols=IMAP) as rig:
        fill(rig, [29.5 - n for n in range(28)])
        await rig.run()
        rig.old.inbox.remove([1])
        lite.run_now(
            "told",
            lambda conn: deletions._add(
                conn, deletions.deletions_seen, {"account_id": rig.account_id, "mailbox": b"INBOX"}, 1
            ),
        )
        assert (await rig.run()).deleted == 1


@pytest.mark.hazard("D17")
async def test_deletions_follow_where_the_source_lists_older_mail(lite: Database) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        fill(rig, [400.0] + [29.5 - n for n in range(28)])
        await rig.run()
        rig.old.inbox.remove([2])
        assert (await rig.run()).deleted == 1
        rig.old.inbox.remove([20])
        result = await rig.run()
        assert (result.deleted, result.completeness.grade) == (1, Grade.GOOD)


@pytest.mark.hazard("D17")
async def test_a_message_too_old_to_have_been_in_such_a_view_was_deleted(lite: Database) -> None:
    async with lab(lite, protocols=IMAP) as rig:
        fill(rig, [60.0] + [28.5 - n for n in range(28)])
        await rig.run()
        rig.old.inbox.remove([1])
        assert (await rig.run()).deleted == 1


def sight(messages: int, days: float | None, *, gaps: bool = True) -> FirstSight:
    return FirstSight(messages, None if days is None else round(NOW - days * DAY), gaps)


@pytest.mark.parametrize(
    ("sights", "ends"),
    [
        ([sight(20, 29.0)], True),
        ([sight(20, 28.1), sight(3, 2.0, gaps=False)], True),
        ([sight(20, 27.0)], False),
        ([sight(20, 31.4)], True),
        ([sight(20, 29.0), sight(1, None)], False),
        ([sight(20, 29.0, gaps=False)], False),
        ([sight(5, 29.0), sight(4, 29.0)], False),
        ([], False),
    ],
)
def test_all_mailboxes_together_end_at_the_window(sights: list[FirstSight], ends: bool) -> None:
    assert (ends_at_window(sights, NOW, 30) is not None) is ends


def test_the_oldest_in_view_is_nobodys_where_something_is_older_or_undated() -> None:
    assert oldest_in_view([5, 3, 9], 3.0) == 3
    assert oldest_in_view([5, 2, 9], 3.0) is None
    assert oldest_in_view([5, None], 3.0) is None
    assert oldest_in_view([], 3.0) is None
