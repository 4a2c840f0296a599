"""How fast a source may be copied from: limits, hours, shares, and how long a host is left alone.

A source's quotas are shared with the users' own devices, and all users reach it from our addresses.
Limits come from the configuration and from the provider's profile; the stricter one counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from mailferry.model.causes import Cause
from mailferry.model.hours import Hours


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """What one source allows; None is no limit. `host_*` is all accounts of one source host together."""

    host_connections: int | None = None
    bytes_per_day: int | None = None
    host_bytes_per_day: int | None = None
    commands_per_minute: int | None = None
    host_commands_per_minute: int | None = None
    hours: Hours | None = None

    def stricter(self, other: PaceLimits) -> PaceLimits:
        """Return the smaller one of each limit; the other's hours count where this one names none."""
        numbers: dict[str, int | None] = {}
        for field in fields(self):
            if field.name != "hours":
                both = [n for n in (getattr(self, field.name), getattr(other, field.name)) if n is not None]
                numbers[field.name] = min(both, default=None)
        return PaceLimits(**numbers, hours=self.hours or other.hours)

    @property
    def counts_octets(self) -> bool:
        """Whether what is read must be counted."""
        return self.bytes_per_day is not None or self.host_bytes_per_day is not None

    @property
    def counts_commands(self) -> bool:
        """Whether what is asked must be counted."""
        return self.commands_per_minute is not None or self.host_commands_per_minute is not None


class Bucket:
    """Leave to send so many commands a minute, a tenth of them at once. Time in seconds, on any clock."""

    __slots__ = ("_level", "_rate", "_seen")

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = 0.0
        self._level = 0.0
        self._seen = now
        self.set_rate(per_minute, now)
        self._level = self._room

    @property
    def _room(self) -> float:
        return max(1.0, self._rate * 6.0)

    def set_rate(self, per_minute: float, now: float) -> None:
        """Go on at another rate."""
        self.left(now)
        self._rate = per_minute / 60.0

    def left(self, now: float) -> int:
        """Return how many commands may be sent now."""
        self._level = min(self._room, self._level + max(now - self._seen, 0.0) * self._rate)
        self._seen = now
        return int(self._level + 1e-9)

    def take(self, commands: int) -> None:
        """Count commands that are sent."""
        self._level -= commands

    def seconds_to_next(self) -> float:
        """Return the seconds until one more may be sent."""
        return max(0.0, (1.0 - self._level) / self._rate) if self._rate > 0 else 60.0


# --- a host that does not let us


TROUBLED_FROM = 3
"""So many openings in a row failed, whichever the accounts, and the trouble is the host's."""

_LONGEST = {
    Cause.SERVER_DOWN: 40.0,  # a host that returns is noticed within a minute
    Cause.TLS_ERROR: 300.0,
    Cause.TOO_MANY_CONNECTIONS: 300.0,
    Cause.RATE_LIMITED: 1800.0,
    Cause.IP_BLOCKED: 1800.0,
}
HOST_CAUSES = frozenset(_LONGEST)
"""Failures to open a session that say nothing of the account."""
_FIRST = 10.0


def host_pause(cause: Cause, failures: int, named: float | None) -> float:
    """Return for how many seconds a host is left alone after the `failures`th opening in a row that failed."""
    if cause not in _LONGEST or failures < TROUBLED_FROM:
        return 0.0
    pause = min(_FIRST * 2.0 ** min(failures - TROUBLED_FROM, 16), _LONGEST[cause])
    return max(pause, min(named or 0.0, 3600.0))


def room_at_host(limit: int | None, cost: int, failures: int) -> int | None:
    """Return how many accounts may be worked on at a host, None for any number.

    Each costs `cost` connections. One tries first whether a troubled host works again.
    """
    room = None if limit is None else max(1, limit // max(1, cost))
    return 1 if failures >= TROUBLED_FROM else room
