"""Whose time is over: one call of the reactor's for all sessions and logins, instead of one for each.

A session moves thousands of times and reaches its limit once or never, and an idle one stands for hours:
so nothing is written down when it moves, and all are looked at when the earliest of them may be due. A login
has a limit that nothing moves, and hardly ever reaches it.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

REST_SECONDS = 0.25
"""Looks at all sessions are so far apart at least, or thousands of them would be looked at for each that is due."""


class Silent(Protocol):
    """What is watched."""

    @property
    def due(self) -> float:
        """When, by the reactor's clock, it will have been silent for too long; movement makes it later."""
        ...

    def silent_for_too_long(self) -> None:
        """Do what is due. It is not watched any more."""
        ...


class SilenceWatch:
    """Everything that is watched on one reactor. What is due is told within `REST_SECONDS`."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._watched: set[Silent] = set()
        self._look: IDelayedCall | None = None
        self._look_at = 0.0

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, silent: Silent) -> None:
        """Watch from now on; somebody who is watched and has become due earlier is added again."""
        self._watched.add(silent)
        due = silent.due
        if self._look is None or due < self._look_at:
            self._look_by(due)

    def discard(self, silent: Silent) -> bool:
        """Watch no more, if it was watched; tells whether others are."""
        self._watched.discard(silent)
        if self._watched:
            return True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        return False

    def _look_by(self, due: float) -> None:
        left = max(due - self._reactor.seconds(), 0.0)
        if self._look is None:
            self._look = self._reactor.callLater(left, self._look_at_all)
        else:
            self._look.reset(left)
        self._look_at = due

    def _look_at_all(self) -> None:
        self._look = None
        now = self._reactor.seconds()
        over, earliest = [], float("inf")
        for silent in self._watched:
            due = silent.due
            if due <= now:
                over.append(silent)
            elif due < earliest:
                earliest = due
        self._watched.difference_update(over)
        if self._watched:
            self._look_by(max(earliest, now + REST_SECONDS))
        for silent in over:
            self._reactor.callLater(0, silent.silent_for_too_long)  # what breaks in one touches no other


_WATCHES: dict[IReactorTime, SilenceWatch] = {}


def watch(silent: Silent, reactor: IReactorTime) -> None:
    """Have it told when it is due on this reactor, within `REST_SECONDS`."""
    known = _WATCHES.get(reactor)
    if known is None:
        known = _WATCHES[reactor] = SilenceWatch(reactor)
    known.add(silent)


def unwatch(silent: Silent, reactor: IReactorTime) -> None:
    """Take it out again. A reactor is forgotten with the last that it watched."""
    known = _WATCHES.get(reactor)
    if known is not None and not known.discard(silent):
        del _WATCHES[reactor]
