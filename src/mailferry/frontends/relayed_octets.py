"""How many octets the sessions of this process relayed, told to the metrics in sums.

Telling a counter that all processes share costs a third of what it costs to relay a short command and its
answer. So it is told once a second while octets move, and whenever a session ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mailferry.net.relay import Direction
from mailferry.observe.metrics import RELAYED_BYTES

TELL_SECONDS = 1.0


class RelayedOctets:
    """What was counted and not told yet; `seconds` is a clock that only goes forward."""

    __slots__ = ("_seconds", "_to_client", "_to_server", "_told_at")

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._told_at = seconds()
        self._to_server = self._to_client = 0

    def count(self, direction: Direction, octets: int) -> None:
        """Count octets of one session."""
        if direction == "to_server":
            self._to_server += octets
        else:
            self._to_client += octets
        if self._seconds() - self._told_at >= TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Bring the metrics up to date."""
        self._told_at = self._seconds()
        if self._to_server:
            RELAYED_BYTES.add(self._to_server, direction="to_server")
        if self._to_client:
            RELAYED_BYTES.add(self._to_client, direction="to_client")
        self._to_server = self._to_client = 0
