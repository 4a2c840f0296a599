"""A process and its row: who could not renew it for a minute knows that others may take it for dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock

from mailferry.app.node import RENEW_SECONDS, SILENT_SECONDS, WATCH_SECONDS, NodeMembership
from mailferry.observe.log import get_log
from mailferry.store.faults import NodeVoid, StoreUnavailable

pytestmark = pytest.mark.hazard("D15")


class SlowStore:
    """A store that answers each renewal when, and as, the test says."""

    def __init__(self) -> None:
        self.asked: list[defer.Deferred[Any]] = []

    def run(self, name: str, _work: object, **_more: object) -> defer.Deferred[Any]:
        if name == "register node":
            return defer.succeed(7)
        self.asked.append(defer.Deferred())
        return self.asked[-1]


class Process:
    """One process of ours on two clocks: its reactor's, and the one that runs through suspension."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = SlowStore(), Clock()
        self.slept = 0.0
        self.told: list[str] = []
        self.node = NodeMembership(
            self.store,  # type: ignore[arg-type]
            role="proxy",
            state_dir=folder,
            reactor=self.clock,
            log=get_log("test"),
            on_silent=lambda: self.told.append("silent"),
            on_void=lambda: self.told.append("void"),
            seconds=lambda: self.clock.seconds() + self.slept,
        )

    def pass_by(self, seconds: float, *, answered: bool) -> None:
        """Let time pass; each renewal is answered at once, or never."""
        for _ in range(round(seconds)):
            self.clock.advance(1)
            while answered and self.store.asked:
                self.store.asked.pop().callback(None)


async def process_in(folder: Path) -> Process:
    process = Process(folder)
    await process.node.register()
    return process


async def test_a_store_that_neither_answers_nor_fails_is_silent_after_a_minute(tmp_path: Path) -> None:
    process = await process_in(tmp_path)
    process.pass_by(SILENT_SECONDS - 1, answered=False)
    assert process.told == []
    assert len(process.store.asked) == 1, "one renewal hangs"
    process.pass_by(1, answered=False)
    assert process.told == ["silent"]
    process.pass_by(300, answered=False)
    assert process.told == ["silent"], "told once"


async def test_who_renews_is_never_silent_and_who_stops_again_is(tmp_path: Path) -> None:
    process = await process_in(tmp_path)
    process.pass_by(600, answered=True)
    assert process.told == []
    for number in range(1, 3):
        process.pass_by(SILENT_SECONDS + RENEW_SECONDS, answered=False)
        assert process.told == ["silent"] * number
        process.pass_by(600, answered=True)
        assert process.told == ["silent"] * number


async def test_the_minute_counts_from_before_the_renewal_was_sent(tmp_path: Path) -> None:
    process = await process_in(tmp_path)
    process.pass_by(RENEW_SECONDS, answered=False)
    process.pass_by(45, answered=False)
    process.store.asked.pop().callback(None)  # 45 s on its way
    process.pass_by(SILENT_SECONDS - 46, answered=False)
    assert process.told == []
    process.pass_by(1, answered=False)
    assert process.told == ["silent"]


async def test_a_machine_that_slept_knows_it_before_it_could_renew(tmp_path: Path) -> None:
    process = await process_in(tmp_path)
    process.pass_by(30, answered=True)
    process.slept = 3600.0
    process.clock.advance(WATCH_SECONDS)
    assert process.told == ["silent"]


async def test_a_failing_store_is_asked_again_and_a_void_row_is_told(tmp_path: Path) -> None:
    process = await process_in(tmp_path)
    process.pass_by(RENEW_SECONDS, answered=False)
    process.store.asked.pop().errback(StoreUnavailable("gone"))
    process.pass_by(RENEW_SECONDS, answered=False)
    process.store.asked.pop().errback(NodeVoid("declared dead"))
    assert process.told == ["void"]
