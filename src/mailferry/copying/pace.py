"""The pace of one copier process: limits of sources kept, hosts in trouble left alone, turns shared out.

What holds over all processes goes through the store and costs little there: hosts in trouble and sums of
octets are rows that are written when they change; connections and commands follow from the leases, of
which every process sees its own and all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from twisted.internet import task

from mailferry.copying.pace_carrier import PacedCarrier
from mailferry.copying.results import Waits
from mailferry.model.causes import RemoteFailure
from mailferry.observe.log import Log
from mailferry.plan.pace import HOST_CAUSES, Bucket, PaceLimits, host_pause, room_at_host
from mailferry.plan.pace_shares import Waiting, shares
from mailferry.remote.open import OpenSession
from mailferry.store import domains, leases, pace_hours, source_hosts
from mailferry.store.database import Database, db_now
from mailferry.store.domains import Domain
from mailferry.store.faults import StoreUnavailable
from mailferry.store.source_hosts import TroubledHost

FLUSH_SECONDS = 5.0
DOMAINS_SECONDS = 30.0
"""How long what is known of the domains is believed."""
USED_UP_SECONDS = 1800.0
"""A copy that has used up its octets of a day looks again after this time: an hour of them comes back each hour."""


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """The terms of one domain's source: its host, its limits, and the connections that an account takes."""

    host: str
    limits: PaceLimits
    connections: int


class SourcePace:
    """One per copier process. `terms` tells a domain's; `minute` is the minute of the local day."""

    def __init__(
        self,
        database: Database,
        *,
        reactor: Any,
        log: Log,
        terms: Callable[[Domain], SourceTerms],
        minute: Callable[[], float],
    ) -> None:
        self._database = database
        self._reactor = reactor
        self._log = log
        self._terms = terms
        self._minute = minute
        self._known: dict[str, SourceTerms] = {}
        self._known_at = float("-inf")
        self._troubled: Mapping[str, TroubledHost] = {}
        self._mine: Counter[str] = Counter()
        self._all: Counter[str] = Counter()
        self._buckets: dict[str, Bucket] = {}
        self._unwritten: Counter[str] = Counter()
        self._spent: dict[str, int] = {}
        self._flush = task.LoopingCall(self.flush)
        self._flush.clock = reactor

    def begin(self) -> None:
        """Start to write down now and then what was read."""
        self._flush.start(FLUSH_SECONDS, now=False)

    async def finish(self) -> None:
        """Write down the rest."""
        if self._flush.running:
            self._flush.stop()
        await self.flush()

    # --- whose turn it is

    async def shares(self, free: int, beyond: int, mine: Counter[str]) -> Mapping[str, int]:
        """Return how many accounts of which domain get a turn now; `mine` are this process's turns by domain."""
        enough = free + beyond

        def look(conn: Connection) -> tuple[Any, ...]:
            at = db_now(conn)
            return (
                leases.due_domains(conn, enough=enough, now=at),
                leases.held_by_domain(conn, now=at),
                source_hosts.troubled(conn),
                at,
            )

        due, held, self._troubled, now = await self._database.read("who is due", look)
        names = {one.domain for one in due} | set(held) | set(mine)
        await self._know(names)
        self._mine, self._all = self._by_host(mine), self._by_host(Counter(held))
        waiting = [
            Waiting(one.domain, self._known[one.domain].host, one.accounts, one.due_at)
            for one in due
            if one.domain in self._known and not self._held(self._known[one.domain].host, now)
        ]
        return shares(
            waiting,
            free,
            running_domains=held,
            running_hosts=self._all,
            rooms={one.host: self._room(one.domain) for one in waiting},
            beyond=beyond,
        )

    async def _know(self, names: set[str]) -> None:
        """Read the domains again when one is new, and now and then."""
        now = self._reactor.seconds()
        if names <= set(self._known) and now - self._known_at < DOMAINS_SECONDS:
            return
        found = await self._database.read("domains", domains.listing)
        self._known = {domain.name: self._terms(domain) for domain in found}
        self._known_at = now

    def _by_host(self, by_domain: Counter[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for domain, number in by_domain.items():
            if domain in self._known:
                found[self._known[domain].host] += number
        return found

    def _held(self, host: str, now: float) -> bool:
        troubled = self._troubled.get(host)
        return troubled is not None and troubled.held_until > now

    def _room(self, domain: str) -> int | None:
        terms = self._known[domain]
        troubled = self._troubled.get(terms.host)
        failures = 0 if troubled is None else troubled.failures
        return room_at_host(terms.limits.host_connections, terms.connections, failures)

    # --- one account's sessions

    async def opened(
        self, account_id: int, terms: SourceTerms, opening: Callable[[], Awaitable[OpenSession]]
    ) -> OpenSession:
        """Open a session at a source; note what that says of its host. Raises what `opening` raises."""
        try:
            session = await opening()
        except RemoteFailure as failure:
            if failure.cause in HOST_CAUSES:
                await self._failed(terms.host, failure)
            raise
        if terms.host in self._troubled:
            await self._works(terms.host)
        limits = terms.limits
        buckets = self._buckets_for(account_id, terms) if limits.counts_commands else []
        if not buckets and not limits.counts_octets:
            return session
        subjects = self._subjects(account_id, terms)

        def read(octets: int) -> None:
            for subject in subjects:
                self._unwritten[subject] += octets

        carrier = PacedCarrier(
            session.carrier, self._reactor, read=read if limits.counts_octets else None, buckets=buckets
        )
        return replace(session, carrier=carrier)

    def terms(self, domain: Domain) -> SourceTerms:
        """Return the terms of a domain's source."""
        return self._terms(domain)

    async def begin_turn(self, account_id: int, terms: SourceTerms) -> None:
        """Learn what the account and its host have used up, where that is limited."""
        if terms.limits.counts_octets:
            subjects = self._subjects(account_id, terms)
            self._spent |= await self._database.read(
                "octets read", lambda conn: pace_hours.spent(conn, subjects)
            )

    def must_wait(self, account_id: int, terms: SourceTerms, *, at_any_hour: bool) -> Waits | None:
        """Return why the account's copy must wait, and for how long."""
        limits = terms.limits
        closed = 0.0 if limits.hours is None or at_any_hour else limits.hours.seconds_until(self._minute())
        if closed:
            return Waits(closed, f"this source is copied from at {limits.hours}")
        for subject, limit in self._subjects(account_id, terms).items():
            if limit is not None and self._spent.get(subject, 0) + self._unwritten[subject] >= limit:
                return Waits(USED_UP_SECONDS, f"{limit} octets of 24 hours are used up at the source")
        return None

    @staticmethod
    def _subjects(account_id: int, terms: SourceTerms) -> dict[str, int | None]:
        """Return by which names octets are counted, and their limits."""
        return {
            f"account {account_id}": terms.limits.bytes_per_day,
            f"host {terms.host}": terms.limits.host_bytes_per_day,
        }

    def _buckets_for(self, account_id: int, terms: SourceTerms) -> list[Bucket]:
        now, limits = self._reactor.seconds(), terms.limits
        found = []
        if limits.commands_per_minute is not None:
            key = f"account {account_id}"
            self._buckets.setdefault(key, Bucket(limits.commands_per_minute, now))
            found.append(self._buckets[key])
        if limits.host_commands_per_minute is not None:
            key = f"host {terms.host}"
            rate = limits.host_commands_per_minute * self._part(terms.host)
            self._buckets.setdefault(key, Bucket(rate, now)).set_rate(rate, now)
            found.append(self._buckets[key])
        return found

    def _part(self, host: str) -> float:
        """Return this process's part of what a host allows to all: as large as its part of the accounts."""
        mine, everybody = max(self._mine[host], 1), max(self._all[host], 1)
        return min(1.0, mine / max(everybody, mine))

    def end_turn(self, account_id: int) -> None:
        """Forget what only the account's turn needed."""
        self._buckets.pop(f"account {account_id}", None)
        self._spent.pop(f"account {account_id}", None)

    # --- what goes through the store

    async def _failed(self, host: str, failure: RemoteFailure) -> None:
        def note(conn: Connection) -> tuple[int, float]:
            failures = source_hosts.failures_of(conn, host) + 1
            pause = host_pause(failure.cause, failures, failure.retry_after)
            text = f"{failure.cause.value}: {failure.text}"
            source_hosts.failed(conn, host, failures=failures, pause=pause, because=text)
            return failures, pause

        failures, pause = await self._database.run("source failed", note, durable=False)
        if pause:
            self._log.warning(
                "a source's host is left alone",
                host=host,
                failures=failures,
                seconds=round(pause),
                cause=failure.cause.value,
                why=failure.text,
            )

    async def _works(self, host: str) -> None:
        self._troubled = {name: row for name, row in self._troubled.items() if name != host}
        await self._database.run("source works", lambda conn: source_hosts.works(conn, host), durable=False)

    async def flush(self) -> None:
        """Write down what was read, and learn what all processes read."""
        now = self._reactor.seconds()
        for key, bucket in self._buckets.items():
            host = key.removeprefix("host ")
            limit = next(
                (t.limits.host_commands_per_minute for t in self._known.values() if t.host == host), 0
            )
            if key != host and limit:
                bucket.set_rate(limit * self._part(host), now)
        octets, self._unwritten = self._unwritten, Counter()
        if not octets:
            return
        try:
            self._spent |= await self._database.run(
                "octets read", lambda conn: pace_hours.spend(conn, octets), durable=False
            )
        except StoreUnavailable:
            self._unwritten += octets
