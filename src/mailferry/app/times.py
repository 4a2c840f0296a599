"""The clocks that a role reads beside its reactor's; a test puts one that it turns itself in all places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mailferry.model.clock import Clock
from mailferry.observe.system_clock import SystemClock, seconds_since_boot


@dataclass(frozen=True, slots=True)
class Times:
    """Where a process takes the time from."""

    wall: Clock = field(default_factory=SystemClock)
    """Dates that a person sees."""
    since_boot: Callable[[], float] = seconds_since_boot
    """Seconds on a clock that nobody sets, for what this process promised others."""
    store: Callable[[], float] | None = None
    """In place of the database's clock, which is asked in each transaction when this is None."""
