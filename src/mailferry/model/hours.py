"""A span of the day, as configuration and profiles write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

DAY_MINUTES = 24 * 60
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d) ?- ?([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` to `end`, in minutes since midnight; it may reach over midnight."""

    begin: int
    end: int

    def seconds_until(self, minute: float) -> float:
        """Return the seconds until the span begins, 0 within it."""
        if self.begin < self.end:
            inside = self.begin <= minute < self.end
        else:
            inside = minute >= self.begin or minute < self.end
        return 0.0 if inside else ((self.begin - minute) % DAY_MINUTES) * 60.0

    @property
    def share(self) -> float:
        """The part of the day that it is."""
        return (self.end - self.begin) % DAY_MINUTES / DAY_MINUTES

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.begin, self.end))


def parse_hours(text: str) -> Hours:
    """Read `22:00-06:00`; raises ValueError that says what to write."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no span of hours: write 22:00-06:00")
    begin, begin_minute, end, end_minute = map(int, found.groups())
    span = Hours(begin * 60 + begin_minute, end * 60 + end_minute)
    if span.begin == span.end:
        raise ValueError(f"{text!r} is an empty span: leave it out to copy at any time")
    return span
