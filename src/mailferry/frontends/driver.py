"""The door: takes in clients of one listener, and lets them all out again when the process stops.

One driver serves every protocol: a visit (frontends/visit.py) carries out what the dialogue of its
protocol asks, and knows no command of any.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mailferry.frontends.guests import DRAIN_SECONDS, Guest, Guests
from mailferry.frontends.visit import DoorTerms, Gate, Visit
from mailferry.net.carrier import Carrier
from mailferry.observe.log import Log

__all__ = ["DRAIN_SECONDS", "Door", "DoorTerms", "Gate"]


class Door:
    """Everybody who came in through one listener."""

    def __init__(self, terms: DoorTerms, gate: Gate, *, reactor: IReactorTime, log: Log) -> None:
        self.terms = terms
        self._gate = gate
        self._reactor = reactor
        self._log = log
        self._guests = Guests(reactor)
        self._left, self._entered = self._guests.left, self._guests.enter  # every session holds the first

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def inside(self) -> frozenset[Guest]:
        """Everybody who is there now."""
        return self._guests.inside

    def accept(self, carrier: Carrier) -> None:
        """Begin the visit of a client that just connected."""
        if self._guests.draining:
            carrier.abort()
            return
        visit = Visit(
            carrier,
            self.terms,
            self._gate,
            reactor=self._reactor,
            log=self._log,
            on_over=self._left,
            on_served=self._entered,
        )
        self._guests.enter(visit)
        visit.begin()

    def drain(self, seconds: float = DRAIN_SECONDS) -> Deferred[None]:
        """Let everybody out: before login at once, sessions between commands, after `seconds` the rest.

        The Deferred fires when nobody is inside. The listener is stopped by its owner, before.
        """
        return self._guests.drain(seconds)
