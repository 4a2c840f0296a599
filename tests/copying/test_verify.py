"""Comparing both sides message by message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailferry.copying.results import Mode
from mailferry.copying.skipped_mail import NOT_LISTED, FetchedMail, fetch_skipped
from mailferry.copying.verify import verify_account
from mailferry.copying.verify_findings import Difference, Fault, Verification
from mailferry.store import mailboxes, skipped
from mailferry.store.database import Database
from mailferry.store.mailboxes import OVER_POP3
from tests.copying.lab_rig import lab
from tests.copying.rig import OLD, Rig, make_rig, turn

pytestmark = pytest.mark.deadline(60)
POP3 = frozenset({"pop3"})


async def verified(rig: Rig, **options: float) -> tuple[Verification, list[Difference]]:
    told: list[Difference] = []
    found = await verify_account(rig.desk, rig.account_id, told.append, **options)
    await turn()
    return found, told


def faults(told: list[Difference]) -> set[tuple[int | None, Fault]]:
    return {(one.source_uid, one.fault) for one in told}


async def test_a_good_copy_is_found_alike_and_each_fault_is_named(lite: Database) -> None:
    async with lab(lite, messages=60, new={"append_nul_refused"}) as rig:
        for number in range(6):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        rig.old.deliver(b"Subject: nul\r\n\r\n\0")
        await rig.run()
        found, told = await verified(rig)
        assert told == []
        assert (found.messages, found.bodies_compared, found.skipped, found.target_only) == (67, 66, 1, 0)
        here = sorted(rig.old.inbox.messages)[-7:-1]
        there = {uid: rig.ledgered()[b"INBOX"][uid] for uid in here}
        inbox = rig.new.inbox
        inbox.remove([there[here[0]]])
        inbox.reflag(there[here[1]], [b"\\Deleted"])
        inbox.messages[there[here[2]]].octets += b"more"
        moved = inbox.messages[there[here[3]]]
        moved.internal_date = moved.internal_date.replace(year=1999)
        rig.old.inbox.remove([here[4]])
        fresh = rig.old.deliver(b"Subject: fresh\r\n\r\n")
        rig.new.deliver(b"Subject: own\r\n\r\n")
        spoilt, told = await verified(rig)
        assert faults(told) == {
            (here[0], Fault.COPY_MISSING),
            (here[1], Fault.FLAGS_DIFFER),
            (here[2], Fault.BODY_DIFFERS),
            (here[3], Fault.DATE_DIFFERS),
            (fresh.uid, Fault.NOT_COPIED),
        }
        assert (spoilt.target_only, spoilt.gone, spoilt.differences, spoilt.alike) == (1, 1, 5, False)


async def test_a_sample_is_the_same_each_time(lite: Database) -> None:
    async with lab(lite, messages=200) as rig:
        await rig.run()
        counts = {(await verified(rig, sample=0.25))[0].bodies_compared for _ in range(2)}
        assert len(counts) == 1
        assert 20 <= counts.pop() <= 80


@pytest.mark.hazard("D25")
@pytest.mark.parametrize("protocols", [frozenset({"imap"}), POP3], ids=["imap", "pop3"])
async def test_a_sample_of_an_account_with_mail_holds_one_message_at_least(
    lite: Database, protocols: frozenset[str]
) -> None:
    async with lab(lite, protocols=protocols) as rig:
        assert (await verified(rig, sample=0.000_001))[0].bodies_compared == 0
        for number in range(3):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        await rig.run(Mode.ADD_ONLY)
        assert (await verified(rig, sample=0.000_001))[0].bodies_compared == 1
        first = min(rig.ledgered()[b"INBOX"].values())
        rig.new.inbox.messages[first].octets += b"more"
        found, told = await verified(rig, sample=0.000_001)
        assert (found.bodies_compared, [one.fault for one in told]) == (1, [Fault.BODY_DIFFERS])


@pytest.mark.hazard("D25")
async def test_mailboxes_deleted_on_either_side_are_told_and_do_not_end_the_comparison(
    lite: Database,
) -> None:
    async with lab(lite) as rig:
        for name in (b"Gone", b"Lost", b"Kept"):
            rig.old.create(name)
            for number in range(3):
                rig.old.deliver(b"Subject: %s %d\r\n\r\n" % (name, number), mailbox=name)
        await rig.run()
        rig.old.delete(b"Gone")
        rig.new.delete(b"Lost")
        found, told = await verified(rig)
        assert {(one.mailbox, one.fault) for one in told if one.source_uid is None} == {
            (b"Gone", Fault.GONE_AT_SOURCE),
            (b"Lost", Fault.GONE_AT_TARGET),
        }
        missing = [one.mailbox for one in told if one.fault is Fault.COPY_MISSING]
        assert missing == [b"Lost"] * 3
        assert (found.messages, found.gone, found.bodies_compared, found.differences) == (6, 3, 3, 3)


async def test_a_mailbox_gone_from_the_source_alone_is_no_difference(lite: Database) -> None:
    async with lab(lite, messages=20) as rig:
        rig.old.create(b"Gone")
        rig.old.deliver(b"Subject: gone\r\n\r\n", mailbox=b"Gone")
        await rig.run()
        rig.old.delete(b"Gone")
        found, told = await verified(rig)
        assert [(one.mailbox, one.fault) for one in told] == [(b"Gone", Fault.GONE_AT_SOURCE)]
        assert (found.alike, found.gone) == (True, 1)


@pytest.mark.hazard("D6")
@pytest.mark.parametrize("side", ["old", "new"])
async def test_uids_that_mean_other_messages_now_are_not_compared(lite: Database, side: str) -> None:
    async with lab(lite) as rig:
        for number in range(5):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run()
        getattr(rig, side).inbox.uidvalidity += 5
        found, told = await verified(rig)
        where = {"old": "source", "new": "target"}[side]
        assert told == [Difference(b"INBOX", None, Fault.RENUMBERED, where)]
        assert (found.messages, found.alike) == (5, False)


# --- POP3 alone


async def test_a_source_with_pop3_alone_is_compared_by_its_uidls(lite: Database) -> None:
    async with lab(lite, protocols=POP3, new={"append_nul_refused"}) as rig:
        assert (await verified(rig))[0].alike
        for number in range(250):
            rig.old.deliver(b"Subject: %d\r\n\r\n.%d\r\n..\r\n" % (number, number))
        rig.old.deliver(b"Subject: nul\r\n\r\n\0\r\n")
        found, told = await verified(rig)
        assert (found.differences, {one.fault for one in told}) == (251, {Fault.NOT_COPIED})
        await rig.run(Mode.ADD_ONLY)
        found, told = await verified(rig)
        assert told == []
        assert (found.messages, found.bodies_compared, found.skipped, found.target_only) == (251, 250, 1, 0)
        copies = rig.ledgered()[b"INBOX"]
        rig.new.inbox.remove([copies[3]])
        rig.new.inbox.messages[copies[4]].octets += b"more"
        rig.new.deliver(b"Subject: own\r\n\r\n")
        rig.old.inbox.remove([min(rig.old.inbox.messages)])
        rig.old.deliver(b"Subject: fresh\r\n\r\n")
        found, told = await verified(rig)
        assert faults(told) == {
            (3, Fault.COPY_MISSING),
            (4, Fault.BODY_DIFFERS),
            (None, Fault.NOT_COPIED),
        }
        assert (found.gone, found.target_only) == (1, 1)
        assert all(one.detail.startswith("UIDL old") for one in told), told
        sampled, _ = await verified(rig, sample=0.2)
        assert 10 <= sampled.bodies_compared <= 100


@pytest.mark.hazard("D6")
@pytest.mark.parametrize(
    "quirks",
    [
        {"pop3_uidl_missing"},
        {"pop3_uidl_changes"},
        {"pop3_uidl_duplicate"},
        {"pop3_list_lies"},
        {"pop3_no_last_line_end"},
        {"pop3_uidl_missing", "pop3_no_top"},
    ],
    ids=lambda kinds: " ".join(sorted(kinds)),
)
async def test_a_maildrop_of_an_odd_server_is_compared_as_well(lite: Database, quirks: set[str]) -> None:
    async with lab(lite, protocols=POP3, old=quirks) as rig:
        for number in range(12):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number // 2, number))
        await rig.run(Mode.ADD_ONLY)
        found, told = await verified(rig)
        assert told == []
        assert (found.messages, found.bodies_compared, found.gone) == (12, 12, 0)
        spoilt = sorted(rig.new.inbox.messages)[5]
        rig.new.inbox.messages[spoilt].octets += b"more"
        rig.new.inbox.remove([min(rig.new.inbox.messages)])
        found, told = await verified(rig)
        assert sorted(one.fault for one in told) == [Fault.BODY_DIFFERS, Fault.COPY_MISSING]


async def test_a_maildrop_is_compared_in_slices_so_that_its_user_gets_in(lite: Database) -> None:
    async with lab(lite, protocols=POP3) as rig:
        for number in range(3):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run(Mode.ADD_ONLY)
        rig.limited(slice_seconds=0.02)
        found, told = await verified(rig)
        assert (told, found.bodies_compared) == ([], 3)


async def test_what_only_pop3_shows_is_compared_too_and_is_not_only_at_the_target(lite: Database) -> None:
    async with lab(lite, old={"imap_window_30d"}) as rig:
        for year in (2001, 2002, 2003):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % year, internal_date=datetime(year, 1, 1, tzinfo=UTC))
        rig.old.deliver(b"Subject: new\r\n\r\n")
        await rig.run()
        assert len(rig.new.inbox.messages) == 4
        found, told = await verified(rig)
        assert told == []
        assert (found.messages, found.bodies_compared, found.target_only) == (4, 4, 0)
        spoilt = next(m for m in rig.new.inbox.messages.values() if b"2002" in m.octets)
        spoilt.octets += b"more"
        found, told = await verified(rig)
        assert [(one.mailbox, one.fault) for one in told] == [(OVER_POP3, Fault.BODY_DIFFERS)]


@pytest.mark.peer("dovecot")
async def test_a_real_maildrop_is_compared_and_gives_its_skipped_mail(
    hosts: tuple[Any, Any], lite: Database, tmp_path: Path
) -> None:
    source, target = hosts
    for number in range(30):
        source.save(OLD, b"Subject: %d\r\n\r\n.%d\r\nno end" % (number, number))
    rig = make_rig(source, target, lite)
    rig.desk = replace(rig.desk, endpoints=replace(rig.desk.endpoints, source_imap=None))
    assert (await rig.run(Mode.ADD_ONLY)).copied == 30
    found, told = await verified(rig)
    assert (told, found.bodies_compared, found.target_only) == ([], 30, 0)
    target.doveadm("expunge", "-u", OLD, "mailbox", "INBOX", "subject", "11")

    def left_out(conn: Any) -> None:
        (box,) = mailboxes.of_account(conn, rig.account_id)
        for uid in (4, 99):
            skipped.note(conn, box.id, uid, reason="refused")

    lite.run_now("left out", left_out)
    found, told = await verified(rig)
    assert [one.fault for one in told] == [Fault.COPY_MISSING]
    files: list[FetchedMail] = []
    await fetch_skipped(rig.desk, rig.account_id, tmp_path / "eml", files.append)
    await turn()
    assert [(one.source_uid, one.why) for one in files] == [(4, ""), (99, NOT_LISTED)]
    assert (tmp_path / "eml").joinpath(
        files[0].file or ""
    ).read_bytes() == b"Subject: 3\r\n\r\n.3\r\nno end\r\n"
