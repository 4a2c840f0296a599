"""A bounded pool of threads for what would hold the reactor up: slow hashes, files, a site's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")

DEFAULT_THREADS = 2


class WorkThreads:
    """Runs blocking functions, at most `size` at a time; the rest wait their turn."""

    def __init__(self, reactor: Any, size: int = DEFAULT_THREADS) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name="passwords")
        self._started = False

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Run `work()` in a thread; the Deferred fires on the reactor with what it returned or raised."""
        if not self._started:
            self._pool.start()
            self._started = True
        return deferToThreadPool(self._reactor, self._pool, work)

    def pause(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after `seconds`."""
        return deferLater(self._reactor, seconds, lambda: None)

    def stop(self) -> None:
        """End the threads after the work they have; nothing runs afterwards."""
        if self._started:
            self._pool.stop()
            self._started = False
