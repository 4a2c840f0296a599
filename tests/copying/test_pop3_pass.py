"""A source with POP3 alone: the maildrop arrives in INBOX, once, under numbers of our own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from mailferry.copying.results import Mode
from mailferry.copying.uidls import learn_uidls
from mailferry.plan.differences import Held
from mailferry.store.database import Database
from tests.copying.lab_rig import lab

pytestmark = pytest.mark.deadline(60)
POP3 = frozenset({"pop3"})
RECEIVED = b"Received: from a by b; Tue, 5 Mar 2019 10:11:12 +0800\r\n"


async def test_the_maildrop_arrives_with_its_arrival_dates_and_a_second_pass_copies_nothing(
    store: Database,
) -> None:
    async with lab(store, protocols=POP3) as rig:
        for number in range(40):
            rig.old.deliver(RECEIVED + b"Subject: %d\r\n\r\n.dot\r\n..\r\n" % (number // 2))
        first = await rig.run(Mode.ADD_ONLY)
        assert (first.copied, first.clean, first.total) == (40, True, 40)
        there = rig.new.inbox.messages.values()
        assert sorted(m.octets for m in there) == sorted(m.octets for m in rig.old.inbox.messages.values())
        assert {int(m.internal_date.timestamp()) for m in there} == {1551751872}
        again = await rig.run(Mode.ADD_ONLY)
        assert (again.copied, again.clean) == (0, True)


async def test_a_message_larger_than_memory_allows_goes_through_a_file(lite: Database) -> None:
    async with lab(lite, protocols=POP3) as rig:
        large = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 150_000
        rig.old.deliver(b"Subject: small\r\n\r\n")
        rig.old.deliver(large)
        result = await rig.run(Mode.ADD_ONLY)
        assert (result.copied, result.clean) == (2, True)
        assert max(len(m.octets) for m in rig.new.inbox.messages.values()) == len(large)


async def test_deletions_in_the_maildrop_follow_before_the_flip_and_the_brake_holds(lite: Database) -> None:
    async with lab(lite, protocols=POP3) as rig:
        for number in range(20):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run()
        rig.old.inbox.remove([1, 2])
        assert (await rig.run()).deleted == 2
        rig.old.inbox.remove(range(3, 12))
        assert (await rig.run()).held == {b"INBOX": (Held.TOO_MANY, 9)}
        assert (await rig.run(approved=True)).deleted == 9
        assert len(rig.new.inbox.messages) == 9


async def test_a_server_that_changes_all_its_uidls_is_matched_by_digests(lite: Database) -> None:
    async with lab(lite, protocols=POP3) as rig:
        for number in range(20):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run()
        for message in rig.old.inbox.messages.values():
            message.uidl = b"other" + message.uidl
        rig.old.deliver(b"Subject: new\r\n\r\n")
        result = await rig.run()
        assert (result.copied, result.deleted, result.held) == (1, 0, {})
        assert len(rig.new.inbox.messages) == 21


async def test_equal_uidls_of_twins_are_told_apart_by_their_place(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_uidl_duplicate"}) as rig:
        for _ in range(3):
            rig.old.deliver(b"Subject: twin\r\n\r\n")
        assert (await rig.run()).copied == 3
        assert (await rig.run()).copied == 0


MESSAGES = (
    b"Subject: plain\r\n\r\nplain\r\n",
    b"Subject: dots\r\n\r\n.one\r\n..two\r\n...three\r\n",
    b"Subject: lone dot\r\n\r\nabove\r\n.\r\nbelow\r\n",
    b"Subject: same\r\n\r\nfirst\r\n",
    b"Subject: same\r\n\r\nsecond\r\n",
    b"Subject: same\r\n\r\nfirst\r\n",
    b"Subject: long\r\n\r\n" + b"x" * 70_000 + b"\r\n",
    b"Subject: no body\r\n\r\n",
    b"Subject: last\r\n\r\nthe end\r\n",
)
ODDITIES = [
    {"pop3_uidl_missing"},
    {"pop3_uidl_missing", "pop3_no_top"},
    {"pop3_uidl_missing", "pop3_no_list"},
    {"pop3_uidl_changes"},
    {"pop3_uidl_duplicate"},
    {"pop3_uidl_of_header"},
    {"pop3_list_lies"},
    {"pop3_no_list"},
    {"pop3_no_stuffing"},
    {"pop3_no_stuffing", "pop3_no_list", "pop3_no_capa"},
    {"pop3_no_last_line_end"},
    {"pop3_no_last_line_end", "pop3_no_capa"},
    {"pop3_no_capa"},
    {"pop3_cut_short"},
    {"pop3_reversed"},
]


@pytest.mark.hazard("D2")
@pytest.mark.hazard("D4")
@pytest.mark.hazard("D5")
@pytest.mark.parametrize("quirks", ODDITIES, ids=lambda kinds: " ".join(sorted(kinds)))
async def test_each_message_arrives_once_and_whole_from_a_server_that_does_it_wrong(
    lite: Database, quirks: set[str]
) -> None:
    async with lab(lite, protocols=POP3, old=quirks) as rig:
        for octets in MESSAGES:
            rig.old.deliver(octets)

        def wrong() -> Counter[bytes]:
            """What is at one side only; a message that the server sends without its last line end may lack it."""
            ends = b"\r\n" if "pop3_no_last_line_end" in quirks else b""
            there = Counter(
                m.octets.rstrip(ends) if ends else m.octets for m in rig.new.inbox.messages.values()
            )
            here = Counter(
                m.octets.rstrip(ends) if ends else m.octets for m in rig.old.inbox.messages.values()
            )
            return (there - here) + (here - there)

        assert (await rig.run()).clean
        assert wrong() == Counter()
        await rig.run()
        assert len(rig.new.inbox.messages) == len(MESSAGES)
        rig.old.inbox.remove([4])
        rig.old.deliver(b"Subject: same\r\n\r\nthird\r\n")
        for _ in range(3):
            assert (await rig.run()).clean
        assert wrong() == Counter()


@pytest.mark.hazard("D6")
async def test_what_is_copied_is_not_uploaded_again_however_often_the_uidls_change(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_uidl_changes"}) as rig:
        for number in range(30):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        for mode in (Mode.MIRROR, Mode.ADD_ONLY, Mode.MIRROR, Mode.ADD_ONLY, Mode.ADD_ONLY):
            result = await rig.run(mode)
            assert (result.copied, result.deleted, result.held) == (30 * (len(rig.results) == 1), 0, {})
        assert len(rig.commands(rig.target, "APPEND")) == 1
        asked = len(rig.commands(rig.source, "UIDL")), len(rig.commands(rig.source, "RETR"))
        assert (await rig.run()).clean
        assert (len(rig.commands(rig.source, "UIDL")), len(rig.commands(rig.source, "RETR"))) == asked


async def test_a_server_without_uidl_is_asked_for_new_headers_only_while_nothing_went_away(
    lite: Database,
) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_uidl_missing"}) as rig:
        for number in range(40):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run()
        before = len(rig.commands(rig.source, "TOP"))
        rig.old.deliver(b"Subject: new\r\n\r\n")
        assert (await rig.run()).copied == 1
        assert len(rig.commands(rig.source, "TOP")) - before == 3
        rig.old.inbox.remove([7])
        rig.old.deliver(b"Subject: newer\r\n\r\n")
        result = await rig.run()
        assert (result.copied, result.deleted, result.clean) == (1, 1, True)


@pytest.mark.hazard("D17")
async def test_a_server_that_hides_what_was_retrieved_empties_no_target(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_retr_hides"}) as rig:
        for number in range(4):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        assert (await rig.run()).copied == 4
        for number in range(3):
            rig.old.deliver(b"Subject: later %d\r\n\r\n" % number)
            result = await rig.run()
            assert (result.copied, result.deleted) == (1, 0)
            assert result.held
        assert len(rig.new.inbox.messages) == 7


async def test_a_message_that_breaks_the_session_each_time_is_left_out_and_the_rest_arrives(
    lite: Database,
) -> None:
    async with lab(lite, protocols=POP3) as rig:
        for number in range(12):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        rig.source.premises.breaks_at = "RETR 7"
        result = await rig.run()
        assert (result.copied, result.skipped, result.clean) == (11, 1, True)
        assert rig.skips() == [(b"INBOX", 7, "unreadable_at_source")]
        rig.source.premises.breaks_at = None
        rig.let_skips_be_due()
        assert (await rig.run()).copied == 1


async def test_a_source_that_turns_out_to_have_imap_after_all_is_matched_and_not_copied_again(
    lite: Database,
) -> None:
    async with lab(lite) as rig:
        both = rig.desk
        for number in range(12):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        rig.old.inbox.remove([1, 2, 3])
        rig.desk = replace(both, endpoints=replace(both.endpoints, source_imap=None))
        assert (await rig.run()).copied == 9
        rig.desk = both
        result = await rig.run()
        assert (result.copied, result.deleted, result.clean) == (0, 0, True)
        rig.desk = replace(both, endpoints=replace(both.endpoints, source_imap=None))
        assert (await rig.run()).clean
        assert len(rig.new.inbox.messages) == 9


async def test_the_maildrop_is_given_back_after_a_slice(lite: Database) -> None:
    async with lab(lite, protocols=POP3, batch_messages=2, slice_seconds=0.0001) as rig:
        for number in range(10):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        result = await rig.run()
        assert not result.clean
        assert (result.cause, result.overrun, result.remaining + result.copied) == (None, False, 10)
        rig.limited(slice_seconds=30.0)
        assert (await rig.run()).clean
        assert len(rig.new.inbox.messages) == 10


async def test_uidls_of_a_maildrop_need_no_digests_of_the_source(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_reversed"}) as rig:
        for number in range(5):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % (number // 3))
        result = await rig.run()
        state = await learn_uidls(rig.desk, rig.account_id, result.maildrop, asked=True)
        assert (state.shown, state.paired, state.ready) == (5, 5, True)
        shown = [uidl for uidl, _ in rig.uidl_map()]
        assert shown == [m.uidl for m in reversed(rig.old.inbox.messages.values())]
