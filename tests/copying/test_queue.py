"""Turns of the copy queue: what may break one off."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mailferry.copying.queue import Turn
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
