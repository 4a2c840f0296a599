"""UIDLs learnt on both sides: the map that keeps POP3 clients from downloading everything again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from mailferry.copying import elsewhere
from mailferry.copying.results import Mode
from mailferry.copying.uidls import UidlState, learn_uidls
from mailferry.model.causes import Cause
from mailferry.plan.completeness import Doubt
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D13")]


def expected(rig: LabRig) -> list[tuple[bytes, bytes]]:
    """Return the map as it must be, by what the lab knows."""
    pairs = rig.ledgered()[b"INBOX"]
    return [
        (message.uidl, rig.new.inbox.messages[pairs[uid]].uidl)
        for uid, message in rig.old.inbox.messages.items()
    ]


async def learn(rig: LabRig, **request: Any) -> UidlState:
    """Run a pass and learn what it saw, as a turn of the copier does."""
    result = await rig.run(**request)
    state = await learn_uidls(rig.desk, rig.account_id, result.maildrop, asked=result.maildrop_asked)
    await turn()
    return state


async def test_each_message_of_the_sources_maildrop_keeps_its_uidl_and_its_place(store: Database) -> None:
    async with lab(store, messages=150) as rig:
        state = await learn(rig)
        assert (state.paired, state.waiting, state.unpaired, state.hidden) == (state.shown, 0, 0, 0)
        assert state.ready
        octets = {m.uidl: m.octets for m in rig.new.inbox.messages.values()}
        sources = {m.uidl: m.octets for m in rig.old.inbox.messages.values()}
        rows = rig.uidl_map()
        assert [source for source, _ in rows] == [m.uidl for m in rig.old.inbox.messages.values()]
        assert len({target for _, target in rows}) == len(rows)
        for source, target in rows:
            assert source is not None
            assert target is not None
            assert sources[source] == octets[target]


async def test_learning_again_asks_only_about_what_is_new(lite: Database) -> None:
    async with lab(lite, messages=60) as rig:
        await learn(rig)
        asked = len(rig.commands(rig.source, "TOP"))
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        assert (await learn(rig)).ready
        assert len(rig.commands(rig.source, "TOP")) == asked + 1


async def test_the_maildrop_is_opened_once_a_pass_and_not_at_all_while_nothing_changed(
    lite: Database,
) -> None:
    async with lab(lite, messages=60) as rig:
        assert (await learn(rig)).ready
        opened = [len(rig.commands(host, "PASS")) for host in (rig.source, rig.target)]
        assert opened == [1, 1]
        state = await learn(rig)
        assert (state.ready, state.paired) == (True, state.shown)
        assert (await learn(rig, last=True, budget_seconds=20.0)).ready
        assert [len(rig.commands(host, "PASS")) for host in (rig.source, rig.target)] == opened
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        assert (await learn(rig)).ready
        assert [len(rig.commands(host, "PASS")) for host in (rig.source, rig.target)] == [2, 2]


async def test_equal_headers_are_told_apart_by_bodies_and_true_twins_go_in_order(lite: Database) -> None:
    async with lab(lite) as rig:
        for body in (b"one", b"two", b"one", b"three", b"no last line end"):
            end = b"" if body.startswith(b"no") else b"\r\n"
            rig.old.deliver(b"Subject: same\r\n\r\n" + body + end)
        await rig.run()
        assert (await learn(rig)).ready
        octets = {m.uidl: m.octets for m in rig.new.inbox.messages.values()}
        sources = {m.uidl: m.octets for m in rig.old.inbox.messages.values()}
        assert all(sources[a or b""] == octets[b or b""] for a, b in rig.uidl_map())
        assert [a for a, _ in rig.uidl_map()] == [m.uidl for m in rig.old.inbox.messages.values()]


def deliver_old(rig: LabRig, octets: bytes, mailbox: bytes = b"INBOX") -> Any:
    """Deliver a message that a window of 30 days hides."""
    return rig.old.deliver(octets, mailbox=mailbox, internal_date=datetime(2001, 2, 3, tzinfo=UTC))


async def test_mail_that_the_sources_maildrop_never_showed_is_hidden(lite: Database) -> None:
    async with lab(lite, old={"pop3_window_30d"}) as rig:
        deliver_old(rig, b"Subject: old\r\n\r\n")
        for number in range(3):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        state = await learn(rig)
        assert (state.shown, state.paired, state.hidden, state.ready) == (3, 3, 1, True)
        assert rig.uidl_map()[-1] == (None, rig.new.inbox.messages[1].uidl)
        headers = len(rig.commands(rig.source, "UID FETCH"))
        rig.old.deliver(b"Subject: new\r\n\r\n")
        assert (await learn(rig)).hidden == 1
        assert len(rig.commands(rig.source, "UID FETCH")) - headers < 8
        rig.source.premises.quirks.discard("pop3_window_30d")
        rig.old.deliver(b"Subject: newer\r\n\r\n")
        state = await learn(rig)
        assert (state.shown, state.paired, state.hidden, state.ready) == (6, 6, 0, True)


def twice(rig: LabRig) -> list[bytes]:
    """Return what lies more often in the target's INBOX than in the source's."""
    there = Counter(m.octets for m in rig.new.inbox.messages.values())
    return list((there - Counter(m.octets for m in rig.old.inbox.messages.values())).elements())


@pytest.mark.hazard("D25")
@pytest.mark.parametrize("mode", [Mode.MIRROR, Mode.ADD_ONLY])
async def test_what_imap_hides_comes_over_pop3_and_is_not_copied_again_when_imap_shows_it(
    lite: Database, mode: Mode
) -> None:
    async with lab(lite, old={"imap_window_30d"}) as rig:
        for number in range(5):
            deliver_old(rig, b"Subject: old %d\r\n\r\n%d\r\n" % (number // 2, number))
            rig.old.deliver(b"Subject: new %d\r\n\r\n" % number)
        state = await learn(rig, mode=mode)
        assert (state.shown, state.paired, state.ready) == (10, 10, True)
        result = rig.results[-1]
        assert (result.total, result.copied, result.clean) == (10, 10, True)
        assert result.completeness.doubts == (Doubt.POP3_SHOWS_MORE,)
        assert twice(rig) == []
        shown = [uidl for uidl, _ in rig.uidl_map()]
        assert shown == [m.uidl for m in rig.old.inbox.messages.values()]
        rig.source.premises.quirks.discard("imap_window_30d")
        rig.old.deliver(b"Subject: newest\r\n\r\n")
        state = await learn(rig, mode=mode)
        result = rig.results[-1]
        assert (result.total, result.copied, result.already, result.clean) == (11, 1, 5, True)
        assert twice(rig) == []
        assert (state.shown, state.paired, state.ready) == (11, 11, True)
        assert result.completeness.doubts == ()


async def test_copies_of_what_imap_hides_follow_its_deletion(lite: Database) -> None:
    async with lab(lite, old={"imap_window_30d"}) as rig:
        olds = [deliver_old(rig, b"Subject: old %d\r\n\r\n" % number) for number in range(20)]
        rig.old.deliver(b"Subject: new\r\n\r\n")
        await learn(rig)
        rig.old.inbox.remove([olds[3].uid])
        rig.old.deliver(b"Subject: newer\r\n\r\n")
        assert (await learn(rig)).ready
        assert (rig.results[-1].deleted, len(rig.new.inbox.messages)) == (1, 21)


@pytest.mark.parametrize("many", [False, True])
async def test_mail_of_other_mailboxes_that_pop3_shows_is_not_copied_into_inbox(
    lite: Database, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0 if many else 2000)
    async with lab(lite, old={"pop3_all_mail"}) as rig:
        rig.old.create(b"Sent")
        for number in range(4):
            rig.old.deliver(b"Subject: in %d\r\n\r\n" % number)
            rig.old.deliver(b"Subject: out %d\r\n\r\n" % number, mailbox=b"Sent")
        state = await learn(rig)
        assert state.unread is many
        state = await learn(rig)
        assert (state.shown, state.paired, state.left_out, state.ready) == (8, 4, 4, True)
        assert len(rig.new.inbox.messages) == 4
        selects = len(rig.commands(rig.source, "EXAMINE SENT"))
        rig.old.deliver(b"Subject: new\r\n\r\n")
        assert (await learn(rig)).ready
        assert len(rig.commands(rig.source, "EXAMINE SENT")) <= selects + 1


async def test_a_message_that_pop3_shows_and_the_target_refuses_holds_nothing(lite: Database) -> None:
    async with lab(lite, old={"imap_window_30d"}, new={"append_nul_refused"}) as rig:
        deliver_old(rig, b"Subject: bad\r\n\r\n\0\r\n")
        rig.old.deliver(b"Subject: good\r\n\r\n")
        state = await learn(rig)
        assert (state.shown, state.paired, state.left_out, state.ready) == (2, 1, 1, True)
        assert [reason for _, _, reason in rig.skips()] == ["nul_refused"]


@pytest.mark.parametrize(
    ("quirks", "kept"),
    [
        ({"pop3_uidl_duplicate"}, 3),
        ({"pop3_uidl_missing"}, 0),
        ({"pop3_uidl_changes"}, 6),
        ({"pop3_uidl_of_header"}, 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, set) else "",
)
async def test_uidls_that_cannot_be_kept_hold_no_account(lite: Database, quirks: set[str], kept: int) -> None:
    async with lab(lite, old=quirks) as rig:
        for body in (b"one", b"two", b"three", b"twin", b"twin", b"twin"):
            rig.old.deliver(b"Subject: %s\r\n\r\n%s\r\n" % (body, body))
        state = await learn(rig)
        assert (state.shown, state.paired, state.ready) == (6, 6, True)
        assert len([uidl for uidl, _ in rig.uidl_map() if uidl is not None]) == kept
        assert (state.hidden, len(rig.new.inbox.messages)) == (0, 6)


async def test_a_server_that_wants_a_pause_between_logins_gets_it(lite: Database) -> None:
    async with lab(lite, old={"pop3_login_delay"}) as rig:
        rig.old.deliver(b"Subject: 1\r\n\r\n")
        assert (await learn(rig)).ready
        rig.old.deliver(b"Subject: 2\r\n\r\n")
        state = await learn(rig)
        assert (state.unread, rig.results[-1].clean) == (True, True)
        assert len(rig.commands(rig.source, "PASS")) == 1
        rig.let_logins_be_due()
        rig.source.premises.pop3_logins.clear()
        assert (await learn(rig)).ready
        assert len(rig.commands(rig.source, "PASS")) == 2


async def test_a_pause_that_no_capability_announces_is_learnt_from_a_refusal(lite: Database) -> None:
    async with lab(lite, protocols=frozenset({"pop3"}), old={"pop3_login_delay", "pop3_no_capa"}) as rig:
        await rig.run()
        refused = await rig.run()
        assert (refused.cause, refused.retry_after) == (Cause.RATE_LIMITED, 60)
        waits = (await rig.run()).waits
        assert waits is not None
        assert 50 < waits.seconds <= 61
        assert len(rig.commands(rig.source, "PASS")) == 2
        rig.let_logins_be_due()
        rig.source.premises.pop3_logins.clear()
        assert (await rig.run()).clean
        assert (await rig.run()).waits is not None


@pytest.mark.parametrize("quirks", [{"pop3_no_top"}, {"pop3_reversed"}], ids=" ".join)
async def test_the_maildrops_oddities_are_lived_with(lite: Database, quirks: set[str]) -> None:
    async with lab(lite, messages=60, old=quirks) as rig:
        await rig.run()
        assert (await learn(rig)).ready


async def test_skipped_mail_leaves_the_list_and_is_counted(lite: Database) -> None:
    async with lab(lite, new={"append_nul_refused"}) as rig:
        rig.old.deliver(b"Subject: good\r\n\r\n")
        rig.old.deliver(b"Subject: bad\r\n\r\n\0")
        state = await learn(rig)
        assert (state.shown, state.paired, state.left_out, state.ready) == (2, 1, 1, True)


async def test_a_slice_that_is_over_keeps_what_was_learnt(lite: Database) -> None:
    async with lab(lite, messages=400) as rig:
        await rig.run()
        rig.limited(slice_seconds=0.0)
        state = await learn(rig)
        assert state.unread
        assert not state.ready
        rig.limited(slice_seconds=30.0)
        assert (await learn(rig)).ready
