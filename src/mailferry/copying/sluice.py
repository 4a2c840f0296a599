"""One long FETCH led into one batch after the other.

A source that is asked for many messages at once gives them without a pause, however far away it is. The
batches that take them are opened one by one, each behind its durable intent; the source waits when the
next one is not there yet. Messages come in the order of their UIDs; one that does not is let go, and
its batch finds out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mailferry.copying.batch import Batch
from mailferry.remote.message_sink import WholeSink


class Sluice(WholeSink):
    """The sink of the long FETCH. `wait` is told whether the source must wait."""

    def __init__(self, batches: int, wait: Callable[[bool], None]) -> None:
        self._to_come = batches
        self._wait = wait
        self._current: Batch | None = None
        self._ready: deque[Batch] = deque()
        self._left: set[int] = set()
        """UIDs of the current batch that have not come."""
        self._inside: int | None = None
        """The message that has begun and goes to the current batch."""
        self._filled: Batch | None = None
        """The last batch that took messages of this read."""
        self.over = False
        """No batch that comes from now on will get anything."""
        self.let_go = 0
        """Messages that came when no batch was there for them."""

    def add(self, batch: Batch) -> None:
        """Have one more batch ready."""
        self._to_come -= 1
        self._ready.append(batch)
        if self.over:
            self.finish()
        elif self._current is None:
            self._next()

    def drop(self) -> None:
        """No more batches will be ready: what comes for them is let go."""
        self.over, self._to_come = True, 0
        self._wait(False)

    def finish(self) -> None:
        """The source gives no more: close what is open."""
        self.drop()
        if self._current is None:
            self._next()
        while self._current is not None:
            self._next()

    def abandon(self) -> None:
        """Lead nothing on any more, not even the rest of a message that has begun."""
        self._current = self._inside = None
        self._left = set()
        self._ready.clear()
        self.drop()

    @property
    def inside(self) -> bool:
        """Whether a message has begun and is not over."""
        return self._inside is not None

    # --- the sink

    def whole(self, key: int, octets: memoryview) -> None:
        """Lead a small message into its batch."""
        batch = self._batch_of(key)
        if batch is not None:
            self._filled = batch
            batch.sink.whole(key, octets)
            self._came(key)

    def so_far(self) -> None:
        """Let the target have what was led there."""
        if self._filled is not None:
            self._filled.sink.so_far()
            self._filled = None

    def begin(self, key: int, size: int | None) -> None:
        """Begin a message."""
        batch = self._batch_of(key)
        if batch is not None:
            self._inside = key
            batch.sink.begin(key, size)

    def chunk(self, data: bytes) -> None:
        """Lead octets on."""
        if self._inside is not None and self._current is not None:
            self._current.sink.chunk(data)

    def end(self) -> None:
        """The message is whole."""
        key, self._inside = self._inside, None
        if key is not None and self._current is not None:
            self._current.sink.end()
            self._came(key)

    def broken(self) -> None:
        """The message that has begun will not be completed."""
        if self._inside is not None and self._current is not None:
            self._inside = None
            self._current.sink.broken()

    # --- batches

    def _batch_of(self, key: int) -> Batch | None:
        """Return the batch that takes a message; those before it are over then."""
        if key in self._left:
            return self._current
        if any(key in batch.by_uid for batch in self._ready):
            while key not in self._left:
                self._next()
            return self._current
        self.let_go += 1
        return None

    def _came(self, key: int) -> None:
        self._left.discard(key)
        if not self._left:
            self._next()

    def _next(self) -> None:
        """Close the current batch and go over to the next one."""
        if self._current is not None:
            self._current.close()
        self._current = self._ready.popleft() if self._ready else None
        self._left = set(self._current.by_uid) if self._current is not None else set()
        self._wait(self._current is None and self._to_come > 0)
