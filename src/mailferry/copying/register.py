"""The copier's hand in the store, for one account."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from mailferry.store import leases
from mailferry.store.database import Database
from mailferry.store.faults import Conflict
from mailferry.store.leases import Lease

T = TypeVar("T")
_TRIES = 4


class Register:
    """The copier's hand in the store: every write checks the lease first."""

    def __init__(self, database: Database, account_id: int, lease: Lease | None) -> None:
        self._database = database
        self.account_id = account_id
        self._lease = lease

    async def write(self, name: str, work: Callable[[Connection], T]) -> T:
        """Run a transaction. Raises LeaseLost when another copier has the account.

        A message that moved is written into two ledgers, of which another connection of this pass may
        write one at the same moment: then once more.
        """
        lease = self._lease

        def guarded(conn: Connection) -> T:
            if lease is not None:
                leases.require(conn, lease)
            return work(conn)

        for _ in range(_TRIES):
            try:
                return await self._database.run(name, guarded)
            except Conflict:
                continue
        return await self._database.run(name, guarded)

    async def read(self, name: str, work: Callable[[Connection], T]) -> T:
        """Run a transaction that only reads."""
        return await self._database.read(name, work)
