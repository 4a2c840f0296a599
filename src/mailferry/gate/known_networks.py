"""The client networks from which somebody logged in: shared by all processes, and kept over a restart.

Each process holds them in memory, reads what the others noted when it is asked after a minute, and
writes what is new to it a moment later, many in one transaction. A network that is seen again within
the hour is not written again, so that offices full of people cost nothing. What a crash or a power cut
takes away is learnt again within a few logins, for which passwords that are known good need no share
of anybody's budget.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from twisted.internet import defer
from twisted.internet.interfaces import IDelayedCall

from mailferry.observe.log import get_log
from mailferry.store import known_networks as rows
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.store.one_by_one import OneByOne

READ_SECONDS = 60.0
"""How old the knowledge of what other processes saw may become."""

WRITE_SECONDS = 5.0
"""How long a new network waits for others to be written with it."""

WRITTEN_SECONDS = 3600.0
"""How long a network that was written need not be written again."""

_OVERLAP_SECONDS = 60.0
"""A transaction of another process is seen after its own moment."""

_log = get_log("shield")


class KnownNetworks:
    """Keyed hashes of networks, in the order of their last login; each with when it was last written."""

    def __init__(self, database: Database, *, reactor: Any, most: int = rows.MOST_NETWORKS) -> None:
        self._database = database
        self._reactor = reactor
        self._most = most
        self._written: dict[bytes, float] = {}
        self._news: set[bytes] = set()
        self._timer: IDelayedCall | None = None
        self._writing: defer.Deferred[None] | None = None
        self._reading = OneByOne()
        self._read_at: float | None = None
        self._known_to = 0.0

    def __contains__(self, network: bytes) -> bool:
        return network in self._written

    def logged_in(self, network: bytes) -> None:
        """Note a login from `network`."""
        now = self._reactor.seconds()
        written = self._written.pop(network, None)
        if written is None or now - written >= WRITTEN_SECONDS:
            self._news.add(network)
            written = now
            if self._timer is None:
                self._timer = self._reactor.callLater(WRITE_SECONDS, self._write)
        self._keep(network, written)

    async def current(self) -> None:
        """Read what other processes noted, if that was not done for a minute.

        While the store does not answer, what was known goes on to be known.
        """
        if self._is_current():
            return
        async with self._reading:
            if not self._is_current():
                await self._read()

    async def settled(self) -> None:
        """Write what is not written yet, and wait for it."""
        while self._news or self._writing is not None:
            if self._writing is None:
                self._write()
            if self._writing is not None:
                await self._writing

    def _is_current(self) -> bool:
        return self._read_at is not None and self._reactor.seconds() - self._read_at < READ_SECONDS

    async def _read(self) -> None:
        since = self._known_to - _OVERLAP_SECONDS
        try:
            at, seen = await self._database.read("known networks", lambda conn: rows.seen_since(conn, since))
        except StoreUnavailable:
            return  # whoever asks for a try of its own is told of it
        now = self._read_at = self._reactor.seconds()
        self._known_to = at
        for network, ago in seen:
            written = max(now - ago, self._written.pop(network, now - ago))
            self._keep(network, written)

    def _keep(self, network: bytes, written: float) -> None:
        self._written[network] = written  # at the end
        while len(self._written) > self._most:
            del self._written[next(iter(self._written))]

    def _write(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._writing is not None:
            self._timer = self._reactor.callLater(WRITE_SECONDS, self._write)
            return
        news, self._news = self._news, set()
        self._writing = defer.Deferred.fromCoroutine(self._note(news))
        self._writing.addBoth(self._wrote)

    async def _note(self, news: set[bytes]) -> None:
        def write(conn: Connection) -> None:
            rows.note(conn, news, most=self._most)

        try:
            await self._database.run("known networks", write, durable=False)
        except StoreUnavailable as error:
            _log.error("networks that logged in are not noted", networks=len(news), why=str(error))
            for network in news & self._written.keys():
                self._written[network] -= WRITTEN_SECONDS  # the next login from there is news again

    def _wrote(self, _result: None) -> None:
        self._writing = None
