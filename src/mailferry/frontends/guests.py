"""Who is inside one listener, and how all of them are let out again when the process stops."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

DRAIN_SECONDS = 30.0


class Guest(Protocol):
    """Somebody who connected; whoever keeps the guests is told when nothing of one is left."""

    def stop(self) -> None:
        """End as soon as it can be done in good order."""
        ...

    def abort(self, reason: str) -> None:
        """End at once."""
        ...


class Guests:
    """Everybody inside one listener."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._inside: set[Guest] = set()
        self._emptied: list[Deferred[None]] = []
        self.draining = False
        """Nobody is let in any more."""

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def inside(self) -> frozenset[Guest]:
        """Everybody who is there now."""
        return frozenset(self._inside)

    def enter(self, guest: Guest) -> None:
        """Let somebody in."""
        self._inside.add(guest)

    def left(self, guest: Guest) -> None:
        """Take note that nothing of a guest is left."""
        self._inside.discard(guest)
        if not self._inside:
            emptied, self._emptied = self._emptied, []
            for waiting in emptied:
                waiting.callback(None)

    def drain(self, seconds: float = DRAIN_SECONDS) -> Deferred[None]:
        """Let everybody out, those who are not gone after `seconds` by force; fires when nobody is inside.

        The listener is stopped by its owner, before.
        """
        self.draining = True
        for guest in list(self._inside):
            guest.stop()
        if not self._inside:
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        limit = self._reactor.callLater(seconds, self._abort_all)

        def done(result: None) -> None:
            if limit.active():
                limit.cancel()
            return result

        return emptied.addBoth(done)

    def _abort_all(self) -> None:
        for guest in list(self._inside):
            guest.abort("the service stops")
