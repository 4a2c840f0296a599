"""A bounded pool of threads for what would hold the reactor up: slow hashes, files, a site's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mailferry.model.causes import Cause, Unavailable

T = TypeVar("T")

DEFAULT_THREADS = 2
PLACE_THREADS = 4
PLACE_SECONDS = 20.0
"""How long anybody waits for a site's own place of passwords."""


class WorkThreads:
    """Runs blocking functions, at most `size` at a time; the rest wait their turn.

    With `patience` a call that takes longer fails with Unavailable (TARGET_DOWN), though what it does
    may still come to its end.
    """

    def __init__(self, reactor: Any, size: int = DEFAULT_THREADS, *, patience: float | None = None) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name="passwords")
        self._patience = patience
        self._started = False
        self._apart: list[WorkThreads] = []

    def apart(self) -> WorkThreads:
        """Return threads of their own for a place that may not answer, so that it holds nobody else up."""
        others = WorkThreads(self._reactor, PLACE_THREADS, patience=PLACE_SECONDS)
        self._apart.append(others)
        return others

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run `work()` in a thread; the Deferred fires on the reactor with what it returned or raised."""
        if not self._started:
            self._pool.start()
            self._started = True
        running: Deferred[T] = deferToThreadPool(self._reactor, self._pool, work)
        if self._patience is not None:
            running.addTimeout(self._patience, self._reactor, onTimeoutCancel=self._too_long)
        return running

    def _too_long(self, _result: object, seconds: float) -> Failure:
        text = f"the place of passwords did not answer within {seconds:g} s"
        return Failure(Unavailable(Cause.TARGET_DOWN, text))

    def pause(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after `seconds`."""
        return deferLater(self._reactor, seconds, lambda: None)

    def stop(self) -> None:
        """End the threads after the work they have; nothing runs afterwards."""
        for others in self._apart:
            others.stop()
        if self._started:
            self._pool.stop()
            self._started = False
