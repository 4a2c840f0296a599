"""Turns of the copy queue: what may break one off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, LoopingCall

from mailferry.copying.queue import LEASE_SECONDS, LET_GO_SECONDS, WATCH_SECONDS, CopyQueue, Turn
from mailferry.store import accounts, leases
from mailferry.store.database import Database
from tests.store.rows import node, precopy


def turn_of(store: Database) -> tuple[Turn, list[str]]:
    """Return a turn under a real lease, and what was broken off."""
    account = precopy(store, "user@a.test")
    store.run_now("due", lambda conn: accounts.note(conn, account.id, next_due_at=0.0))
    holder = node(store, role="copier")
    taken = store.run_now("take", lambda conn: leases.take(conn, holder, limit=1, lease_seconds=60.0))
    turn, broken = Turn(taken[0], 0.0), []
    turn.working = Deferred(lambda _: broken.append("broken off"))
    turn.working.addErrback(lambda _: None)
    return turn, broken


def test_a_turn_that_works_is_broken_off(store: Database) -> None:
    turn, broken = turn_of(store)
    turn.cancel()
    assert broken == ["broken off"]


def test_a_turn_that_gives_its_account_back_is_not_broken_off(store: Database) -> None:
    turn, broken = turn_of(store)
    turn.ending = True
    turn.cancel()
    assert broken == []


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("ending", [False, True], ids=["works", "gives back"])
def test_a_turn_whose_lease_was_not_renewed_is_broken_off_before_another_copier_may_have_it(
    store: Database, ending: bool
) -> None:
    """The store does not answer, or the machine slept: nothing more is sent when the lease runs out."""
    turn, broken = turn_of(store)
    turn.ending = ending
    clock = Clock()
    tools = SimpleNamespace(reactor=clock, log=SimpleNamespace(error=lambda *_, **__: None))
    queue = CopyQueue(
        cast("Any", tools),
        node=lambda: 1,
        make_desk=cast("Any", None),
        pace=cast("Any", None),
        at_once=1,
        since_boot=clock.seconds,
    )
    queue._turns[turn.account.id] = turn
    watch = LoopingCall(queue._let_go_of_old)
    watch.clock = clock
    watch.start(WATCH_SECONDS, now=False)
    clock.pump([WATCH_SECONDS] * 20)
    turn.sure_at = clock.seconds()  # renewed
    clock.pump([WATCH_SECONDS] * int(LET_GO_SECONDS / WATCH_SECONDS - 1))
    assert broken == []
    clock.advance(WATCH_SECONDS)
    assert broken == ([] if ending else ["broken off"])
    assert turn.sure_at + LEASE_SECONDS - clock.seconds() > WATCH_SECONDS, "before anybody else may take it"
    watch.stop()
