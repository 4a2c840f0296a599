from __future__ import annotations

import pytest

from mailferry.model.account import Event, Phase
from mailferry.model.causes import CAUSES, Cause
from mailferry.plan.retry import (
    after_failure,
    ends_with_a_login,
    events_after_failure,
    login_wakes,
    skip_is_due,
)


@pytest.mark.hazard("D20")
@pytest.mark.parametrize("cause", [Cause.SERVER_DOWN, Cause.TARGET_DOWN])
@pytest.mark.parametrize("failures", [1, 5, 10_000])
def test_a_server_that_returns_is_noticed_within_a_minute(cause: Cause, failures: int) -> None:
    delay = after_failure(cause, failures=failures, spread=1.0).delay
    assert delay is not None
    assert 10 <= delay <= 60


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_disposition(cause: Cause) -> None:
    first = after_failure(cause, failures=1)
    later = after_failure(cause, failures=9, failing_seconds=7200)
    assert first.actor is CAUSES[cause].actor
    if CAUSES[cause].retries:
        assert first.delay is not None
        assert later.delay is not None
        assert first.delay <= later.delay <= 6 * 3600
        assert (first.failed, later.failed) == (False, True)
    else:
        assert (first.delay, first.failed) == (None, True)


def test_a_time_that_the_server_names_is_kept_up_to_a_bound() -> None:
    assert after_failure(Cause.RATE_LIMITED, failures=1, named_delay=1000.0).delay == 1000.0
    assert after_failure(Cause.RATE_LIMITED, failures=1, named_delay=1.0).delay == 120.0
    assert after_failure(Cause.RATE_LIMITED, failures=1, named_delay=1e9).delay == 6 * 3600.0


@pytest.mark.parametrize(
    ("tries", "seconds", "due"),
    [
        (1, 599, False),
        (1, 600, True),
        (2, 1199, False),
        (2, 1200, True),
        (99, 86_399, False),
        (99, 86_400, True),
    ],
)
def test_skipped_messages_are_tried_again_less_and_less_often(tries: int, seconds: float, due: bool) -> None:
    assert skip_is_due(tries, seconds) is due


DOWN, FULL = Cause.SERVER_DOWN, Cause.TARGET_OVER_QUOTA
AGAIN = (Event.RETRIED, Event.GAVE_UP)


@pytest.mark.parametrize(
    ("phase", "before", "now", "failed", "events"),
    [
        (Phase.PRECOPY, None, DOWN, False, ()),
        (Phase.PRECOPY, DOWN, DOWN, True, (Event.GAVE_UP,)),
        (Phase.BACKFILL, FULL, DOWN, True, (Event.GAVE_UP,)),
        (Phase.BLOCKED, DOWN, DOWN, True, ()),
        (Phase.STALLED, DOWN, DOWN, False, ()),
        (Phase.BLOCKED, DOWN, FULL, True, AGAIN),
        (Phase.STALLED, FULL, DOWN, True, AGAIN),
        (Phase.BLOCKED, None, DOWN, True, AGAIN),
        (Phase.IDLE, None, DOWN, True, ()),
        (Phase.SWITCHED, None, DOWN, True, ()),
    ],
)
def test_a_failed_account_changes_its_phase_for_another_cause_only(
    phase: Phase, before: Cause | None, now: Cause, failed: bool, events: tuple[Event, ...]
) -> None:
    assert events_after_failure(phase, before, now, failed=failed) == events


def test_a_login_that_the_source_accepts_ends_what_the_source_itself_refused_and_nothing_else() -> None:
    ended = {cause for cause in Cause if ends_with_a_login(cause)}
    assert {Cause.UNKNOWN_USER, Cause.PROTOCOL_DISABLED, Cause.EXPIRED, Cause.BAD_CREDENTIALS} <= ended
    assert {Cause.WINDOW_OVER, Cause.TARGET_PASSWORD_POLICY} <= ended
    others = {Cause.DELETIONS_HELD, Cause.TARGET_REFUSED, Cause.SERVER_DOWN, Cause.UIDL_UNPAIRED}
    assert not others & ended


@pytest.mark.parametrize(
    ("cause", "same_way", "since", "wakes"),
    [
        (Cause.BAD_CREDENTIALS, False, 1.0, True),
        (Cause.WINDOW_OVER, False, 1.0, True),
        (Cause.PROTOCOL_DISABLED, True, 1.0, True),
        (Cause.PROTOCOL_DISABLED, False, 899.0, False),
        (Cause.PROTOCOL_DISABLED, False, 900.0, True),
        (Cause.DELETIONS_HELD, True, 1e6, False),
    ],
)
def test_a_program_that_comes_by_another_door_does_not_knock_at_the_shut_one_each_time(
    cause: Cause, same_way: bool, since: float, wakes: bool
) -> None:
    assert login_wakes(cause, same_way=same_way, since_woken=since) is wakes
