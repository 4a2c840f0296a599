"""Time as a value that tests can hold in their hand."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The wall clock: seconds since 1970, UTC."""

    def now(self) -> float:
        """Return the present time in seconds since 1970."""
        ...
