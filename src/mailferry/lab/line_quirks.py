"""What a lab host does to a connection as such: when it greets, how answers are cut up, when it hangs up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailferry.lab.premises import Premises

GREETING_SECONDS = 40.0
"""How late a slow host greets."""
DRIP_SECONDS = 0.002
"""Between two pieces of an answer; less, and the system hands them on as one."""


@dataclass(frozen=True, slots=True)
class IdleLimit:
    """Seconds without a command that counts, and commands that do not count."""

    protocol: str
    seconds: float
    without: frozenset[str] = frozenset()


IDLE_LIMITS: Mapping[str, IdleLimit] = {
    "netease_idle_drop": IdleLimit("imap", 60.0, frozenset({"NOOP"})),
    "pop3_idle_drop": IdleLimit("pop3", 30.0),
}


class IdleWatch:
    """Hangs up on a client that was silent for too long; does nothing where no quirk says so."""

    def __init__(
        self, premises: Premises, protocol: str, reactor: Any, hang_up: Callable[[], object]
    ) -> None:
        limits = [limit for quirk, limit in IDLE_LIMITS.items() if premises.has(quirk)]
        self._limit = next((limit for limit in limits if limit.protocol == protocol), None)
        self._alarm: Any = (
            None if self._limit is None else reactor.callLater(self._limit.seconds, self._over, hang_up)
        )

    def heard(self, verb: str) -> None:
        """Note a command."""
        if self._limit is not None and verb not in self._limit.without and self._alarm.active():
            self._alarm.reset(self._limit.seconds)

    def end(self) -> None:
        """Stop watching."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()

    @staticmethod
    def _over(hang_up: Callable[[], object]) -> None:
        hang_up()


class RestartPoint:
    """Where this connection is cut: each one comes one command further than the one before it."""

    def __init__(self, premises: Premises) -> None:
        self._left: int | None = None
        if premises.has("restart_points"):
            premises.spent["restart_points"] += 1
            self._left = premises.spent["restart_points"]

    def reached(self) -> bool:
        """Count one command and say whether it is the one at which the host dies."""
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


class Drips:
    """Sends each answer's first octet alone, the rest a moment later."""

    def __init__(self, reactor: Any, write: Callable[[bytes], object]) -> None:
        self._reactor = reactor
        self._write = write
        self._waiting: list[bytes] = []
        self._alarm: Any = None
        self._turning = False
        self._then: Callable[[], object] | None = None

    def __bool__(self) -> bool:
        return self._turning

    def send(self, octets: bytes) -> None:
        """Send octets behind those that wait."""
        self._waiting += [octets[:1], octets[1:]]
        if not self._turning:
            self._next()

    def when_dry(self, then: Callable[[], object]) -> None:
        """Call `then` once everything is sent."""
        self._then = then

    def flush(self) -> None:
        """Send what waits at once."""
        self._write(b"".join(self._waiting))
        self._waiting.clear()

    def end(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._then = None
        if self._turning and self._alarm.active():
            self._alarm.cancel()

    def _next(self) -> None:
        self._turning = bool(self._waiting)
        if self._waiting:
            self._write(self._waiting.pop(0))
            self._alarm = self._reactor.callLater(DRIP_SECONDS, self._next)
        elif self._then is not None:
            then, self._then = self._then, None
            then()
