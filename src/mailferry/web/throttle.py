"""How often sign-ins may be tried: counted in memory by name, by client network, and by both.

An attempt counts before it is judged, so that many at once do not slip through, and is taken back
when it was right. A name is counted for each network apart with a low limit, and over all networks
with a higher one, so that a stranger cannot easily lock out a name that signs in from elsewhere.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailferry.plan.client_network import network_of

SPAN_SECONDS = 900.0
MOST_KEYS = 20_000


class Seconds(Protocol):
    """A clock that nobody can set back."""

    def __call__(self) -> float:
        """Return seconds since some fixed moment."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Attempts allowed in 15 minutes."""

    name_and_network: int = 5
    name: int = 20
    network: int = 40


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that was let through; the network's key is the last."""

    keys: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class TooMany:
    """No attempt now; the next may come in `seconds`."""

    seconds: float


class Throttle:
    """Counts attempts of one kind of sign-in; usable from any thread."""

    def __init__(self, seconds: Seconds, limits: Limits | None = None, *, most_keys: int = MOST_KEYS) -> None:
        self._seconds = seconds
        self._limits = limits or Limits()
        self._most_keys = most_keys
        self._tried: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def enter(self, name: str, host: str) -> Attempt | TooMany:
        """Count an attempt for `name` from the client at `host`, or say how long to wait."""
        counted = self._counted(name, network_of(host))
        with self._lock:
            now = self._seconds()
            waits = [self._wait(key, allowed, now) for key, allowed in counted]
            if max(waits) > 0:
                return TooMany(max(waits))
            for key, _ in counted:
                tried = self._tried.pop(key, None) or deque()
                tried.append(now)
                self._tried[key] = tried  # at the end: the order is that of the last attempts
            self._forget_oldest()
        return Attempt(tuple(key for key, _ in counted), now)

    def was_right(self, attempt: Attempt) -> None:
        """Take an attempt back: it was no guess."""
        self._take_back(attempt, attempt.keys)

    def was_not_judged(self, attempt: Attempt) -> None:
        """Let an attempt count for the network only: a source that is down locks out none of its users."""
        self._take_back(attempt, attempt.keys[:-1])

    def _take_back(self, attempt: Attempt, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                tried = self._tried.get(key)
                if tried is not None and attempt.at in tried:
                    tried.remove(attempt.at)
                    if not tried:
                        del self._tried[key]

    def _counted(self, name: str, network: str) -> Sequence[tuple[str, int]]:
        limits = self._limits
        return (
            (f"both {network} {name}", limits.name_and_network),
            (f"name {name}", limits.name),
            (f"network {network}", limits.network),
        )

    def _wait(self, key: str, allowed: int, now: float) -> float:
        tried = self._tried.get(key)
        if tried is None:
            return 0.0
        while tried and tried[0] <= now - SPAN_SECONDS:
            tried.popleft()
        return tried[-allowed] + SPAN_SECONDS - now if len(tried) >= allowed else 0.0

    def _forget_oldest(self) -> None:
        """Keep the memory bounded under a flood of invented names: who tried longest ago goes first."""
        while len(self._tried) > self._most_keys:
            del self._tried[next(iter(self._tried))]
