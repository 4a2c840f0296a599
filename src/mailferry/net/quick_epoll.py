"""Twisted's epoll reactor without the log context that it sets up around each event, and with smaller tables.

Our descriptors never speak through Twisted's log, and the context is a tenth of what a login costs. What a
descriptor raises is caught and told as before. Twisted's sets and dictionary of descriptors take a quarter of a
kibibyte for each idle session; the kernel gives out the lowest numbers first, so a list and an octet for each do.
And its loop looks at all timers after each event, which takes as long as relaying a command, which starts none.
"""

from __future__ import annotations

from collections.abc import Iterator
from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet import epollreactor, main
from twisted.python import log

EVENTS_A_TURN = 1024
"""So many events are told before due calls have their turn; the kernel keeps the others."""
LONGEST_SECONDS = 86_400.0
"""What is due later is asked for again after so long; epoll knows no more than 24 days."""

_BOTH = EPOLLIN | EPOLLOUT


class _AskedFor:
    """The numbers of the descriptors for which one event is asked."""

    def __init__(self, asked: bytearray, event: int) -> None:
        self._asked = asked
        self._event = event

    def __contains__(self, number: int) -> bool:
        return bool(self._asked[number] & self._event)

    def __iter__(self) -> Iterator[int]:
        return (number for number, events in enumerate(self._asked) if events & self._event)


class QuickEpollReactor(epollreactor.EPollReactor):
    """The reactor of proxies and copiers where the platform has epoll."""

    def __init__(self) -> None:
        self._known: list[Any] = []  # who is told, by the number of the descriptor; None at the others
        self._asked = bytearray()  # for which events of each
        super().__init__()  # type: ignore[no-untyped-call]
        # what Twisted itself looks at, which it does for all at once or after an end
        self._selectables = self._known  # type: ignore[assignment]  # is asked by number alike
        self._reads = _AskedFor(self._asked, EPOLLIN)  # type: ignore[assignment]  # is looked through alike
        self._writes = _AskedFor(self._asked, EPOLLOUT)  # type: ignore[assignment]

    def mainLoop(self) -> None:  # noqa: N802 - Twisted's name
        """Run until the end, as Twisted's own loop does; timers are looked at when one is new or due."""
        while self._started:
            try:
                self.runUntilCurrent()
                self.doPoll(self.timeout() if self.running else 0.0)
                while self.running and not (self._newTimedCalls or self.threadCallQueue or self._justStopped):
                    left = None
                    if self._pendingTimedCalls:
                        left = self._pendingTimedCalls[0].time - self.seconds()
                        if left <= 0.0:
                            break
                        left = min(left, LONGEST_SECONDS)
                    self.doPoll(left)
            except Exception:  # loop edge: as in Twisted's own loop
                log.err()

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802 - Twisted's name
        """Wait for events, `timeout` seconds at most, and hand each to whom it belongs."""
        known = self._known
        for number, event in self._poller.poll(-1 if timeout is None else timeout, EVENTS_A_TURN):
            selectable = known[number]
            if selectable is None:
                continue  # gone with an event of this round
            try:
                if event & _BOTH == EPOLLIN:  # perhaps with the news of an end, which a read finds too
                    why = selectable.doRead()
                elif event == EPOLLOUT:
                    why = selectable.doWrite()
                else:  # both, or an end that no read finds
                    self._do_both(selectable, number, event)
                    continue
            except Exception as error:  # loop edge: one descriptor's fault ends no other's turn
                log.err()
                why = error
            if why:
                self._lose(selectable, why, reading=bool(event & EPOLLIN))

    doIteration = doPoll  # noqa: N815 - Twisted's name

    def _do_both(self, selectable: Any, number: int, event: int) -> None:
        try:
            self._doReadOrWrite(selectable, number, event)  # type: ignore[no-untyped-call]
        except Exception:  # loop edge: the same, told to what was lost already
            log.err()

    def _lose(self, selectable: Any, why: Exception, *, reading: bool) -> None:
        try:
            self._disconnectSelectable(selectable, why, reading)  # type: ignore[no-untyped-call]
        except Exception:  # loop edge: the same
            log.err()

    def _add(self, xer: Any, _this: Any, _other: Any, _selectables: Any, event: int, _antievent: int) -> None:
        """Ask for one more event of a descriptor; OSError is for Twisted, which calls this."""
        number = xer.fileno()
        asked = self._asked[number] if 0 <= number < len(self._asked) else 0
        if asked & event:
            return
        if asked:
            self._poller.modify(number, asked | event)
        else:
            self._poller.register(number, event)
        if number >= len(self._asked):
            more = number + 1 - len(self._asked)
            self._asked.extend(bytes(more))
            self._known.extend([None] * more)
        self._asked[number] = asked | event
        self._known[number] = xer

    def _remove(
        self, xer: Any, _this: Any, _other: Any, _selectables: Any, event: int, _antievent: int
    ) -> None:
        """Ask for one event less; nothing happens where it was not asked for. Twisted calls this."""
        number = xer.fileno()
        if number < 0:  # closed already: only its place tells the number
            number = next((place for place, one in enumerate(self._known) if one is xer), -1)
        if not 0 <= number < len(self._asked) or not self._asked[number] & event:
            return
        left = self._asked[number] = self._asked[number] & ~event
        if left:
            self._poller.modify(number, left)
        else:
            self._known[number] = None
            self._poller.unregister(number)


def install() -> None:
    """Make it the process's reactor."""
    main.installReactor(QuickEpollReactor())
