"""The overview's facts: who must act, what ends, what runs; and charts that agree with the accounts."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.model.account import Event, State
from mailferry.model.causes import Actor, Cause
from mailferry.providers.loader import load_profiles
from mailferry.roster.board import Board, board
from mailferry.roster.chart_series import SPANS, chart_series
from mailferry.roster.lookup import NoSuchDomain
from mailferry.store import accounts, domains, nodes, samples
from mailferry.store.database import Database, db_now

PROFILES = load_profiles(None)


def begin(store: Database) -> None:
    def work(conn: Any) -> None:
        for name, provider in (("a.test", "netease_qiye"), ("b.test", "generic")):
            domains.add(conn, name, source_imap=f"imaps://imap.{name}", provider=provider, window_days=3)
        for address, cause in (
            ("one@a.test", Cause.APP_PASSWORD_REQUIRED),
            ("two@a.test", Cause.APP_PASSWORD_REQUIRED),
            ("three@b.test", Cause.SERVER_DOWN),
        ):
            made = accounts.ensure(conn, address, address.rpartition("@")[2])
            made = accounts.apply(conn, made.id, Event.SOURCE_ACCEPTED, epoch=made.epoch)
            accounts.apply(conn, made.id, Event.GAVE_UP, epoch=made.epoch, cause=cause)
        moved = accounts.ensure(conn, "four@b.test", "b.test")
        for event in (Event.SOURCE_ACCEPTED, Event.FREEZE_SET, Event.FLIPPED):
            moved = accounts.apply(conn, moved.id, event, epoch=moved.epoch)
        samples.add(conn, "b.test", messages=600, octets=6_000_000, late=4)

    store.run_now("begin", work)


def look(store: Database, **asked: Any) -> Board:
    return board(store, PROFILES, **asked)


def test_the_board_says_who_must_act_why_and_where(store: Database) -> None:
    begin(store)
    found = look(store)
    assert list(found.needs_by_actor) == [Actor.USER, Actor.NOBODY]
    (need,) = found.needs_by_actor[Actor.USER]
    assert (need.cause, need.accounts, need.stopped, need.by_domain) == (
        Cause.APP_PASSWORD_REQUIRED, 2, 2, {"a.test": 2},
    )  # fmt: skip
    assert need.advice["zh"]
    assert need.remedies, "the provider's own steps stand beside the advice"
    assert found.trouble
    assert found.total.states[State.DONE] == 1
    assert found.total.percent == 25.0
    assert found.messages_a_second == 1.0
    assert (found.late, {row.domain.name: row.late for row in found.domains}) == (
        4,
        {"a.test": 0, "b.test": 4},
    )


def test_windows_that_end_and_missing_processes_are_told(store: Database) -> None:
    begin(store)
    found = look(store)
    assert [row.domain.name for row in found.ending] == ["a.test", "b.test"]
    assert {role.role for role in found.roles if role.lacking} == {"proxy", "copier"}
    store.run_now("node", lambda conn: nodes.register(conn, "proxy", "h", "boot", 1))
    assert {role.role for role in look(store).roles if role.lacking} == {"copier"}


def test_a_board_of_some_domains_knows_nothing_of_others(store: Database) -> None:
    begin(store)
    found = look(store, within=frozenset({"b.test"}))
    assert [row.domain.name for row in found.domains] == ["b.test"]
    assert found.total.accounts == 2
    assert not found.needs_by_actor.get(Actor.USER)
    with pytest.raises(NoSuchDomain):
        look(store, domain="a.test", within=frozenset({"b.test"}))
    with pytest.raises(NoSuchDomain):
        chart_series(store, "24h", domain="a.test", within=frozenset({"b.test"}))


@pytest.mark.parametrize("span", SPANS)
def test_charts_end_where_the_accounts_stand_and_begin_with_none(store: Database, span: str) -> None:
    begin(store)
    found = chart_series(store, span)
    assert {len(line) for line in found.states.values()} == {len(found.times)}
    assert {state: line[-1] for state, line in found.states.items()} == {
        **dict.fromkeys(State, 0), State.FAILED: 3, State.DONE: 1,
    }  # fmt: skip
    assert {line[0] for line in found.states.values()} == {0}
    assert sum(found.flips) == 1
    assert sum(found.messages) * found.step == pytest.approx(600)
    assert {name: sum(line) for name, line in found.late.items()} == {"b.test": 4}
    assert found.times[-1] <= store.read_now("now", db_now) < found.times[-1] + found.step


def test_the_longest_freeze_is_told_in_the_step_in_which_it_ended(store: Database) -> None:
    begin(store)

    def freeze(conn: Any) -> None:
        now = db_now(conn)
        one = accounts.ensure(conn, "five@a.test", "a.test")
        one = accounts.apply(conn, one.id, Event.SOURCE_ACCEPTED, epoch=one.epoch, now=now - 100)
        one = accounts.apply(conn, one.id, Event.FREEZE_SET, epoch=one.epoch, now=now - 90)
        accounts.apply(conn, one.id, Event.BACKED_OUT, epoch=one.epoch, now=now - 60)

    store.run_now("freeze", freeze)
    found = chart_series(store, "24h", domain="a.test")
    assert max(found.longest_freeze) == pytest.approx(30.0, abs=0.01)
    assert sum(found.flips) == 0
