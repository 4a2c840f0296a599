"""The machine's two clocks: the wall clock, which may be set, and one that only ever runs forward.

Dates that a person sees use the wall clock. Leases and time limits use the clock since boot, which
also runs while the machine is suspended, so that a holder who slept knows that it slept.
"""

from __future__ import annotations

import time

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The wall clock of this machine (`model.clock.Clock`)."""

    __slots__ = ()

    def now(self) -> float:
        """Return the present time in seconds since 1970."""
        return time.time()


def seconds_since_boot() -> float:
    """Return seconds on a clock that nobody sets and that runs through suspension (Linux)."""
    return time.clock_gettime(_SINCE_BOOT)


def minute_of_day(moment: float) -> float:
    """Return the minutes since midnight, on this machine's wall, of a moment in seconds since 1970."""
    local = time.localtime(moment)
    return local.tm_hour * 60 + local.tm_min + local.tm_sec / 60
