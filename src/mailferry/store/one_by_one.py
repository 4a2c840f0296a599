"""A lock for coroutines of one thread that hands the turn on without going deeper.

Twisted's DeferredLock resumes whoever waits next inside the `release` of the one before. Where turns end without
waiting for anything, each waits inside the other: some hundred logins at once used up Python's recursion limit,
and a RecursionError comes anywhere, also between a queue's new entry and the word to its thread, which then sleeps
for ever.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType

from twisted.internet.defer import Deferred


class OneByOne:
    """For `async with`: who is inside is alone, the others come in the order in which they asked.

    Whoever is cancelled while it waits has lost its place. Not for threads.
    """

    __slots__ = ("_handing_on", "_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._handing_on = False
        self._waiting: deque[Deferred[None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether somebody is inside or waits."""
        return self._taken or bool(self._waiting)

    async def acquire(self) -> None:
        """Wait for the turn."""
        if self.busy:
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True

    def release(self) -> None:
        """Hand the turn on; whoever has it next runs from here as far as it comes without waiting."""
        self._taken = False
        if self._handing_on:
            return  # inside the loop below, which sees to the next
        self._handing_on = True
        try:
            while self._waiting and not self._taken:
                self._taken = True
                self._waiting.popleft().callback(None)
        finally:
            self._handing_on = False

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()
