"""The door: takes in clients of one listener, and lets them all out again when the process stops.

One driver serves every protocol: a visit (frontends/visit.py) carries out what the dialogue of its
protocol asks, and knows no command of any.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from mailferry.frontends.visit import DoorTerms, Gate, Visit
from mailferry.net.carrier import Carrier
from mailferry.observe.log import Log

DRAIN_SECONDS = 30.0

__all__ = ["DRAIN_SECONDS", "Door", "DoorTerms", "Gate"]


class Door:
    """Everybody who came in through one listener."""

    def __init__(self, terms: DoorTerms, gate: Gate, *, reactor: IReactorTime, log: Log) -> None:
        self.terms = terms
        self._gate = gate
        self._reactor = reactor
        self._log = log
        self._inside: set[Visit] = set()
        self._emptied: list[Deferred[None]] = []
        self._draining = False

    def __len__(self) -> int:
        return len(self._inside)

    def accept(self, carrier: Carrier) -> None:
        """Begin the visit of a client that just connected."""
        if self._draining:
            carrier.abort()
            return
        visit = Visit(
            carrier, self.terms, self._gate, reactor=self._reactor, log=self._log, on_over=self._over
        )
        self._inside.add(visit)
        visit.begin()

    def drain(self, seconds: float = DRAIN_SECONDS) -> Deferred[None]:
        """Let everybody out: before login at once, sessions between commands, after `seconds` the rest.

        The Deferred fires when nobody is inside. The listener is stopped by its owner, before.
        """
        self._draining = True
        for visit in list(self._inside):
            visit.stop()
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
        for visit in list(self._inside):
            visit.abort("the service stops")

    def _over(self, visit: Visit) -> None:
        self._inside.discard(visit)
        if not self._inside:
            emptied, self._emptied = self._emptied, []
            for waiting in emptied:
                waiting.callback(None)
