"""Late mail that logins ask for: written behind them, one transaction for all that came while the last was written.

Nobody waits for it. One that a power cut or a lost store takes back comes with the account's next hour.
"""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.internet import defer

from mailferry.gate.place import Place
from mailferry.observe.log import get_log
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable

_log = get_log("gate")


class SweepWishes:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: set[int] = set()
        self._writing: defer.Deferred[None] | None = None

    def add(self, place: Place) -> None:
        """Have late mail of the place's account fetched now, unless that is due already."""
        account = place.account
        assert account is not None
        due = account.next_due_at
        if account.sweep_asked_at is not None and due is not None and due <= place.at:
            return
        self._wanted.add(account.id)
        if self._writing is None:
            writing = self._writing = defer.Deferred.fromCoroutine(self._write())
            writing.addBoth(self._written)

    async def settled(self) -> None:
        """Wait until every wish is written."""
        while self._writing is not None:
            done: defer.Deferred[None] = defer.Deferred()
            self._writing.addBoth(done.callback)
            await done

    def _written(self, result: object) -> object:
        self._writing = None
        return result

    async def _write(self) -> None:
        while self._wanted:
            wanted, self._wanted = sorted(self._wanted), set()

            def ask(conn: Connection, wanted: list[int] = wanted) -> None:
                for account_id in wanted:
                    accounts.ask_sweep(conn, account_id)

            try:
                await self._database.run("ask sweep", ask, durable=False)
            except StoreUnavailable as error:
                _log.error("late mail is not asked for", why=str(error))
