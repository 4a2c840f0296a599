"""Twisted's epoll reactor without the log context that it sets up around each event.

Our descriptors never speak through Twisted's log, and the context is a tenth of what a login costs. What a
descriptor raises is caught and told as before.
"""

from __future__ import annotations

from select import EPOLLIN, EPOLLOUT
from typing import Any

from twisted.internet import epollreactor, main
from twisted.python import log


class QuickEpollReactor(epollreactor.EPollReactor):
    """The reactor of proxies and copiers where the platform has epoll."""

    def doPoll(self, timeout: float | None) -> None:  # noqa: N802 - Twisted's name
        """Wait for events, `timeout` seconds at most, and hand each to whom it belongs."""
        known = self._selectables
        for number, event in self._poller.poll(-1 if timeout is None else timeout, len(known)):
            selectable = known.get(number)
            if selectable is None:
                continue  # gone with an event of this round
            try:
                if event == EPOLLIN:
                    why = selectable.doRead()
                elif event == EPOLLOUT:
                    why = selectable.doWrite()
                else:  # both, or an end
                    self._do_both(selectable, number, event)
                    continue
            except Exception as error:  # loop edge: one descriptor's fault ends no other's turn
                log.err()
                why = error
            if why:
                self._lose(selectable, why, reading=event == EPOLLIN)

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


def install() -> None:
    """Make it the process's reactor."""
    main.installReactor(QuickEpollReactor())  # type: ignore[no-untyped-call]
