"""How many octets of answers a session waits for before it reads them, while many commands are out.

A target that takes one message at a time answers each with a line or three, hundreds of times a second.
Waking up for every one costs more than the messages themselves do. So while many answers are owed the
kernel keeps them until there are some: as many octets as came within `WAIT_SECONDS` until now, and never more
than those answers must have of which nobody waits for the last (`AT_ONCE`).
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mailferry.net.carrier import Carrier

AT_ONCE = 16
"""So many answers, the last ones that are owed, are read as they come."""
SHORTEST_ANSWER = len(b"m0abcdef OK\r\n")
MOST_OCTETS = 8 * 1024
WAIT_SECONDS = 0.1
LOOK_SECONDS = 0.25
"""Where nothing was read for so long, everything is read as it comes: the server has become slower."""


class Patience:
    """Asks `carrier` to wait, and to wait no more."""

    def __init__(self, carrier: Carrier, reactor: IReactorTime) -> None:
        self._carrier = carrier
        self._reactor = reactor
        self._waits_for = 1
        self._read_at = reactor.seconds()
        self._timer: IDelayedCall | None = None

    def after_read(self, octets: int, owed: int) -> None:
        """Take notice of a read, behind which so many commands are not answered yet."""
        if owed <= AT_ONCE:
            if self._waits_for > 1:
                self.end()
            return
        now = self._reactor.seconds()
        took, self._read_at = now - self._read_at, now
        usual = octets * WAIT_SECONDS / took if took > 0 else MOST_OCTETS
        self._wait_for(int(min(usual, (owed - AT_ONCE) * SHORTEST_ANSWER, MOST_OCTETS)))

    def end(self) -> None:
        """Wait for nothing: any octet is read as it comes."""
        self._wait_for(1)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for(self, octets: int) -> None:
        octets = max(octets, 1)
        if octets > 1 and self._timer is None:
            self._timer = self._reactor.callLater(LOOK_SECONDS, self._look)
        # a little more is not worth a call of the kernel, less is
        if octets < self._waits_for or octets > 2 * self._waits_for:
            self._waits_for = octets
            self._carrier.wait_for(octets)

    def _look(self) -> None:
        """Give the wait up where it has become long."""
        self._timer = None
        left = self._read_at + LOOK_SECONDS - self._reactor.seconds()
        if left > 0:
            self._timer = self._reactor.callLater(left, self._look)
        else:
            self.end()
