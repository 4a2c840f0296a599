"""One after the other at one account, inside a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import DeferredLock


class Turns:
    """Locks by account, there only while somebody is at the account or waits for it."""

    def __init__(self) -> None:
        self._turns: dict[int, DeferredLock] = {}

    @asynccontextmanager
    async def take(self, account_id: int) -> AsyncIterator[None]:
        """Wait for the turn at this account, and give it back at the end."""
        turn = self._turns.setdefault(account_id, DeferredLock())
        await turn.acquire()
        try:
            yield
        finally:
            turn.release()
            if not turn.locked and not turn.waiting:
                self._turns.pop(account_id, None)
