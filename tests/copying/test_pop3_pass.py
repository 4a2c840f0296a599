"""A source with POP3 alone: the maildrop arrives in INBOX, once, under numbers of our own."""

from __future__ import annotations

import pytest

from mailferry.copying.results import Mode
from mailferry.copying.uidls import learn_uidls
from mailferry.model.causes import Cause
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


async def test_a_server_without_uidl_is_named_as_the_cause(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_uidl_missing"}) as rig:
        rig.old.deliver(b"Subject: x\r\n\r\n")
        result = await rig.run()
        assert result.cause is not None
        assert result.cause is not Cause.BAD_CREDENTIALS
        assert not rig.new.inbox.messages


async def test_equal_uidls_of_twins_are_told_apart_by_their_place(lite: Database) -> None:
    async with lab(lite, protocols=POP3, old={"pop3_uidl_duplicate"}) as rig:
        for _ in range(3):
            rig.old.deliver(b"Subject: twin\r\n\r\n")
        assert (await rig.run()).copied == 3
        assert (await rig.run()).copied == 0


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
        await rig.run()
        state = await learn_uidls(rig.desk, rig.account_id)
        assert (state.shown, state.paired, state.ready) == (5, 5, True)
        shown = [uidl for uidl, _ in rig.uidl_map()]
        assert shown == [m.uidl for m in reversed(rig.old.inbox.messages.values())]
