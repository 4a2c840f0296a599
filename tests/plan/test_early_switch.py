from __future__ import annotations

import pytest

from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.plan.early_switch import Absence, gone_for_good

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 100 * DAY


def absence(
    *,
    phase: Phase = Phase.BLOCKED,
    cause: Cause | None = Cause.SERVER_DOWN,
    contacts: tuple[float | None, ...] = (DAY,),
    failed_for: float | None = 23 * HOUR,
    sessions: tuple[float, ...] = (),
) -> Absence:
    """Return what is known of a source; times as seconds before now."""
    return Absence(
        phase,
        cause,
        [None if ago is None else NOW - ago for ago in contacts],
        failed_since=None if failed_for is None else NOW - failed_for,
        sessions_opened=[NOW - ago for ago in sessions],
    )


@pytest.mark.hazard("D20")
@pytest.mark.parametrize(
    ("facts", "gone"),
    [
        (absence(), True),
        (absence(contacts=(2 * DAY, DAY, None)), True),
        (absence(contacts=(DAY - 1,)), False),
        (absence(contacts=(9 * DAY, HOUR)), False),
        (absence(contacts=(None, None)), False),
        (absence(failed_for=23 * HOUR - 1), False),
        (absence(failed_for=None), False),
        (absence(sessions=(59.0,)), True),
        (absence(sessions=(3.0, 60.0)), False),
        (absence(phase=Phase.PRECOPY), False),
        (absence(phase=Phase.BACKFILL), False),
        *((absence(cause=cause), False) for cause in (None, *Cause) if cause is not Cause.SERVER_DOWN),
    ],
)
def test_gone_is_who_was_not_reached_all_the_time(facts: Absence, gone: bool) -> None:
    assert gone_for_good(facts, now=NOW, after=DAY) is gone
    assert not gone_for_good(facts, now=NOW, after=None)


@pytest.mark.parametrize(
    ("facts", "follows"),
    [
        (absence(phase=Phase.PRECOPY, cause=None, failed_for=None), True),
        (absence(phase=Phase.PRECOPY), True),
        (absence(failed_for=None), True),
        (absence(contacts=(DAY - 1,)), False),
        (absence(cause=Cause.BAD_CREDENTIALS), False),
        (absence(sessions=(61.0,)), False),
        *((absence(phase=phase), False) for phase in set(Phase) - {Phase.PRECOPY, Phase.BLOCKED}),
    ],
)
def test_another_account_of_the_source_follows_when_it_had_no_contact_either(
    facts: Absence, follows: bool
) -> None:
    assert gone_for_good(facts, now=NOW, after=DAY, itself=False) is follows
