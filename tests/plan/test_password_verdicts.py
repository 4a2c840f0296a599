from __future__ import annotations

import itertools

import pytest

from mailferry.model.account import Phase
from mailferry.plan.password_verdicts import Holds, Let, PasswordFacts, Push, Said, judge

ACCEPTED, REFUSED, DOWN, UNASKED = Said.ACCEPTED, Said.REFUSED, Said.UNAVAILABLE, Said.NOT_ASKED
IDLE, PRECOPY, BLOCKED, SWITCHED, LOCAL = (
    Phase.IDLE,
    Phase.PRECOPY,
    Phase.BLOCKED,
    Phase.SWITCHED,
    Phase.LOCAL,
)


@pytest.mark.parametrize(
    ("facts", "let", "push", "why"),
    [
        # before the flip
        (PasswordFacts(IDLE, ACCEPTED, UNASKED), Let.IN, Push.YES, "source_accepts"),
        (PasswordFacts(IDLE, ACCEPTED, UNASKED, may_push=False), Let.IN, Push.NO, "source_accepts_unwitnessed"),
        (PasswordFacts(IDLE, REFUSED, ACCEPTED), Let.IN, Push.NO, "target_accepts_a_foreign_one"),
        (PasswordFacts(IDLE, REFUSED, REFUSED), Let.REFUSED, Push.NO, "both_refuse"),
        (PasswordFacts(IDLE, DOWN, ACCEPTED), Let.IN, Push.NO, "source_down_target_accepts"),
        (PasswordFacts(IDLE, DOWN, REFUSED), Let.TEMPORARY, Push.NO, "source_cannot_be_asked"),
        (PasswordFacts(PRECOPY, DOWN, UNASKED), Let.TEMPORARY, Push.NO, "source_cannot_be_asked"),
        (PasswordFacts(PRECOPY, REFUSED, ACCEPTED, pushed_by_us=True), Let.REFUSED, Push.NO, "source_took_it_back"),
        (PasswordFacts(BLOCKED, REFUSED, ACCEPTED), Let.IN, Push.NO, "target_accepts_a_foreign_one"),
        (PasswordFacts(PRECOPY, REFUSED, DOWN), Let.TEMPORARY, Push.NO, "source_cannot_be_asked"),
        (PasswordFacts(Phase.FREEZE, UNASKED, UNASKED), Let.TEMPORARY, Push.NO, "freeze_waits"),
        # after it
        (PasswordFacts(SWITCHED, UNASKED, ACCEPTED), Let.IN, Push.NO, "target_accepts"),
        (PasswordFacts(SWITCHED, UNASKED, ACCEPTED, pushed_by_us=True), Let.IN, Push.NO, "target_accepts_what_we_pushed"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.OURS), Let.IN, Push.IF_UNCHANGED, "follow_the_source"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.OURS_UNPROVED), Let.IN, Push.YES, "push_again"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.FOREIGN), Let.REFUSED, Push.NO, "changed_at_the_target"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.UNKNOWN), Let.TEMPORARY, Push.NO, "whose_it_is_cannot_be_read"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.OURS, may_push=False), Let.REFUSED, Push.NO, "nothing_may_be_pushed"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.OURS, target_wins=True), Let.REFUSED, Push.NO, "target_wins"),
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, holds=Holds.OURS, refused_before=True), Let.REFUSED, Push.NO, "refused_before"),
        (PasswordFacts(SWITCHED, REFUSED, REFUSED, accepted_before=True), Let.REFUSED, Push.NO, "both_took_it_back"),
        (PasswordFacts(SWITCHED, REFUSED, REFUSED), Let.REFUSED, Push.NO, "both_refuse_after"),
        (PasswordFacts(SWITCHED, DOWN, REFUSED), Let.TEMPORARY, Push.NO, "source_down_after"),
        (PasswordFacts(SWITCHED, ACCEPTED, DOWN), Let.TEMPORARY, Push.NO, "target_cannot_be_asked"),
        (PasswordFacts(LOCAL, ACCEPTED, REFUSED), Let.IN, Push.YES, "the_move_starts_late"),
        # after the window
        (PasswordFacts(SWITCHED, ACCEPTED, REFUSED, window_open=False), Let.REFUSED, Push.NO, "target_alone_refuses"),
        (PasswordFacts(IDLE, UNASKED, ACCEPTED, window_open=False), Let.IN, Push.NO, "target_alone_accepts"),
        (PasswordFacts(Phase.CLOSED, UNASKED, DOWN), Let.TEMPORARY, Push.NO, "target_alone_is_down"),
        (PasswordFacts(PRECOPY, ACCEPTED, UNASKED, window_open=False), Let.IN, Push.YES, "source_accepts"),
    ],
)  # fmt: skip
def test_the_table(facts: PasswordFacts, let: Let, push: Push, why: str) -> None:
    verdict = judge(facts)
    assert (verdict.let, verdict.push, verdict.why) == (let, push, why)


EVERYTHING = [
    PasswordFacts(phase, source, target, window, holds, wins, before, may_push=may, pushed_by_us=ours)
    for phase, source, target, window, holds, wins, before, may, ours in itertools.product(
        Phase, Said, Said, (True, False), Holds, (True, False), (True, False), (True, False), (True, False)
    )
]


def test_over_all_facts_the_promises_hold() -> None:
    after = {Phase.BACKFILL, Phase.STALLED, Phase.SWITCHED}
    for facts in EVERYTHING:
        verdict = judge(facts)
        pushes = verdict.push is not Push.NO
        assert not pushes or (facts.source is ACCEPTED and facts.may_push)
        assert not (pushes and facts.target_wins)
        assert verdict.let is not Let.IN or ACCEPTED in {facts.source, facts.target}
        if facts.phase in after and facts.refused_before:
            assert verdict.let is not Let.IN or facts.target is ACCEPTED
        if facts.phase in after and facts.holds is Holds.FOREIGN:
            assert not pushes
        if facts.source is DOWN and facts.target in {DOWN, UNASKED}:
            assert verdict.let is not Let.REFUSED or facts.refused_before or facts.target_wins
        assert verdict.keep <= (facts.source is ACCEPTED)
