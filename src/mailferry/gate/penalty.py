"""The guessing shield: wrong passwords do not reach a source in numbers.

A source locks accounts and bans addresses, and all users reach it from ours. A password that the
source took before is always asked and counts nowhere; one that it refused for certain within ten
minutes is refused again without asking; an unseen one beyond the limits is answered as temporary.
The limits hold over all processes: each try is reserved in the store before the source is asked.
Only the way to the source is shielded.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from twisted.internet import defer, task

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.judges import AsksSource, Judgement
from mailferry.gate.place import Place
from mailferry.gate.source_pulse import SourcePulse
from mailferry.model.access import Secret
from mailferry.model.causes import CAUSES, Answer, Cause
from mailferry.observe import metrics
from mailferry.observe.log import get_log, shown_address
from mailferry.passwords.last_accepted import accepted_ago
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.refusal_context import ABOUT_THE_PASSWORD, RefusalContext, cause_in_context
from mailferry.plan.routing import Outcome
from mailferry.store import accounts, wrong_tries
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.store.wrong_tries import Full, Reservation, TryKeys, TryLimits

PATIENCE_SECONDS = 10.0
"""How long a login waits while the limit is reached only by tries whose answer is awaited."""

PAUSE_SECONDS = 0.25
KEY_OCTETS = 16

_HELD_BECAUSE = {
    Full.ACCOUNT: "too many wrong passwords of this account lately",
    Full.SOURCE: "too many wrong passwords at this source lately",
    Full.SAME_PASSWORD: "the same password is being asked by another login",
}

_log = get_log("shield")


@dataclass(frozen=True, slots=True)
class _Leave:
    """The leave to ask: `row` is the reserved try, None for a password that the source took before."""

    row: int | None


_KNOWN_GOOD = _Leave(None)


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
        self._lines: dict[bytes, defer.DeferredLock] = {}
        self._noting: set[defer.Deferred[None]] = set()
        self._pulse = SourcePulse(reactor.seconds)

    async def ask_source(
        self, place: Place, attempt: LoginAttempt, *, before: Callable[[], Awaitable[None]] | None = None
    ) -> Judgement:
        """Let the source judge the attempt, if the shield lets it through; `before` runs just before it is asked.

        What `before` raises comes out and counts nowhere.
        """
        keys = self._keys(place, attempt)
        leave = await self._leave(place, attempt.credentials.password, keys)
        if isinstance(leave, Judgement):
            return leave
        cause: Cause | None = Cause.UNKNOWN  # of a client that leaves: its guess may have been heard
        try:
            if before is not None:
                await before()
            said = await self._judges.ask_source(place, attempt)
            cause = _said_no(said)  # a guess counts whatever else the refusal may mean
            judged = await self._in_context(place, said, known_good=leave.row is None)
            if leave.row is None:
                cause = _said_no(judged)
        except (StoreRefusal, StoreUnavailable):
            cause = None  # it was not asked
            raise
        finally:
            # not waited for: a session that was given must not be lost with a client that leaves here
            self._note_soon(keys, leave, cause)
        return judged

    async def _in_context(self, place: Place, said: Judgement, *, known_good: bool) -> Judgement:
        """Return what the source said, weighed with what it said before and of others."""
        domain = place.domain.name
        if said.outcome is Outcome.ACCEPTED:
            self._pulse.accepted(domain)
        if said.outcome is not Outcome.REFUSED or said.cause not in ABOUT_THE_PASSWORD:
            return said
        ago: float | None = None
        if known_good:
            self._pulse.good_refused(domain, place.address)
            ago = await self._accepted_ago(place)
        context = RefusalContext(accepted_ago=ago, good_refused=self._pulse.refused_at_once(domain))
        cause = cause_in_context(said.cause, context)
        if CAUSES[cause].answer is Answer.REFUSED:
            return said
        return replace(said, outcome=Outcome.UNAVAILABLE, cause=cause)

    async def _accepted_ago(self, place: Place) -> float | None:
        def look(conn: Connection) -> float | None:
            account = accounts.find(conn, place.address)
            return None if account is None else accepted_ago(conn, account.id)

        try:
            found: float | None = await self._database.read("last accepted", look)
        except StoreUnavailable:
            return None  # the refusal was heard: it stands as it was worded
        return found

    async def settled(self) -> None:
        """Wait until all answers are noted."""
        while self._noting:
            await defer.DeferredList(list(self._noting))

    # --- before asking

    async def _leave(self, place: Place, password: Secret, keys: TryKeys) -> _Leave | Judgement:
        """Return the leave to ask the source, or what is answered without asking."""
        decided = await self._decided(place, password, keys)
        if decided is not None:
            return decided
        deadline = self._reactor.seconds() + PATIENCE_SECONDS
        async with self._line(keys.account) as waited:
            stale = waited
            while True:
                if stale and (decided := await self._decided(place, password, keys)) is not None:
                    return decided
                got = await self._reserved(keys)
                if got.refused is not None:
                    return _from_memory(got.refused)
                if got.row is not None:
                    return _Leave(got.row)
                if not got.passing or self._reactor.seconds() >= deadline:
                    return _held(got.full)
                await task.deferLater(self._reactor, PAUSE_SECONDS, lambda: None)
                stale = True

    async def _decided(self, place: Place, password: Secret, keys: TryKeys) -> _Leave | Judgement | None:
        """Decide without reserving; None for an unseen password that may have its try."""

        def look(conn: Connection) -> tuple[Reservation | None, Account | None]:
            return wrong_tries.standing(conn, keys, self._limits), accounts.find(conn, place.address)

        against, account = await self._database.read("shield", look)
        if against is not None and against.refused is not None:
            return _from_memory(against.refused)
        if (
            account is not None
            # it is the password of the account's own name at the source, and of no other name
            and account.source_login == place.source_login
            and await self._keeper.is_recorded(account, place.domain, password)
        ):
            return _KNOWN_GOOD
        if against is not None and not against.passing:
            return _held(against.full)
        return None

    def _reserved(self, keys: TryKeys) -> defer.Deferred[Reservation]:
        return self._database.run(
            "reserve a try", lambda conn: wrong_tries.reserve(conn, keys, self._limits), durable=False
        )

    @asynccontextmanager
    async def _line(self, account_key: bytes) -> AsyncIterator[bool]:
        """Reserve for one account one after the other in this process; tells whether that meant to wait."""
        line = self._lines.setdefault(account_key, defer.DeferredLock())
        waits = bool(line.locked)
        await line.acquire()
        try:
            yield waits
        finally:
            line.release()
            if not line.locked and not line.waiting:
                self._lines.pop(account_key, None)

    # --- after it

    def _note_soon(self, keys: TryKeys, leave: _Leave, cause: Cause | None) -> None:
        noting = defer.Deferred.fromCoroutine(self._note(keys, leave, cause))
        self._noting.add(noting)
        noting.addBoth(lambda _: self._noting.discard(noting))

    async def _note(self, keys: TryKeys, leave: _Leave, cause: Cause | None) -> None:
        """Write down what became of a try; one that cannot be written goes on to count."""
        row = leave.row
        if row is None and cause not in wrong_tries.CERTAIN:
            return

        def write(conn: Connection) -> None:
            if row is None:
                assert cause is not None
                wrong_tries.refused_known(conn, keys, cause)
            elif cause is None:
                wrong_tries.release(conn, row)
            else:
                wrong_tries.refused(conn, row, cause)

        try:
            await self._database.run("note a try", write, durable=False)
        except StoreUnavailable as error:
            _log.error("a try is not noted", account=shown_address(keys.address), why=str(error))

    # --- names

    def _keys(self, place: Place, attempt: LoginAttempt) -> TryKeys:
        name = place.source_login or place.address
        account = self._hash(b"account\0", place.domain.name.encode(), b"\0", name.encode())
        password = self._hash(b"password\0", account, attempt.credentials.password.reveal())
        return TryKeys(account, password, place.asked_source(attempt.protocol).host, place.address)

    def _hash(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"".join(parts), "sha256")[:KEY_OCTETS]


def _said_no(judged: Judgement) -> Cause | None:
    """Return the cause of a try that counts: the source heard the password and said no.

    A refusal whose words nobody knows is answered as temporary, but the source has counted it.
    """
    if judged.outcome is Outcome.REFUSED:
        return judged.cause or Cause.UNKNOWN
    return Cause.UNKNOWN if judged.cause is Cause.UNKNOWN else None


def _from_memory(cause: Cause) -> Judgement:
    return Judgement(Outcome.REFUSED, cause=cause, text="refused at the source a moment ago", remembered=True)


def _held(full: Full | None) -> Judgement:
    assert full is not None
    metrics.GUESSES_HELD.add()
    return Judgement(Outcome.UNAVAILABLE, cause=Cause.RATE_LIMITED, text=f"not asked: {_HELD_BECAUSE[full]}")
