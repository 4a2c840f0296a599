from __future__ import annotations

import itertools

import pytest

from mailferry.model.account import BEFORE_FLIP, Phase
from mailferry.plan.password_verdicts import Holds, Let, PasswordFacts, Push, judge

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
        (PasswordFacts(IDLE), Let.IN, Push.YES, "source_accepts"),
        (PasswordFacts(IDLE, may_push=False), Let.IN, Push.NO, "source_accepts_unwitnessed"),
        (PasswordFacts(PRECOPY), Let.IN, Push.YES, "source_accepts"),
        (PasswordFacts(PRECOPY, target_wins=True), Let.IN, Push.NO, "source_accepts_but_target_wins"),
        (PasswordFacts(BLOCKED, refused_before=True), Let.IN, Push.YES, "source_accepts"),
        # after it
        (PasswordFacts(SWITCHED, holds=Holds.OURS), Let.IN, Push.IF_UNCHANGED, "follow_the_source"),
        (PasswordFacts(SWITCHED, holds=Holds.OURS_UNPROVED), Let.IN, Push.YES, "push_again"),
        (PasswordFacts(SWITCHED, holds=Holds.FOREIGN), Let.REFUSED, Push.NO, "changed_at_the_target"),
        (PasswordFacts(SWITCHED, holds=Holds.UNKNOWN), Let.TEMPORARY, Push.NO, "whose_it_is_cannot_be_read"),
        (PasswordFacts(SWITCHED, holds=Holds.OURS, may_push=False), Let.REFUSED, Push.NO, "nothing_may_be_pushed"),
        (PasswordFacts(SWITCHED, holds=Holds.OURS, target_wins=True), Let.REFUSED, Push.NO, "target_wins"),
        (PasswordFacts(SWITCHED, holds=Holds.OURS, refused_before=True), Let.REFUSED, Push.NO, "refused_before"),
        (PasswordFacts(SWITCHED, holds=Holds.OURS, pushed_by_us=True), Let.REFUSED, Push.NO, "what_we_pushed_is_refused"),
        (PasswordFacts(SWITCHED, holds=Holds.UNKNOWN, pushed_by_us=True), Let.REFUSED, Push.NO, "what_we_pushed_is_refused"),
        (PasswordFacts(SWITCHED), Let.IN, Push.IF_UNCHANGED, "first_push_after_the_flip"),
        (PasswordFacts(LOCAL), Let.IN, Push.IF_UNCHANGED, "the_move_starts_late"),
        (PasswordFacts(LOCAL, holds=Holds.OURS_UNPROVED), Let.IN, Push.IF_UNCHANGED, "the_move_starts_late"),
        (PasswordFacts(LOCAL, may_push=False), Let.REFUSED, Push.NO, "nothing_may_be_pushed"),
        (PasswordFacts(LOCAL, holds=Holds.FOREIGN), Let.REFUSED, Push.NO, "changed_at_the_target"),
        (PasswordFacts(LOCAL, holds=Holds.UNKNOWN), Let.TEMPORARY, Push.NO, "whose_it_is_cannot_be_read"),
        (PasswordFacts(LOCAL, refused_before=True), Let.REFUSED, Push.NO, "refused_before"),
    ],
)  # fmt: skip
def test_the_table(facts: PasswordFacts, let: Let, push: Push, why: str) -> None:
    verdict = judge(facts)
    assert (verdict.let, verdict.push, verdict.why) == (let, push, why)


EVERYTHING = [
    PasswordFacts(phase, holds, wins, before, pushed_by_us=ours, may_push=may)
    for phase, holds, wins, before, ours, may in itertools.product(
        Phase, Holds, (True, False), (True, False), (True, False), (True, False)
    )
]


def test_over_all_facts_the_promises_hold() -> None:
    for facts in EVERYTHING:
        verdict = judge(facts)
        pushes = verdict.push is not Push.NO
        assert not pushes or facts.may_push
        assert not (pushes and facts.target_wins)
        assert not pushes or verdict.let is Let.IN
        if facts.phase in BEFORE_FLIP:
            assert verdict.let is Let.IN
            continue
        assert verdict.let is not Let.IN or pushes  # the target refuses it: nobody is let in unless it is set
        if facts.refused_before or facts.target_wins:
            assert verdict.let is Let.REFUSED
        if facts.holds is Holds.FOREIGN:
            assert not pushes
        if facts.pushed_by_us:
            assert not pushes  # what worked at the target and is refused there now is never set again
