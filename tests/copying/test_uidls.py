"""UIDLs learnt on both sides: the map that keeps POP3 clients from downloading everything again."""

from __future__ import annotations

import pytest

from mailferry.copying.uidls import learn_uidls
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


async def learn(rig: LabRig, **limits: float):  # type: ignore[no-untyped-def]
    state = await learn_uidls(rig.desk, rig.account_id)
    await turn()
    return state


async def test_each_message_of_the_sources_maildrop_keeps_its_uidl_and_its_place(store: Database) -> None:
    async with lab(store, messages=150) as rig:
        await rig.run()
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
        await rig.run()
        await learn(rig)
        asked = len(rig.commands(rig.source, "TOP"))
        rig.old.deliver(b"Subject: new\r\n\r\nnew\r\n")
        waiting = await learn(rig)
        assert (waiting.waiting, waiting.ready) == (1, False)
        await rig.run()
        assert (await learn(rig)).ready
        assert len(rig.commands(rig.source, "TOP")) <= asked + 2


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


async def test_mail_that_the_sources_maildrop_never_showed_is_hidden(lite: Database) -> None:
    async with lab(lite) as rig:
        for number in range(4):
            rig.old.deliver(b"Subject: %d\r\n\r\n" % number)
        await rig.run()
        state = await learn(rig)
        assert state.hidden == 0
        rig.source.premises.quirks.add("window_30d")
        old = rig.old.inbox.messages[1]
        old.internal_date = old.internal_date.replace(year=2001)
        state = await learn(rig)
        assert (state.shown, state.paired, state.hidden) == (3, 3, 1)
        assert rig.uidl_map()[-1] == (None, rig.new.inbox.messages[1].uidl)


@pytest.mark.parametrize("quirks", [{"pop3_no_top"}, {"pop3_reversed"}], ids=" ".join)
async def test_the_maildrops_oddities_are_lived_with(lite: Database, quirks: set[str]) -> None:
    async with lab(lite, messages=60, old=quirks) as rig:
        await rig.run()
        assert (await learn(rig)).ready


async def test_skipped_mail_leaves_the_list_and_is_counted(lite: Database) -> None:
    async with lab(lite, new={"append_nul_refused"}) as rig:
        rig.old.deliver(b"Subject: good\r\n\r\n")
        rig.old.deliver(b"Subject: bad\r\n\r\n\0")
        await rig.run()
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
