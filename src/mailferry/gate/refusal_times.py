"""When a refusal goes out: at a beat of two seconds, so that its time tells nothing of what was asked.

A refusal that took longer than the first beat waits for the next. One for which no source was asked (a
domain that is not ours, a name that is none, a password refused a moment ago) takes as many beats as
the last one took for which somebody was asked. Times are the reactor's, in seconds.
"""

from __future__ import annotations

import math

BEAT_SECONDS = 2.0
MOST_BEATS = 5
"""Nobody waits longer than that for others' slow servers."""
_ROUNDING = 1e-6


class RefusalTimes:
    """One per process."""

    def __init__(self) -> None:
        self._usual = 1

    def wait(self, took: float, *, asked: bool) -> float:
        """Return for how long a refusal that took so many seconds is kept back."""
        beats = max(1, math.ceil(took / BEAT_SECONDS - _ROUNDING))
        if asked:
            self._usual = min(beats, MOST_BEATS)
        else:
            beats = max(beats, self._usual)
        return max(0.0, beats * BEAT_SECONDS - took)
