"""Judging a password where no mail session is wanted: SMTP logins, a webmail's own login, web pages.

The gate is asked as for a mail program's login, and the session that proved the password is closed
again; what the login set going (a copy, a push) goes on. One thing is quicker: before the flip a
password that the source took within a day, and has not refused since, is right without asking. So
sending and receiving at once costs the source one login, and a check does not lock a POP3 maildrop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Shape

from twisted.internet import defer

from mailferry.gate.admission import Admission, Admitted, LoginAttempt
from mailferry.gate.place import Place, find_place
from mailferry.gate.unneeded import Unneeded
from mailferry.model.access import Credentials, Protocol, Secret, Side
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.net.carrier import Carrier
from mailferry.observe import metrics
from mailferry.observe.log import Log, session_id, shown_address
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.plan.retry import ends_with_a_login
from mailferry.store.database import Database
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.store.restored import Restored
from mailferry.wire.proxy_header import Endpoint

LATELY_SECONDS = 24 * 3600.0
"""For how long the source's yes holds for checks."""

_ASKS_SOURCE = frozenset({Phase.IDLE, Phase.PRECOPY, Phase.BLOCKED})
_BEGUN_AT_SOURCE = frozenset({Phase.PRECOPY, Phase.BLOCKED, Phase.FREEZE})
"""The move has begun and the flip has not come: the source's word counts, nothing is to be started."""


@dataclass(frozen=True, slots=True)
class CheckAttempt:
    """One password to judge: `name` as typed, the password's octets, where the user's program is.

    `trigger` is what a first accepted login starts the move as: SMTP or WEBMAIL.
    """

    name: str
    password: Secret
    client: Endpoint
    trigger: Trigger
    session_id: str = ""
    """Joins the lines of the log; a fresh one where the face has none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said: `answer` None is yes.

    `address` is the account's canonical spelling, empty where the name can be none. `side` is who
    accepted. `text` is the sentence for the user in the domain's language, `english` in ASCII; both
    say no more to a guesser than a mail program is told. `cause` is the true one, not for users.
    """

    answer: Answer | None
    address: str = ""
    text: str = ""
    english: str = ""
    side: Side | None = None
    cause: Cause | None = None

    @property
    def accepted(self) -> bool:
        """Whether the password was right."""
        return self.answer is None


class Checks(Shape):
    """Who judges a password without giving a session (Checker)."""

    def check(self, attempt: CheckAttempt) -> defer.Deferred[Verdict]:
        """Return what was said; never fails."""
        ...


class Checker:
    """One per process that has a gate. `admit` and `default_domain` are the gate's.

    `restored` knows of a store put back.
    """

    def __init__(
        self,
        *,
        admit: Callable[[LoginAttempt], defer.Deferred[Admission]],
        database: Database,
        keeper: PasswordKeeper,
        restored: Restored | None,
        log: Log,
        default_domain: str | None = None,
    ) -> None:
        self._admit = admit
        self._default_domain = default_domain
        self._database = database
        self._keeper = keeper
        self._restored = restored
        self._log = log
        self._checking: set[defer.Deferred[Verdict]] = set()
        self._ending: set[defer.Deferred[None]] = set()

    def check(self, attempt: CheckAttempt) -> defer.Deferred[Verdict]:
        """Judge `attempt`; never fails, a store that is down is a temporary answer.

        Cancelling closes what was opened and answers as temporary.
        """
        checking = defer.Deferred.fromCoroutine(self._check(attempt))
        self._checking.add(checking)
        checking.addBoth(self._checked, checking)
        return checking

    def _checked(self, verdict: Verdict, checking: defer.Deferred[Verdict]) -> Verdict:
        self._checking.discard(checking)
        return verdict

    async def _check(self, attempt: CheckAttempt) -> Verdict:
        try:
            return await self._judged(attempt)
        except (StoreUnavailable, StoreRefusal) as error:
            self._log.error("a password could not be judged", why=str(error))
            return Verdict(Answer.TEMPORARY)
        except defer.CancelledError:
            return Verdict(Answer.TEMPORARY)
        except Exception as error:  # loop edge: whatever broke, nobody must read "wrong password"
            self._log.error("a check broke", exc_info=error)
            return Verdict(Answer.TEMPORARY)

    async def _judged(self, attempt: CheckAttempt) -> Verdict:
        protocol = Protocol.IMAP
        session = attempt.session_id or session_id()
        try:
            address = canonical_address(attempt.name, self._default_domain)
        except BadAddress:
            address = ""  # the gate refuses it in its own time
        else:
            place = await self._database.read("check", lambda conn: find_place(conn, address))
            if place is not None and await self._taken_lately(place, attempt.password):
                self._tell_lately(attempt, address, session)
                return Verdict(None, address, side=Side.SOURCE)
            if place is not None and place.phase in _ASKS_SOURCE and place.source(Protocol.IMAP) is None:
                protocol = Protocol.POP3
        credentials = Credentials(attempt.name, attempt.password)
        admission = await self._admit(
            LoginAttempt(protocol, credentials, attempt.client, session, starts_as=attempt.trigger)
        )
        if isinstance(admission, Admitted):
            self.end(admission.carrier, admission.session.ended)
            return Verdict(None, address, side=admission.side)
        return Verdict(admission.answer, address, admission.text, admission.english, cause=admission.cause)

    async def _taken_lately(self, place: Place, password: Secret) -> bool:
        """Whether the source's yes of the last day answers for it now."""
        account, domain = place.account, place.domain
        if account is None or place.phase not in _BEGUN_AT_SOURCE or domain.blocked:
            return False
        if account.cause is not None and ends_with_a_login(account.cause):
            return False  # the source said no since, and its yes lets the copy go on
        if self._restored is not None and await self._restored.holds_back(place.address, place.phase):
            return False
        return await self._keeper.taken_lately(account, domain, password, seconds=LATELY_SECONDS)

    def _tell_lately(self, attempt: CheckAttempt, address: str, session: str) -> None:
        asked = LoginAttempt(
            Protocol.IMAP,
            Credentials(attempt.name, attempt.password),
            attempt.client,
            session,
            starts_as=attempt.trigger,
        )
        metrics.LOGINS.add(protocol=asked.face, side=Side.SOURCE.value, verdict="accepted")
        self._log.info(
            "login",
            session=session,
            protocol=asked.face,
            account=shown_address(address),
            client=attempt.client.host,
            side=Side.SOURCE.value,
            verdict="accepted",
            why="the source took this password within a day",
        )

    def end(self, carrier: Carrier, then: Callable[[], None] = lambda: None) -> None:
        """Close a session whose work is done, and call `then`: its row goes when the server cannot be reached by it."""
        ended: defer.Deferred[None] = defer.Deferred()
        self._ending.add(ended)

        def closed() -> None:
            then()
            self._ending.discard(ended)
            ended.callback(None)

        Unneeded(carrier, closed)

    async def settled(self) -> None:
        """Wait until nothing is judged and all sessions that proved a password are closed."""
        while self._checking or self._ending:
            await defer.DeferredList([*(_end_of(one) for one in self._checking), *self._ending])


def _end_of(checking: defer.Deferred[Verdict]) -> defer.Deferred[None]:
    """Return what fires when a check is over, whose verdict goes to whoever asked."""
    over: defer.Deferred[None] = defer.Deferred()

    def pass_on(verdict: Verdict) -> Verdict:
        over.callback(None)
        return verdict

    checking.addBoth(pass_on)
    return over
