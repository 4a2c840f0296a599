"""A session that its server wants slower: `[THROTTLED]` in an OK says that the next command had better wait.

As Dovecot's own client does against Gmail: 50 ms at first, twice as long each time, 16 s at most, and
nothing once an answer comes without it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

FIRST_SECONDS = 0.05
LONGEST_SECONDS = 16.0


class Throttle:
    """Holds commands back; calls `go_on` when the pause is over."""

    def __init__(self, reactor: IReactorTime, go_on: Callable[[], None]) -> None:
        self._reactor = reactor
        self._go_on = go_on
        self._times = 0
        self._pause: IDelayedCall | None = None

    @property
    def held(self) -> bool:
        """Whether the next command waits."""
        return self._pause is not None

    def answered(self, *, throttled: bool) -> None:
        """Take notice of a command that went well, with or without the request to slow down."""
        self._times = self._times + 1 if throttled else 0
        if throttled and self._pause is None:
            seconds = min(FIRST_SECONDS * 2.0 ** min(self._times - 1, 16), LONGEST_SECONDS)
            self._pause = self._reactor.callLater(seconds, self._over)

    def cancel(self) -> None:
        """The session is over."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _over(self) -> None:
        self._pause = None
        self._go_on()
