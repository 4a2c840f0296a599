"""How much of an account may be left at its source before somebody is asked."""

from __future__ import annotations

import pytest

from mailferry.model.causes import Cause
from mailferry.plan.completeness import (
    MANY,
    Doubt,
    Evidence,
    Grade,
    LeftBehind,
    MailboxEvidence,
    grade,
)

pytestmark = pytest.mark.hazard("D25")

WHOLE = (Grade.GOOD, ())
POOR = (Grade.POOR, (Doubt.BODIES_REFUSED,))


@pytest.mark.parametrize(
    ("refused", "listed", "expected"),
    [
        (0, 0, WHOLE),
        (2, 2, WHOLE),
        (3, 3, POOR),
        (3, 59, POOR),
        (3, 60, WHOLE),
        (50, 1000, WHOLE),
        (51, 1000, POOR),
        (MANY, 100_000, WHOLE),
        (MANY + 1, 100_000, POOR),
    ],
)
def test_more_than_a_few_and_more_than_one_in_twenty_or_very_many_are_too_many(
    refused: int, listed: int, expected: tuple[Grade, tuple[Doubt, ...]]
) -> None:
    found = grade(Evidence(left_behind=LeftBehind(listed, by_source=refused)))
    assert (found.grade, found.doubts) == expected
    assert bool(found.details) == (expected is POOR)


def test_what_the_target_refuses_in_masses_holds_an_account_too() -> None:
    found = grade(Evidence(left_behind=LeftBehind(40, by_target=30, by_source=2)))
    assert (found.grade, found.doubts) == (Grade.SUSPECT, (Doubt.TARGET_REFUSES,))
    assert found.details == ("the target refuses 30 of 40 messages",)


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (Evidence(left_behind=LeftBehind(9, by_source=9)), Cause.BODIES_REFUSED),
        (Evidence(left_behind=LeftBehind(9, by_target=9)), Cause.TARGET_REFUSES_MAIL),
        (Evidence(left_behind=LeftBehind(18, by_source=9, by_target=9)), Cause.BODIES_REFUSED),
        (Evidence(left_behind=LeftBehind(9, by_target=9), slipped_out=1), Cause.TARGET_REFUSES_MAIL),
        (Evidence((MailboxEvidence(b"INBOX", 9, 8),), left_behind=LeftBehind(9, 9)), Cause.INCOMPLETE),
        (Evidence(slipped_out=1), Cause.INCOMPLETE),
    ],
)
def test_who_must_act_follows_from_the_worst_doubt(evidence: Evidence, cause: Cause) -> None:
    assert grade(evidence).cause is cause
