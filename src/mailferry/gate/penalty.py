"""The guessing shield: wrong passwords do not reach a source in numbers.

A source locks accounts and bans addresses, and all users reach it from ours. A password that the
source took before is always asked and counts nowhere; one that it refused for certain within ten
minutes is refused again without asking; an unseen one beyond the limits is answered as temporary.
The limits hold over all processes: each try is reserved in the store before the source is asked. One
client network has a share of what a source may be asked, so that it uses up nobody else's.
Only the way to the source is shielded.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection
from twisted.internet import defer, task

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.judges import AsksSource, Judgement
from mailferry.gate.known_networks import KnownNetworks
from mailferry.gate.place import Place
from mailferry.model.access import Secret
from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.observe import metrics
from mailferry.observe.log import get_log, shown_address
from mailferry.passwords.last_accepted import accepted_ago
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.client_network import network_of
from mailferry.plan.refusal_context import (
    AT_ONCE_SECONDS,
    WHOLE_DOMAIN,
    RefusalContext,
    cause_in_context,
)
from mailferry.plan.routing import Outcome
from mailferry.store import accounts, domain_refusals, login_rows, wrong_tries
from mailferry.store.database import Database
from mailferry.store.domain_refusals import DomainRefusals
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.store.one_by_one import OneByOne
from mailferry.store.wrong_tries import Full, Reservation, TryKeys, TryLimits

PATIENCE_SECONDS = 10.0
"""How long a login waits while the limit is reached only by tries whose answer is awaited."""

PAUSE_SECONDS = 0.25
KEY_OCTETS = 16
NETWORK_OCTETS = 8

_HELD_BECAUSE = {
    Full.ACCOUNT: "too many wrong passwords of this account lately",
    Full.NETWORK: "too many wrong passwords from this network lately",
    Full.SOURCE: "too many wrong passwords at this source lately",
    Full.SAME_PASSWORD: "the same password is being asked by another login",
}

_log = get_log("shield")


@dataclass(frozen=True, slots=True)
class _Leave:
    """The leave to ask: `row` is the reserved try, None for a password that the source took before.

    `of_domain` is what the source said of the domain's good passwords lately, before this one.
    """

    row: int | None
    of_domain: DomainRefusals


@dataclass(frozen=True, slots=True)
class _Decided:
    """What `said` is, None while nothing is decided; `of_domain` as in `_Leave`."""

    of_domain: DomainRefusals
    said: _Leave | Judgement | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the store holds about an attempt."""

    against: Reservation | None
    of_domain: DomainRefusals


class Penalty:
    """One per process, shared by everything that asks a source about a password that somebody typed.

    `key` is the key of the hashes by which accounts and passwords are known in the store.
    """

    def __init__(
        self,
        *,
        database: Database,
        judges: AsksSource,
        keeper: PasswordKeeper,
        key: bytes,
        limits: TryLimits,
        reactor: Any,
    ) -> None:
        self._database = database
        self._judges = judges
        self._keeper = keeper
        self._key = key
        self._limits = limits
        self._reactor = reactor
        self._lines: dict[bytes, OneByOne] = {}
        self._noting: set[defer.Deferred[None]] = set()
        self._networks = KnownNetworks(database, reactor=reactor)
        self._network_hash = lru_cache(maxsize=4096)(self._hashed_network)

    async def ask_source(
        self, place: Place, attempt: LoginAttempt, *, before: Callable[[], Awaitable[None]] | None = None
    ) -> Judgement:
        """Let the source judge the attempt, if the shield lets it through; `before` runs just before it is asked.

        What `before` raises comes out and counts nowhere.
        """
        await self._networks.current()
        keys = self._keys(place, attempt)
        leave = await self._leave(place, attempt.credentials.password, keys)
        if isinstance(leave, Judgement):
            return leave
        judged: Judgement | None = None
        cause: Cause | None = Cause.UNKNOWN  # of a client that leaves: its guess may have been heard
        try:
            if before is not None:
                await before()
            said = await self._judges.ask_source(place, attempt)
            cause = _said_no(said)  # a guess counts whatever else the refusal may mean
            judged = await self._in_context(place, said, keys, known_good=leave.row is None)
            if leave.row is None:
                cause = None  # noted already
        except (StoreRefusal, StoreUnavailable):
            cause = None  # it was not asked
            raise
        finally:
            # not waited for: a session that was given must not be lost with a client that leaves here
            self._note_soon(keys, leave, cause, accepted=judged is not None and judged.session is not None)
        return judged

    def logged_in(self, attempt: LoginAttempt) -> None:
        """Note that somebody logged in from the attempt's network, wherever the password was right."""
        self._networks.logged_in(self._network(attempt))

    async def _in_context(
        self, place: Place, said: Judgement, keys: TryKeys, *, known_good: bool
    ) -> Judgement:
        """Return what the source said, weighed with what it said before and of others."""
        cause = said.cause
        if said.outcome is not Outcome.REFUSED or cause is None:
            return said

        def look(conn: Connection) -> RefusalContext:
            account = accounts.find(conn, place.address) if known_good else None
            ago = None if account is None else accepted_ago(conn, account.id)
            domain = place.domain.name
            return RefusalContext(
                accepted_ago=ago,
                good_refused=domain_refusals.lately(conn, domain, seconds=AT_ONCE_SECONDS).count,
            )

        def note_and_look(conn: Connection) -> RefusalContext:
            domain_refusals.refused(conn, keys, cause)
            return look(conn)

        try:
            if known_good:
                context = await self._database.run("a good one refused", note_and_look, durable=False)
            else:
                context = await self._database.read("refused before", look)
        except StoreUnavailable:
            return said  # the refusal was heard: it stands as it was worded
        return _weighed(said, context)

    async def settled(self) -> None:
        """Wait until all answers are noted, and from where somebody logged in."""
        while self._noting:
            await defer.DeferredList(list(self._noting))
        await self._networks.settled()

    # --- before asking

    async def _leave(self, place: Place, password: Secret, keys: TryKeys) -> _Leave | Judgement:
        """Return the leave to ask the source, or what is answered without asking."""
        decided = await self._decided(place, password, keys)
        if decided.said is not None:
            return decided.said
        deadline = self._reactor.seconds() + PATIENCE_SECONDS
        async with self._line(keys.account) as waited:
            stale = waited
            while True:
                if stale:
                    decided = await self._decided(place, password, keys)
                    if decided.said is not None:
                        return decided.said
                got = await self._reserved(keys)
                if got.refused is not None:
                    return _from_memory(got.refused, decided.of_domain)
                if got.row is not None:
                    return _Leave(got.row, decided.of_domain)
                if not got.passing or self._reactor.seconds() >= deadline:
                    return _held(got.full)
                await task.deferLater(self._reactor, PAUSE_SECONDS, lambda: None)
                stale = True

    async def _decided(self, place: Place, password: Secret, keys: TryKeys) -> _Decided:
        """Decide without reserving; where nothing is decided, an unseen password may have its try."""
        return await self._known(place, password, keys) or await self._unknown(place, keys)

    async def _known(self, place: Place, password: Secret, keys: TryKeys) -> _Decided | None:
        """Decide about a password that the source took before, or refused a moment ago; None for any other."""
        asked = {
            "address": place.address,
            "domain": place.domain.name,
            "domain_before": domain_refusals.before(place.domain.name),
            "account_key": keys.account,
            "password_key": keys.password,
            "good_seconds": AT_ONCE_SECONDS,
        }
        seen = login_rows.standing(await self._database.glance("shield", login_rows.SHIELD, asked))
        if seen is None:
            return None
        if seen.refused is not None:
            return _Decided(seen.of_domain, _from_memory(seen.refused, seen.of_domain))
        # it is the password of the account's own name at the source, and of no other name
        same_name = seen.source_login == place.source_login
        if same_name and await self._keeper.is_recorded(seen.password, place.domain, password):
            return _Decided(seen.of_domain, _Leave(None, seen.of_domain))
        return None

    async def _unknown(self, place: Place, keys: TryKeys) -> _Decided:
        """Decide by the limits."""
        domain = place.domain.name

        def look(conn: Connection) -> _Seen:
            return _Seen(
                wrong_tries.standing(conn, keys, self._limits),
                domain_refusals.lately(conn, domain, seconds=AT_ONCE_SECONDS),
            )

        seen = await self._database.read("tries", look)
        against = seen.against
        if against is not None and against.refused is not None:
            return _Decided(seen.of_domain, _from_memory(against.refused, seen.of_domain))
        if against is not None and not against.passing:
            return _Decided(seen.of_domain, _held(against.full))
        return _Decided(seen.of_domain, None)

    def _reserved(self, keys: TryKeys) -> defer.Deferred[Reservation]:
        return self._database.run(
            "reserve a try", lambda conn: wrong_tries.reserve(conn, keys, self._limits), durable=False
        )

    @asynccontextmanager
    async def _line(self, account_key: bytes) -> AsyncIterator[bool]:
        """Reserve for one account one after the other in this process; tells whether that meant to wait."""
        line = self._lines.setdefault(account_key, OneByOne())
        waits = line.busy
        try:
            async with line:
                yield waits
        finally:
            if not line.busy and self._lines.get(account_key) is line:
                del self._lines[account_key]

    # --- after it

    def _note_soon(self, keys: TryKeys, leave: _Leave, cause: Cause | None, *, accepted: bool) -> None:
        """Write down in the background what became of a try, where there is anything to write."""
        reopened = accepted and leave.of_domain.watched
        if leave.row is None and not reopened:
            return
        noting = defer.Deferred.fromCoroutine(self._note(keys, leave, cause, reopened=reopened))
        self._noting.add(noting)
        noting.addBoth(lambda _: self._noting.discard(noting))

    async def _note(self, keys: TryKeys, leave: _Leave, cause: Cause | None, *, reopened: bool) -> None:
        """Write it down; a try that cannot be written goes on to count."""
        row = leave.row

        def write(conn: Connection) -> None:
            if row is not None and cause is None:
                wrong_tries.release(conn, row)
            elif row is not None and cause is not None:
                wrong_tries.refused(conn, row, cause)
            if reopened:
                shut_out = leave.of_domain.count >= WHOLE_DOMAIN
                domain_refusals.accepted(conn, keys, known_good=row is None, was_shut_out=shut_out)

        try:
            await self._database.run("note a try", write, durable=False)
        except StoreUnavailable as error:
            _log.error("a try is not noted", account=shown_address(keys.address), why=str(error))

    # --- names

    def _keys(self, place: Place, attempt: LoginAttempt) -> TryKeys:
        name = place.source_login or place.address
        account = self._hash(b"account\0", place.domain.name.encode(), b"\0", name.encode())
        password = self._hash(b"password\0", account, attempt.credentials.password.reveal())
        network = self._network(attempt)
        return TryKeys(
            account=account,
            password=password,
            source=place.asked_source(attempt.protocol).host,
            address=place.address,
            network=network,
            trusted=network in self._networks,
        )

    def _network(self, attempt: LoginAttempt) -> bytes:
        return self._network_hash(attempt.client.host)

    def _hashed_network(self, host: str) -> bytes:
        return self._hash(b"network\0", network_of(host).encode())[:NETWORK_OCTETS]

    def _hash(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"".join(parts), "sha256")[:KEY_OCTETS]


def _said_no(judged: Judgement) -> Cause | None:
    """Return the cause of a try that counts: the source heard the password and said no.

    A refusal whose words nobody knows is answered as temporary, but the source has counted it.
    """
    if judged.outcome is Outcome.REFUSED:
        return judged.cause or Cause.UNKNOWN
    return Cause.UNKNOWN if judged.cause is Cause.UNKNOWN else None


def _weighed(said: Judgement, context: RefusalContext) -> Judgement:
    assert said.cause is not None
    cause = cause_in_context(said.cause, context)
    if CAUSES[cause].answer is Answer.REFUSED and not context.shut_out:
        return said
    return replace(said, outcome=Outcome.UNAVAILABLE, cause=cause)


def _from_memory(cause: Cause, of_domain: DomainRefusals) -> Judgement:
    """Repeat a refusal; while a whole domain is shut out it says nothing about a password."""
    said = Judgement(Outcome.REFUSED, cause=cause, text="refused at the source a moment ago", remembered=True)
    return _weighed(said, RefusalContext(good_refused=of_domain.count))


def _held(full: Full | None) -> Judgement:
    assert full is not None
    metrics.GUESSES_HELD.add()
    return Judgement(Outcome.UNAVAILABLE, cause=Cause.RATE_LIMITED, text=f"not asked: {_HELD_BECAUSE[full]}")
