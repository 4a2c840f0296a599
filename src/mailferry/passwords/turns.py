"""One after the other at one account, inside a process."""

from __future__ import annotations

from mailferry.store.one_by_one import OneByOne


class Turns:
    """Locks by account, there only while somebody is at the account or waits for it."""

    def __init__(self) -> None:
        self._turns: dict[int, OneByOne] = {}

    def take(self, account_id: int) -> Turn:
        """Return what waits for the turn at this account, and gives it back at the end."""
        return Turn(self._turns, account_id)


class Turn:
    """One turn, for `async with`."""

    __slots__ = ("_account_id", "_lock", "_turns")

    def __init__(self, turns: dict[int, OneByOne], account_id: int) -> None:
        self._turns = turns
        self._account_id = account_id
        self._lock = turns.setdefault(account_id, OneByOne())

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        lock = self._lock
        lock.release()
        # whoever waited may have had its turn already, and somebody new a lock of his own
        if not lock.busy and self._turns.get(self._account_id) is lock:
            del self._turns[self._account_id]
