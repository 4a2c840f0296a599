from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.plan.cutover import (
    MAX_OVERRUNS,
    MAX_ROUNDS,
    OpenSession,
    PassFigures,
    Step,
    is_quiet,
    next_step,
)

READY = PassFigures(
    round_number=2,
    seconds=1.0,
    copied=0,
    clean=True,
    deletions_held=False,
    quality_good=True,
    uidls_ready=True,
    password_proved=True,
)


def step(overruns: int = 0, **changed: object) -> Step:
    return next_step(replace(READY, **changed), freeze_budget=20.0, overruns=overruns)  # type: ignore[arg-type]


def test_a_quick_pass_that_copied_nothing_leads_to_the_cutover() -> None:
    assert step() is Step.CUT_OVER


def test_a_pass_that_still_copied_is_followed_by_another() -> None:
    assert step(copied=3) is Step.PASS_AGAIN


def test_a_pass_longer_than_the_freeze_budget_is_followed_by_another_until_the_rounds_are_used_up() -> None:
    assert step(seconds=21.0) is Step.PASS_AGAIN
    assert step(seconds=21.0, round_number=MAX_ROUNDS) is Step.CUT_OVER


@pytest.mark.parametrize("waits", ["deletions_held", "quality_good", "password_proved", "uidls_ready"])
def test_nothing_is_flipped_while_somebody_or_something_must_act_first(waits: str) -> None:
    assert step(**{waits: not getattr(READY, waits)}) is Step.HOLD


def test_an_unclean_account_is_never_cut_over() -> None:
    assert step(clean=False) is Step.PASS_AGAIN
    assert step(clean=False, round_number=MAX_ROUNDS) is Step.HOLD


def test_after_three_overruns_the_cutover_gives_up() -> None:
    assert step(overruns=MAX_OVERRUNS) is Step.GIVE_UP


def test_a_quiet_moment_has_no_pop3_session_and_every_imap_session_rests() -> None:
    assert is_quiet([])
    assert is_quiet([OpenSession("imap", resting=True)])
    assert not is_quiet([OpenSession("imap", resting=True), OpenSession("imap", resting=False)])
    assert not is_quiet([OpenSession("pop3", resting=True)])
