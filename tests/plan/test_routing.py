"""The table of the gate, row by row as the design states it."""

from __future__ import annotations

import pytest

from mailferry.model.access import Side
from mailferry.model.account import TRANSITIONS, Event, Phase
from mailferry.model.causes import Answer
from mailferry.plan.routing import (
    Decision,
    Outcome,
    Route,
    SecondIf,
    asks_second,
    phase_without_account,
    route,
    settle,
)

YES, NO, DOWN = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNAVAILABLE
S, T = Side.SOURCE, Side.TARGET
REFUSED, TEMPORARY = Decision(None, Answer.REFUSED), Decision(None, Answer.TEMPORARY)


def decide(phase: Phase, first: Outcome, second: Outcome | None = None, **more: bool) -> Decision:
    chosen = route(phase, window_open=True)
    assert chosen is not None
    return settle(phase, chosen, first, second, **more)


@pytest.mark.parametrize(
    ("phase", "first", "second", "expected"),
    [
        (Phase.IDLE, YES, None, Decision(S, event=Event.SOURCE_ACCEPTED, follow=True)),
        (Phase.IDLE, NO, YES, Decision(T, event=Event.TARGET_ONLY)),
        (Phase.IDLE, NO, NO, REFUSED),
        (Phase.IDLE, NO, DOWN, TEMPORARY),
        (Phase.IDLE, DOWN, YES, Decision(T)),
        (Phase.IDLE, DOWN, NO, TEMPORARY),
        (Phase.IDLE, DOWN, DOWN, TEMPORARY),
        (Phase.PRECOPY, YES, None, Decision(S, follow=True)),
        (Phase.PRECOPY, NO, YES, Decision(T, event=Event.TARGET_ACCEPTED_FOREIGN)),
        (Phase.PRECOPY, NO, NO, REFUSED),
        (Phase.PRECOPY, NO, None, REFUSED),
        (Phase.PRECOPY, DOWN, None, TEMPORARY),
        (Phase.BLOCKED, YES, None, Decision(S, follow=True)),
        (Phase.BLOCKED, NO, YES, Decision(T, event=Event.TARGET_ACCEPTED_FOREIGN)),
        (Phase.BACKFILL, YES, None, Decision(T)),
        (Phase.BACKFILL, NO, YES, Decision(T, follow=True)),
        (Phase.SWITCHED, YES, None, Decision(T)),
        (Phase.SWITCHED, NO, YES, Decision(T, follow=True)),
        (Phase.SWITCHED, NO, NO, REFUSED),
        (Phase.SWITCHED, NO, DOWN, TEMPORARY),
        (Phase.SWITCHED, DOWN, None, TEMPORARY),
        (Phase.STALLED, NO, YES, Decision(T, follow=True)),
        (Phase.LOCAL, YES, None, Decision(T)),
        (Phase.LOCAL, NO, YES, Decision(T, event=Event.OLD_PASSWORD_ENTERED, follow=True)),
        (Phase.CLOSED, YES, None, Decision(T)),
        (Phase.CLOSED, NO, None, REFUSED),
    ],
)
def test_each_row_of_the_login_table(
    phase: Phase, first: Outcome, second: Outcome | None, expected: Decision
) -> None:
    assert decide(phase, first, second) == expected


@pytest.mark.parametrize("window_open", [True, False])
@pytest.mark.parametrize("phase", list(Phase), ids=str)
def test_the_target_alone_judges_whoever_is_not_listed(phase: Phase, window_open: bool) -> None:
    assert route(phase, window_open=window_open, listed=False) == Route(T)


def test_an_address_without_account_is_not_migrating_where_only_listed_accounts_move() -> None:
    assert phase_without_account(only_listed=False) is Phase.IDLE
    assert phase_without_account(only_listed=True) is Phase.LOCAL
    assert settle(Phase.LOCAL, Route(T), YES, None) == Decision(T), "and no account is made of it"


def test_nobody_judges_during_a_freeze() -> None:
    assert route(Phase.FREEZE, window_open=True) is None


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.LOCAL, Phase.SWITCHED, Phase.BACKFILL, Phase.CLOSED])
def test_after_the_window_the_target_alone_judges(phase: Phase) -> None:
    assert route(phase, window_open=False) == Route(T, None, SecondIf.NEVER)


@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.BLOCKED])
def test_a_copy_that_has_started_keeps_its_source_after_the_window(phase: Phase) -> None:
    assert route(phase, window_open=False) == route(phase, window_open=True)


def test_a_source_without_the_protocol_of_the_login_means_the_target_serves_at_once() -> None:
    assert decide(Phase.IDLE, YES, source_serves=False) == Decision(
        T, event=Event.SOURCE_ACCEPTED_AT_ONCE, follow=True
    )
    assert decide(Phase.PRECOPY, YES, source_serves=False) == Decision(
        T, event=Event.EARLY_SWITCH, follow=True
    )


def test_a_domain_that_switches_at_once_does_so_at_the_first_login_only() -> None:
    assert decide(Phase.IDLE, YES, at_once=True).event is Event.SOURCE_ACCEPTED_AT_ONCE
    assert decide(Phase.PRECOPY, YES, at_once=True) == Decision(S, follow=True)


@pytest.mark.hazard("T22")
def test_before_the_flip_the_target_is_not_asked_about_a_password_that_we_pushed() -> None:
    chosen = route(Phase.PRECOPY, window_open=True)
    assert chosen is not None
    assert not asks_second(chosen, NO, password_is_ours=True)
    assert asks_second(chosen, NO, password_is_ours=False)
    assert not asks_second(chosen, DOWN, password_is_ours=False)


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.FREEZE])
@pytest.mark.parametrize("first", list(Outcome))
@pytest.mark.parametrize("second", [None, *Outcome])
@pytest.mark.parametrize("window_open", [True, False])
def test_whatever_the_servers_say_an_event_applies_to_its_phase_and_could_not_ask_is_never_refused(
    phase: Phase, first: Outcome, second: Outcome | None, window_open: bool
) -> None:
    chosen = route(phase, window_open=window_open)
    assert chosen is not None
    asked = second if asks_second(chosen, first, password_is_ours=False) else None
    decision = settle(phase, chosen, first, asked)
    if decision.event is not None:
        assert (phase, decision.event) in TRANSITIONS
    if decision.answer is Answer.REFUSED:
        assert DOWN not in {first, asked}
    assert (decision.serve is None) == (decision.answer is not None)


def test_an_ambiguous_refusal_makes_nobody_local() -> None:
    assert decide(Phase.IDLE, NO, YES, refusal_final=False) == Decision(T)
    assert decide(Phase.IDLE, NO, NO, refusal_final=False) == REFUSED
