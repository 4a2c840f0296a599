"""Passes between lab hosts: everything arrives, runs converge, changes follow, the brake holds."""

from __future__ import annotations

import pytest

from mailferry.copying.results import Mode
from mailferry.model.causes import Cause
from mailferry.plan.completeness import Grade
from mailferry.plan.differences import Held
from mailferry.store.database import Database
from tests.copying.lab_rig import lab

pytestmark = pytest.mark.deadline(60)


async def test_everything_of_twelve_mailboxes_arrives_and_a_second_pass_copies_nothing(
    store: Database,
) -> None:
    async with lab(store, messages=200) as rig:
        first = await rig.run()
        assert (first.copied, first.remaining, first.clean) == (200, 0, True)
        assert rig.unlike() == []
        assert rig.new.subscriptions >= {b"INBOX", b"Sent"}
        appends = len(rig.commands(rig.target, "APPEND"))
        second = await rig.run()
        assert (second.copied, second.clean, second.total) == (0, True, 200)
        assert len(rig.commands(rig.target, "APPEND")) == appends
        assert rig.unlike() == []


@pytest.mark.parametrize(
    "quirks",
    [
        {"no_multiappend"},
        {"no_uidplus"},
        {"no_multiappend", "no_uidplus"},
        {"no_literal_plus"},
        {"no_literal_plus", "no_multiappend", "no_uidplus"},
        {"list_status_lie", "no_special_use", "aliyun_no_namespace"},
        {"namespace_lie", "no_move", "no_idle", "no_id"},
    ],
    ids=lambda quirks: " ".join(sorted(quirks)),
)
async def test_the_targets_lack_of_extensions_costs_nothing_but_time(
    lite: Database, quirks: set[str]
) -> None:
    async with lab(lite, messages=120, new=quirks) as rig:
        result = await rig.run()
        assert (result.copied, result.clean) == (120, True)
        found = {name: set(uids.values()) for name, uids in rig.ledgered().items()}
        assert all(0 not in uids for uids in found.values())
        if "no_special_use" not in quirks:
            assert rig.unlike() == []
        again = await rig.run()
        assert (again.copied, again.clean) == (0, True)


@pytest.mark.parametrize(
    "quirks",
    [
        {"netease_status", "netease_unsafe_login", "netease_numeric_tag"},
        {"fetch_order"},
        {"qq_desc_range", "qq_long_cmd", "qq_search"},
        {"aliyun_no_namespace", "no_special_use", "no_uidplus"},
    ],
    ids=lambda quirks: " ".join(sorted(quirks)),
)
async def test_the_sources_oddities_change_nothing(lite: Database, quirks: set[str]) -> None:
    async with lab(lite, messages=120, old=quirks) as rig:
        result = await rig.run()
        assert (result.copied, result.clean) == (120, True)
        assert (await rig.run()).copied == 0


async def test_new_vanished_and_reflagged_messages_follow_before_the_flip(store: Database) -> None:
    async with lab(store, messages=100) as rig:
        await rig.run()
        inbox = rig.old.inbox
        uids = sorted(inbox.messages)
        inbox.remove(uids[:3])
        inbox.reflag(uids[5], [b"\\Flagged", b"$Work"])
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        own = rig.new.deliver(b"Subject: only here\r\n\r\nmine\r\n")
        result = await rig.run()
        assert (result.copied, result.deleted, result.reflagged, result.clean) == (1, 3, 1, True)
        rig.new.inbox.remove([own.uid])
        assert rig.unlike() == []


@pytest.mark.hazard("D17")
async def test_a_mailbox_that_shrinks_suspiciously_keeps_its_copies_until_approved(store: Database) -> None:
    async with lab(store) as rig:
        for number in range(20):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        await rig.run()
        rig.old.inbox.remove(range(1, 5))
        held = await rig.run()
        assert held.held == {b"INBOX": (Held.TOO_MANY, 4)}
        assert (held.deleted, len(rig.new.inbox.messages)) == (0, 20)
        still = await rig.run()
        assert still.held == {b"INBOX": (Held.TOO_MANY, 4)}
        approved = await rig.run(approved=True)
        assert (approved.deleted, approved.held, len(rig.new.inbox.messages)) == (4, {}, 16)
        assert (await rig.run()).held == {}


@pytest.mark.hazard("D17")
async def test_a_mailbox_that_is_suddenly_empty_or_gone_keeps_its_copies(lite: Database) -> None:
    async with lab(lite) as rig:
        rig.old.create(b"A")
        rig.old.create(b"B")
        for name in (b"A", b"B"):
            rig.old.deliver(b"Subject: x\r\n\r\n%s\r\n" % name, mailbox=name)
        await rig.run()
        rig.old.mailbox(b"A").remove([1])
        rig.old.delete(b"B")
        held = await rig.run()
        assert held.held == {b"A": (Held.EMPTY, 1), b"B": (Held.EMPTY, 1)}
        assert len(rig.new.mailbox(b"A").messages) == len(rig.new.mailbox(b"B").messages) == 1
        assert (await rig.run(approved=True)).deleted == 2
        assert len(rig.new.mailbox(b"A").messages) == len(rig.new.mailbox(b"B").messages) == 0


async def test_from_the_flip_on_only_what_is_new_arrives(store: Database) -> None:
    async with lab(store, messages=60) as rig:
        await rig.run()
        here, there = rig.old.inbox, rig.new.inbox
        mine = min(there.messages)
        there.remove([mine])
        here.remove([max(here.messages)])
        here.reflag(sorted(here.messages)[3], [b"\\Deleted"])
        rig.old.deliver(b"Subject: late\r\n\r\nlate\r\n")
        before = len(there.messages)
        result = await rig.run(Mode.ADD_ONLY)
        assert (result.copied, result.deleted, result.reflagged) == (1, 0, 0)
        assert len(there.messages) == before + 1
        assert mine not in there.messages


async def test_backfill_brings_the_newest_mail_first(lite: Database) -> None:
    async with lab(lite, batch_messages=2, connections=1) as rig:
        for number in range(14):
            rig.old.deliver(b"Subject: %x\r\n\r\n" % number)
        await rig.run(Mode.ADD_ONLY, newest_first=True)
        order = b"".join(m.octets[9:10] for m in rig.new.inbox.messages.values())
        assert order == b"cd89ab01234567", "each time more is asked for at once"


async def test_a_copy_that_somebody_removed_at_the_target_comes_back_before_the_flip(lite: Database) -> None:
    async with lab(lite, messages=40) as rig:
        await rig.run()
        rig.new.inbox.remove(sorted(rig.new.inbox.messages)[:2])
        result = await rig.run(last=True)
        assert (result.copied, result.verified) == (2, True)
        assert rig.unlike() == []


@pytest.mark.hazard("D6")
async def test_a_changed_uidvalidity_at_the_source_is_matched_by_digests(store: Database) -> None:
    async with lab(store, messages=80) as rig:
        await rig.run()
        inbox = rig.old.inbox
        octets = [(m.octets, m.flags, m.internal_date) for m in inbox.messages.values()]
        inbox.remove(list(inbox.messages))
        inbox.uidvalidity += 77
        inbox.uidnext = 1
        for one, flags, date in octets[2:]:
            inbox.add(one, flags=flags, internal_date=date)
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        before = len(rig.new.inbox.messages)
        result = await rig.run()
        assert result.copied == 1
        assert result.held[b"INBOX"][1] == 2
        assert len(rig.new.inbox.messages) == before + 1
        assert (await rig.run()).held[b"INBOX"][1] == 2
        approved = await rig.run(approved=True)
        assert (approved.deleted, approved.copied) == (2, 0)
        assert rig.unlike() == []


@pytest.mark.hazard("D6")
async def test_a_changed_uidvalidity_at_the_target_is_matched_by_digests(lite: Database) -> None:
    async with lab(lite, messages=60) as rig:
        await rig.run()
        inbox = rig.new.inbox
        octets = [(m.octets, m.flags, m.internal_date) for m in inbox.messages.values()]
        inbox.remove(list(inbox.messages))
        inbox.uidvalidity += 77
        inbox.uidnext = 500
        for one, flags, date in octets[1:]:
            inbox.add(one, flags=flags, internal_date=date)
        result = await rig.run()
        assert (result.copied, result.clean) == (1, True)
        assert rig.unlike() == []


async def test_equal_uidvalidities_are_noticed_before_the_first_append(lite: Database) -> None:
    async with lab(lite) as rig:
        rig.old.create(b"Work")
        rig.new.create(b"Work")
        rig.new.mailbox(b"Work").uidvalidity = rig.old.mailbox(b"Work").uidvalidity
        rig.old.deliver(b"Subject: x\r\n\r\n", mailbox=b"Work")
        assert (await rig.run()).clean
        assert rig.new.mailbox(b"Work").uidvalidity != rig.old.mailbox(b"Work").uidvalidity
        rig.new.inbox.uidvalidity = rig.old.inbox.uidvalidity
        rig.old.deliver(b"Subject: x\r\n\r\n")
        result = await rig.run()
        assert result.cause is Cause.UIDVALIDITY_EQUAL
        assert "--uid-validity" in result.cause_text
        assert not rig.new.inbox.messages


@pytest.mark.hazard("D8")
async def test_keywords_that_the_target_does_not_permit_are_reported_and_the_mail_is_copied(
    lite: Database,
) -> None:
    async with lab(lite, new={"no_keywords"}) as rig:
        rig.old.deliver(b"Subject: x\r\n\r\n", flags=[b"\\Seen", b"$Label1"])
        result = await rig.run()
        assert (result.copied, result.clean) == (1, True)
        assert result.refused_keywords == {b"$Label1": 1}
        assert (await rig.run()).copied == 0


@pytest.mark.hazard("D11")
async def test_what_is_too_big_is_skipped_by_name_and_the_rest_goes_on(lite: Database) -> None:
    async with lab(lite, new={"append_limit"}) as rig:
        rig.target.premises.append_limit = 5000
        for size in (10, 6000, 20, 30):
            rig.old.deliver(b"Subject: x\r\n\r\n" + b"x" * size)
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (3, 1, True)
        assert rig.skips() == [(b"INBOX", 2, "too_big")]
        again = await rig.run()
        assert (again.skipped, again.known_skips, again.clean) == (0, 1, True)


@pytest.mark.hazard("D10")
@pytest.mark.parametrize("more", [set(), {"no_multiappend"}], ids=["batch", "single"])
async def test_one_refused_message_in_a_batch_does_not_stop_the_others(
    lite: Database, more: set[str]
) -> None:
    async with lab(lite, new={"append_nul_refused"} | more) as rig:
        for number in range(30):
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, b"\0" if number in {7, 20} else b"x"))
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (28, 2, True)
        assert {reason for _, _, reason in rig.skips()} == {"nul_refused"}
        assert len(rig.new.inbox.messages) == 28


@pytest.mark.hazard("D25")
async def test_bodies_that_the_source_withholds_are_not_taken_for_messages(lite: Database) -> None:
    async with lab(lite, old={"header_only"}) as rig:
        rig.old.deliver(b"Subject: x\r\nFrom: a\r\n\r\n" + b"body " * 2000)
        rig.old.deliver(b"Subject: short\r\n\r\n")
        result = await rig.run()
        assert result.copied == 1
        assert rig.skips() == [(b"INBOX", 1, "header_only_at_source")]
        assert result.completeness.grade is Grade.POOR
        assert (await rig.run()).completeness.grade is Grade.POOR


async def test_a_lost_source_ends_the_pass_and_the_next_one_resumes(lite: Database) -> None:
    async with lab(lite, messages=150, batch_messages=5, connections=1) as rig:
        progress: list[int] = []

        def note(step: object) -> None:
            progress.append(1)
            if len(progress) == 12:
                rig.source.switch_off("imap")

        from mailferry.copying.account import run_pass
        from mailferry.copying.results import PassRequest

        result = await run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR), note)
        assert result.cause is Cause.SERVER_DOWN
        assert 0 < result.copied < 150
        rig.source.switch_on("imap")
        second = await rig.run()
        assert second.clean
        assert second.copied + second.already + result.copied == 150
        assert rig.unlike() == []


async def test_a_lost_target_is_told_from_a_lost_source(lite: Database) -> None:
    async with lab(lite, messages=10) as rig:
        await rig.target.stop()
        result = await rig.run()
        assert (result.cause, result.copied, result.clean) == (Cause.TARGET_DOWN, 0, False)
        await rig.target.start()
        assert (await rig.run()).clean


async def test_a_last_pass_over_its_budget_says_so_and_leaves_nothing_undone_behind(lite: Database) -> None:
    async with lab(lite, messages=50) as rig:
        over = await rig.run(last=True, budget_seconds=0.0)
        assert (over.overrun, over.verified, over.clean) == (True, False, False)
        done = await rig.run(last=True, budget_seconds=20.0)
        assert (done.overrun, done.verified) == (False, True)
        assert rig.unlike() == []
