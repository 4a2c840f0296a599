"""What a test login says of a checklist's steps, and how long a copy takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.model.causes import Cause
from mailferry.model.hours import Hours, parse_hours
from mailferry.plan.checklist import Observed, Seen, judged
from mailferry.plan.copy_estimate import Estimate, Sample, estimate
from mailferry.plan.pace import PaceLimits
from mailferry.providers.loader import load_profiles

WELL = Observed(accepted=2, oldest_days=400.0, whole=20, sizes_exact=True)


@pytest.mark.parametrize(
    ("step", "observed", "expected"),
    [
        ("imap_on", WELL, Seen.WELL),
        ("imap_on", Observed(), Seen.YOURS),
        ("imap_on", Observed(1, frozenset({Cause.PROTOCOL_DISABLED})), Seen.WRONG),
        ("imap_on", Observed(1, frozenset({Cause.SERVER_DOWN})), Seen.YOURS),
        ("service_scope", Observed(0, frozenset({Cause.PROTOCOL_DISABLED})), Seen.WRONG),
        ("second_factor", Observed(0, frozenset({Cause.MFA_REQUIRED})), Seen.WRONG),
        ("code", Observed(0, frozenset({Cause.APP_PASSWORD_REQUIRED})), Seen.WRONG),
        ("code", Observed(0, frozenset({Cause.BAD_CREDENTIALS})), Seen.YOURS),
        ("code", WELL, Seen.WELL),
        ("trusted_place", Observed(0, frozenset({Cause.IP_BLOCKED})), Seen.WRONG),
        ("lock", Observed(0, frozenset({Cause.ACCOUNT_LOCKED})), Seen.WRONG),
        ("all_mail", WELL, Seen.WELL),
        ("all_mail", replace(WELL, hidden=3), Seen.WRONG),
        ("all_mail", replace(WELL, oldest_days=30.0), Seen.YOURS),
        ("all_mail", replace(WELL, oldest_days=None), Seen.YOURS),
        ("archiving", WELL, Seen.YOURS),
        ("no_folder_limit", replace(WELL, hidden=3), Seen.WRONG),
        ("empty_bodies", WELL, Seen.WELL),
        ("empty_bodies", replace(WELL, bodyless=1), Seen.WRONG),
        ("empty_bodies", Observed(accepted=1), Seen.YOURS),
        ("outlook", WELL, Seen.WELL),
        ("outlook", replace(WELL, bodyless=1), Seen.WRONG),
        ("outlook", replace(WELL, hidden=1), Seen.WRONG),
        ("outlook", replace(WELL, oldest_days=20.0), Seen.YOURS),
        ("exact_sizes", WELL, Seen.WELL),
        ("exact_sizes", replace(WELL, sizes_exact=False), Seen.WRONG),
        ("exact_sizes", Observed(accepted=1), Seen.YOURS),
        ("dns_waits", WELL, Seen.YOURS),
        ("a_sites_own_step", WELL, Seen.YOURS),
    ],
)
def test_a_step_is_judged_by_what_was_seen_alone(step: str, observed: Observed, expected: Seen) -> None:
    assert judged(step, observed) is expected


def test_nothing_is_said_of_any_step_where_nothing_was_seen() -> None:
    steps = {step.step_id for profile in load_profiles(None).values() for step in profile.checklist}
    assert {judged(step, Observed()) for step in steps} == {Seen.YOURS}


FREE = PaceLimits()
READ = Sample(messages=1000, listed=100, listed_octets=1_000_000, read=10, read_octets=50_000, seconds=2.0)


@pytest.mark.parametrize(
    ("sample", "limits", "exact", "expected"),
    [
        (READ, FREE, True, Estimate(1000, 10_000_000, 10_000_000 / 25_000 / 3600)),
        (READ, FREE, False, Estimate(1000, 5_000_000, 5_000_000 / 25_000 / 3600)),
        (replace(READ, read=0, read_octets=0, seconds=0.0), FREE, True, Estimate(1000, 10_000_000, None)),
        (Sample(0), FREE, True, Estimate(0, 0, 0.0)),
        (
            READ,
            PaceLimits(bytes_per_day=1_000_000),
            True,
            Estimate(1000, 10_000_000, 240.0, "the octets that it gives a day"),
        ),
        (
            READ,
            PaceLimits(hours=parse_hours("22:00-04:00")),
            True,
            Estimate(1000, 10_000_000, 400 / 3600 * 4, "the hours in which it may be copied from"),
        ),
    ],
    ids=["exact sizes", "sizes are hints", "nothing read", "nothing there", "octets a day", "night hours"],
)
def test_a_copy_takes_what_its_octets_take_at_the_speed_that_was_measured(
    sample: Sample, limits: PaceLimits, exact: bool, expected: Estimate
) -> None:
    found = estimate(sample, limits, exact_sizes=exact)
    assert (found.messages, found.octets, found.limit) == (expected.messages, expected.octets, expected.limit)
    assert found.hours == (None if expected.hours is None else pytest.approx(expected.hours))


def test_a_span_of_hours_is_a_part_of_the_day() -> None:
    assert (Hours(0, 360).share, parse_hours("18:00-06:00").share) == (0.25, 0.5)
