from __future__ import annotations

import pytest

from mailferry.plan.sweep_times import seconds_to_next_sweep

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.mark.parametrize(
    ("since_flip", "every"),
    [
        (0, 5 * MINUTE),
        (DAY - 1, 5 * MINUTE),
        (DAY, HOUR),
        (8 * DAY - 1, HOUR),
        (8 * DAY, 6 * HOUR),
        (400 * DAY, 6 * HOUR),
    ],
)
def test_late_mail_is_looked_for_every_five_minutes_for_a_day_hourly_for_a_week_then_every_six_hours(
    since_flip: float, every: float
) -> None:
    assert seconds_to_next_sweep(since_flip) == every
