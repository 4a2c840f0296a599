"""Whether the store is a restored back-up that knows fewer flips than `flips.log`.

Until `mailferry db reconcile` was run, such a store serves no account before its flip and copies
nothing: an account that it takes for one of the source's may long live on the target.
"""

from __future__ import annotations

from pathlib import Path

from mailferry.model.account import BEFORE_FLIP, Phase
from mailferry.store import flips_log
from mailferry.store.database import Database
from mailferry.store.one_by_one import OneByOne


class Restored:
    """One per process. Looks until nothing is missing: from then on the log never gets ahead of the store."""

    def __init__(self, database: Database, flips_file: Path) -> None:
        self._database = database
        self._flips_file = flips_file
        self._whole = False
        self._looking = OneByOne()

    async def missing(self) -> frozenset[str]:
        """Return the addresses whose flips the store does not know. Raises StoreUnavailable."""
        if self._whole:
            return frozenset()
        async with self._looking:
            return await self._look()

    async def _look(self) -> frozenset[str]:
        if self._whole:  # somebody before us saw it
            return frozenset()
        path = self._flips_file
        flips = await self._database.read(
            "flips known", lambda conn: flips_log.fewer_flips_than_log(conn, path)
        )
        self._whole = not flips
        return frozenset(flip.address for flip in flips)

    async def holds_back(self, address: str, phase: Phase) -> bool:
        """Whether the account is not served before the store is reconciled."""
        missing = await self.missing()
        return bool(missing) and (phase in BEFORE_FLIP or address in missing)
