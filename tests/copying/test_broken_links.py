"""Connections that break, stall and lie while messages are on their way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from mailferry.copying.account import run_pass
from mailferry.copying.results import Mode, PassRequest
from mailferry.model.causes import Cause
from mailferry.store.database import Database
from tests.copying.lab_rig import LabRig, lab
from tests.copying.rig import endpoints, turn
from tests.kit.fault_relay import FR, Fault, Kind

pytestmark = [pytest.mark.deadline(90), pytest.mark.hazard("D4")]


def through(rig: LabRig, *, source: FR | None = None, target: FR | None = None) -> None:
    """Let the desk reach a host through a relay."""
    from twisted.internet import reactor

    old = source.port if source is not None else rig.source.imap_port
    new = target.port if target is not None else rig.target.imap_port
    rig.desk = replace(rig.desk, endpoints=endpoints(reactor, {"imap": old}, {"imap": new}))


def partial(rig: LabRig) -> list[bytes]:
    """Return messages of the target that the source does not have."""
    here = {m.octets for box in rig.old for m in box.messages.values()}
    return [m.octets for box in rig.new for m in box.messages.values() if m.octets not in here]


async def until_clean(rig: LabRig, causes: set[Cause], *, passes: int = 6) -> None:
    """Run passes until one is clean; no other one may leave a partial message or tell another cause."""
    for _ in range(passes):
        result = await rig.run()
        assert partial(rig) == []
        if result.clean:
            return
        assert result.cause in causes, result.cause_text
    pytest.fail(f"not clean after {passes} passes: {result}")


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
@pytest.mark.parametrize("at", [2_500, 9_000, 30_000, 120_000])
async def test_a_source_that_breaks_off_anywhere_leaves_no_partial_message(
    lite: Database, kind: Kind, at: int
) -> None:
    async with lab(lite, messages=120, batch_messages=10) as rig:
        relay = await FR(
            rig.source.imap_port, *(Fault(kind, "to_client", at, talk) for talk in range(2))
        ).start()
        through(rig, source=relay)
        await until_clean(rig, {Cause.SERVER_DOWN})
        assert rig.unlike() == []
        await relay.stop()
        await turn()


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("at", [300, 1_200, 2_400, 20_000])
async def test_a_target_that_breaks_off_anywhere_gets_nothing_twice(
    lite: Database, direction: Any, at: int
) -> None:
    async with lab(lite, messages=120, batch_messages=5) as rig:
        relay = await FR(
            rig.target.imap_port, *(Fault(Kind.CUT, direction, at, talk) for talk in range(3))
        ).start()
        through(rig, target=relay)
        await until_clean(rig, {Cause.TARGET_DOWN})
        assert rig.unlike() == []
        await relay.stop()
        await turn()


async def test_segments_cut_in_two_change_nothing(lite: Database) -> None:
    async with lab(lite, messages=60) as rig:
        relays = [
            await FR(port, Fault(Kind.HALVE, "to_client", 0), Fault(Kind.HALVE, "to_server", 0)).start()
            for port in (rig.source.imap_port, rig.target.imap_port)
        ]
        through(rig, source=relays[0], target=relays[1])
        assert (await rig.run()).clean
        assert rig.unlike() == []
        for relay in relays:
            await relay.stop()
        await turn()


async def test_a_message_at_which_every_connection_breaks_does_not_stop_the_rest(lite: Database) -> None:
    async with lab(lite, connections=1) as rig:
        for number in range(30):
            body = b"poison " * 60_000 if number == 7 else b"good"
            rig.old.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, body))
        relay = await FR(rig.source.imap_port, Fault(Kind.CUT, "to_client", 200_000)).start()
        through(rig, source=relay)
        await until_clean(rig, {Cause.SERVER_DOWN})
        assert rig.skips() == [(b"INBOX", 8, "unreadable_at_source")]
        assert len(rig.new.inbox.messages) == 29
        assert partial(rig) == []
        await relay.stop()
        await turn()


@pytest.mark.hazard("D20")
async def test_a_source_that_breaks_every_connection_still_gets_emptied_pass_by_pass(lite: Database) -> None:
    async with lab(lite, messages=200, connections=1, batch_messages=5) as rig:
        relay = await FR(rig.source.imap_port, Fault(Kind.CUT, "to_client", 150_000)).start()
        through(rig, source=relay)
        await until_clean(rig, {Cause.SERVER_DOWN}, passes=20)
        assert rig.unlike() == []
        await relay.stop()
        await turn()


async def test_the_budget_of_a_last_pass_cuts_it_off_in_the_middle(lite: Database) -> None:
    async with lab(lite, messages=40) as rig:
        relay = await FR(rig.target.imap_port, Fault(Kind.STALL, "to_client", 3_000)).start()
        through(rig, target=relay)
        result = await rig.run(last=True, budget_seconds=1.5)
        assert (result.overrun, result.verified) == (True, False)
        relay.faults.clear()
        await relay.stop()
        through(rig)
        final = await rig.run(last=True, budget_seconds=30.0)
        assert final.verified
        assert rig.unlike() == []


async def test_a_cancelled_pass_leaves_nothing_open(lite: Database) -> None:
    async with lab(lite, messages=40) as rig:
        relay = await FR(rig.target.imap_port, Fault(Kind.STALL, "to_client", 3_000)).start()
        through(rig, target=relay)
        running = ensureDeferred(
            run_pass(rig.desk, PassRequest(rig.account_id, Mode.MIRROR, budget_seconds=1.0))
        )
        assert (await running).overrun
        await relay.stop()
        await turn()
