from __future__ import annotations

import time

from mailferry.observe.system_clock import SystemClock, seconds_since_boot


def test_the_wall_clock_tells_seconds_since_1970() -> None:
    before = time.time()
    assert before <= SystemClock().now() <= time.time()


def test_the_clock_since_boot_only_runs_forward() -> None:
    times = [seconds_since_boot() for _ in range(100)]
    assert times == sorted(times)
