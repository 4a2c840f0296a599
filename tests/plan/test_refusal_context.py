from __future__ import annotations

import pytest

from mailferry.model.causes import ABOUT_THE_PASSWORD, CAUSES, Answer, Cause
from mailferry.plan.refusal_context import (
    ACCEPTED_LATELY_SECONDS,
    WHOLE_DOMAIN,
    RefusalContext,
    cause_in_context,
)

LATELY = RefusalContext(accepted_ago=ACCEPTED_LATELY_SECONDS - 1)
LONG_AGO = RefusalContext(accepted_ago=ACCEPTED_LATELY_SECONDS)
ALL_OF_THEM = RefusalContext(good_refused=WHOLE_DOMAIN)
A_FEW = RefusalContext(good_refused=WHOLE_DOMAIN - 1)


@pytest.mark.parametrize(
    ("cause", "context", "meant"),
    [
        (Cause.AMBIGUOUS_REFUSAL, RefusalContext(), Cause.AMBIGUOUS_REFUSAL),
        (Cause.AMBIGUOUS_REFUSAL, LATELY, Cause.RATE_LIMITED),
        (Cause.AMBIGUOUS_REFUSAL, LONG_AGO, Cause.AMBIGUOUS_REFUSAL),
        (Cause.BAD_CREDENTIALS, LATELY, Cause.BAD_CREDENTIALS),  # certain words: it was changed since
        (Cause.AMBIGUOUS_REFUSAL, ALL_OF_THEM, Cause.SOURCE_REFUSES_DOMAIN),
        (Cause.BAD_CREDENTIALS, ALL_OF_THEM, Cause.SOURCE_REFUSES_DOMAIN),
        (Cause.UNKNOWN_USER, ALL_OF_THEM, Cause.SOURCE_REFUSES_DOMAIN),
        (Cause.UNKNOWN_USER, A_FEW, Cause.UNKNOWN_USER),
        (Cause.BAD_CREDENTIALS, A_FEW, Cause.BAD_CREDENTIALS),
        (Cause.AMBIGUOUS_REFUSAL, A_FEW, Cause.AMBIGUOUS_REFUSAL),
    ],
)
def test_what_happened_before_and_to_others_changes_what_is_meant(
    cause: Cause, context: RefusalContext, meant: Cause
) -> None:
    assert cause_in_context(cause, context) is meant


@pytest.mark.parametrize("cause", sorted(set(Cause) - ABOUT_THE_PASSWORD - {Cause.UNKNOWN_USER}))
def test_a_refusal_that_does_not_judge_the_password_stays_what_it_is(cause: Cause) -> None:
    both = RefusalContext(accepted_ago=1.0, good_refused=WHOLE_DOMAIN)
    assert cause_in_context(cause, both) is cause


def test_what_is_not_about_this_password_is_answered_as_temporary() -> None:
    for cause in (Cause.RATE_LIMITED, Cause.SOURCE_REFUSES_DOMAIN):
        assert CAUSES[cause].answer is Answer.TEMPORARY
