"""How fast one token may ask: so many requests at once, refilled by the second."""

from __future__ import annotations

import threading

from mailferry.web.throttle import Seconds

AT_ONCE = 400
PER_SECOND = 20.0


class Pace:
    """Counts requests by token; usable from any thread. Known tokens only, so its memory is bounded by them."""

    def __init__(self, seconds: Seconds, *, at_once: int = AT_ONCE, per_second: float = PER_SECOND) -> None:
        self._seconds = seconds
        self._at_once = at_once
        self._per_second = per_second
        self._left: dict[int, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, token_id: int) -> float:
        """Count a request of the token; return 0, or after how many seconds it may come instead."""
        with self._lock:
            now = self._seconds()
            left, seen = self._left.get(token_id, (float(self._at_once), now))
            left = min(float(self._at_once), left + (now - seen) * self._per_second)
            granted = left >= 1.0
            self._left[token_id] = (left - 1.0 if granted else left, now)
            return 0.0 if granted else (1.0 - left) / self._per_second
