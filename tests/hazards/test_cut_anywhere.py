"""Connections cut at every place that counts: within a large message, and within all that a target says."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest

from mailferry.model.causes import Cause
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import turn
from tests.copying.test_broken_links import partial, through
from tests.kit import hostile_mail
from tests.kit.fault_relay import FR, Fault, Kind

pytestmark = pytest.mark.deadline(300)
KB = 1024


def octets(rig: LabRig, side: Literal["old", "new"]) -> Counter[bytes]:
    box = rig.old.inbox if side == "old" else rig.new.inbox
    return Counter(message.octets for message in box.messages.values())


async def first_pass(rig: LabRig, relay: FR, direction: Literal["to_client", "to_server"]) -> int:
    """Run a pass with nothing in its way and return how much went by."""
    assert (await rig.run()).clean
    await turn()
    return relay.passed[direction]


@pytest.mark.hazard("D4")
@pytest.mark.parametrize(
    ("size", "step"),
    [
        (5 * 1024 * KB, 509 * KB),
        pytest.param(256 * KB, KB, marks=pytest.mark.slow),
        pytest.param(5 * 1024 * KB, 64 * KB, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("more", [set(), {"no_multiappend"}], ids=["batch", "single"])
async def test_a_large_message_cut_anywhere_is_not_at_the_target_in_part(
    lite: Database, size: int, step: int, more: set[str]
) -> None:
    async with lab(lite, new=more, connections=1, lost_connections=0) as rig:
        relay = await FR(rig.source.imap_port).start()
        through(rig, source=relay)
        before = await first_pass(rig, relay, "to_client")
        rig.old.deliver(b"Subject: large\r\n\r\n" + b"0123456789abcde\n" * (size // 16))
        for at in range(before, before + size, step):
            relay.faults[:] = [Fault(Kind.CUT, "to_client", at)]
            result = await rig.run()
            assert (result.cause, partial(rig)) == (Cause.SERVER_DOWN, []), at
            assert not rig.new.inbox.messages, at
        assert relay.struck == len(range(before, before + size, step))
        relay.faults.clear()
        for _ in range(2):
            result = await rig.run()
        assert (result.clean, rig.unlike()) == (True, [])
        await relay.stop()
        await turn()


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D2")
@pytest.mark.parametrize("step", [41, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "more",
    [
        set(),
        {"no_multiappend"},
        {"no_uidplus"},
        {"no_literal_plus", "no_multiappend", "no_uidplus"},
        {"netease_status"},
        {"netease_status", "no_uidplus"},
    ],
    ids=lambda more: " ".join(sorted(more)) or "all extensions",
)
async def test_whatever_a_target_says_is_cut_short_twins_stay_as_many_as_they_are(
    lite: Database, more: set[str], step: int
) -> None:
    """All messages are equal, so that nothing but the books tells which are there; some targets tell no UIDNEXT."""
    twin = b"Subject: twin\r\n\r\ntwin\r\n"
    async with lab(lite, new=more, connections=1, lost_connections=0) as rig:
        relay = await FR(rig.target.imap_port).start()
        through(rig, target=relay)
        rig.old.deliver(twin)
        rig.new.inbox.uidvalidity = 1  # as a target that tells no UIDNEXT says
        whole = await first_pass(rig, relay, "to_client")
        for at in range(0, whole, step):
            rig.old.deliver(twin)
            relay.faults[:] = [Fault(Kind.CUT, "to_client", at)]
            assert (await rig.run()).cause is Cause.TARGET_DOWN
            assert octets(rig, "new") <= octets(rig, "old"), at
        relay.faults.clear()
        for _ in range(3):
            result = await rig.run()
            assert result.doubled == 0
        assert (result.clean, result.unsettled) == (True, 0)
        assert octets(rig, "new") == octets(rig, "old")
        await relay.stop()
        await turn()


@pytest.mark.hazard("D3")
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
@pytest.mark.parametrize("step", [67, pytest.param(3, marks=pytest.mark.slow)])
async def test_whatever_a_source_says_is_cut_short_nothing_counts_as_gone_or_done(
    lite: Database, kind: Kind, step: int
) -> None:
    """Its greeting, listings, bodies, and the tagged OK behind them: an answer that ends early tells of no absence."""
    async with lab(lite, connections=1, lost_connections=0) as rig:
        relay = await FR(rig.source.imap_port).start()
        through(rig, source=relay)
        for number in range(8):
            rig.old.deliver(b"Subject: %d\r\n\r\n%d\r\n" % (number, number))
        whole = await first_pass(rig, relay, "to_client")
        for at in range(0, whole, step):
            rig.old.deliver(b"Subject: new\r\n\r\n%d\r\n" % at)
            relay.faults[:] = [Fault(kind, "to_client", at)]
            result = await rig.run()
            assert result.cause is Cause.SERVER_DOWN
            assert (result.deleted, result.held, result.skipped) == (0, {}, 0), at
            assert octets(rig, "new") <= octets(rig, "old"), at
        relay.faults.clear()
        before = octets(rig, "new")
        result = await rig.run()
        assert octets(rig, "new") >= before
        assert (result.clean, octets(rig, "new")) == (True, octets(rig, "old"))
        await relay.stop()
        await turn()


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D2")
@pytest.mark.parametrize("more", [set(), {"no_uidplus"}], ids=["UIDs told", "no UIDs told"])
async def test_500_messages_of_one_header_without_an_id_each_three_times_over_broken_connections(
    lite: Database, more: set[str]
) -> None:
    async with lab(lite, new=more, connections=1, lost_connections=0, batch_messages=40) as rig:
        hostile_mail.same_headers(rig.old, 500, twins=3)
        assert set(octets(rig, "old").values()) == {2, 3}
        relay = await FR(rig.target.imap_port, Fault(Kind.CUT, "to_client", 2_000)).start()
        through(rig, target=relay)
        for _ in range(4):
            assert (await rig.run()).cause is Cause.TARGET_DOWN
            assert octets(rig, "new") <= octets(rig, "old")
        relay.faults.clear()
        for _ in range(2):
            result = await rig.run()
        assert (result.clean, octets(rig, "new")) == (True, octets(rig, "old"))
        await relay.stop()
        await turn()
