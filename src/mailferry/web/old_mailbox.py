"""The user page's way to the servers: a password is judged by the gate, and a late move begins.

Signing in is a check as every other (gate/checking.py). Where an account lives on the target already
(it logged in with a new password first), its owner proves the old mailbox as well: it is asked at the
domain's own source only, and a password from another address is never set at the target.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from twisted.internet import defer, task

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.checking import CheckAttempt, Checker, Verdict
from mailferry.gate.judges import AsksSource
from mailferry.gate.place import Place, find_place
from mailferry.gate.refusal_times import RefusalTimes
from mailferry.model.access import Credentials, Protocol, Secret
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.observe.log import Log, session_id, shown_address
from mailferry.passwords.sealing import KeyRing
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.plan.routing import Outcome
from mailferry.providers.sentences import client_sentence
from mailferry.roster.account_changes import keep_for_copy
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts, audit
from mailferry.store.database import Database
from mailferry.store.faults import StoreRefusal, StoreUnavailable
from mailferry.wire.proxy_header import Endpoint

_LATE = {Phase.LOCAL: Event.OLD_PASSWORD_ENTERED, Phase.IDLE: Event.SOURCE_ACCEPTED_AT_ONCE}
"""Accounts that live on the target and have not begun: their history arrives behind them."""


class OldMailbox:
    """Judges what users type on the page: by `checker` as every login, by `judges` (the shield) at the source alone."""

    def __init__(
        self,
        *,
        checker: Checker,
        judges: AsksSource,
        database: Database,
        keyring: KeyRing,
        reactor: Any,
        log: Log,
    ) -> None:
        self._checker = checker
        self._judges = judges
        self._database = database
        self._keyring = keyring
        self._times = RefusalTimes()
        self._reactor = reactor
        self._log = log

    def sign_in(self, name: str, password: Secret, client: Endpoint) -> defer.Deferred[Verdict]:
        """Judge a user's sign-in as the gate judges a login; a store that is down is a temporary answer."""
        return defer.Deferred.fromCoroutine(self._answered(self._sign_in(name, password, client)))

    def begin_move(
        self, address: str, old_name: str, password: Secret, client: Endpoint
    ) -> defer.Deferred[Verdict]:
        """Begin the move of `address`, whose owner is signed in, with the old mailbox's password.

        `old_name` is the address at the source, empty where it is the same.
        """
        return defer.Deferred.fromCoroutine(
            self._answered(self._begin_move(address, old_name, password, client))
        )

    async def _answered(self, judging: Any) -> Verdict:
        try:
            verdict: Verdict = await judging
        except (StoreUnavailable, StoreRefusal, RosterRefusal) as error:
            self._log.error("a password of the user page could not be judged", why=str(error))
            return Verdict(Answer.TEMPORARY)
        return verdict

    async def _sign_in(self, name: str, password: Secret, client: Endpoint) -> Verdict:
        verdict = await self._checker.check(CheckAttempt(name, password, client, Trigger.WEBMAIL))
        refused = verdict.answer is Answer.REFUSED
        return replace(verdict, text=_unless_plain(verdict.text) if refused else "")

    async def _begin_move(self, address: str, old_name: str, password: Secret, client: Endpoint) -> Verdict:
        began = self._reactor.seconds()
        place = await self._place(address)
        if place is None or not place.window_open or not place.listed:
            return Verdict(Answer.REFUSED, address)
        login = _other_name(old_name, place)
        if login is None:
            verdict = await self._sign_in(address, password, client)
            place = await self._place(address)
            if not verdict.accepted or place is None or place.phase not in _LATE:
                return verdict
            # The target takes this password as well, so the gate had no reason to ask the source.
        verdict = await self._from_source(place, login, password, client)
        if verdict.answer is Answer.REFUSED:
            left = self._times.wait(self._reactor.seconds() - began, asked=True)
            await task.deferLater(self._reactor, left, lambda: None)
        return verdict

    async def _from_source(
        self, place: Place, login: str | None, password: Secret, client: Endpoint
    ) -> Verdict:
        """Ask the source itself; on its yes the history of an account that lives on the target arrives."""
        if place.phase not in _LATE:
            return Verdict(None, place.address)
        if login is not None and not _can_be(login):
            return Verdict(Answer.REFUSED, place.address)
        asked = place if login is None else _under(place, login)
        session = session_id()
        attempt = LoginAttempt(Protocol.IMAP, Credentials(place.address, password), client, session)
        judged = await self._judges.ask_source(asked, attempt)
        self._log.info(
            "late start",
            session=session,
            account=shown_address(place.address),
            client=client.host,
            verdict=judged.outcome.value,
            **({"cause": judged.cause.value} if judged.cause else {}),
        )
        if judged.session is None:
            refused = judged.outcome is Outcome.REFUSED
            cause = judged.cause or Cause.UNKNOWN
            answer = Answer.REFUSED if refused else Answer.TEMPORARY
            text = client_sentence(cause, place.domain.language) if refused else ""
            return Verdict(answer, place.address, _unless_plain(text))
        self._checker.end(judged.session.carrier)
        await self._database.run("late start", lambda conn: self._begun(conn, place, login, password))
        return Verdict(None, place.address)

    def _begun(self, conn: Connection, place: Place, login: str | None, password: Secret) -> None:
        account = accounts.ensure(conn, place.address, place.domain.name)
        event = _LATE.get(account.phase)
        if event is None:
            return  # it began meanwhile
        if login is not None:
            accounts.note(conn, account.id, source_login=login)
        who = f"user:{place.address}"
        account = accounts.apply(
            conn, account.id, event, epoch=account.epoch, who=who, trigger=Trigger.WEBMAIL
        )
        keep_for_copy(conn, self._keyring, account, place.domain, password)
        audit.write(conn, who=who, what="account.start", subject=account.address)

    async def settled(self) -> None:
        """Wait until all sessions that proved a password are closed."""
        await self._checker.settled()

    async def _place(self, address: str) -> Place | None:
        return await self._database.read("user page", lambda conn: find_place(conn, address))


def _under(place: Place, login: str) -> Place:
    """Return `place` with another name at the source."""
    if place.account is not None:
        return replace(place, account=replace(place.account, source_login=login))
    return replace(place, address=login)


def _other_name(old_name: str, place: Place) -> str | None:
    """Return the name at the source where it is another than the one that the gate would use."""
    typed = old_name.strip()
    if not typed:
        return None
    try:
        typed = canonical_address(typed)
    except BadAddress:
        pass  # a name without a domain: some sources have such
    return None if typed == (place.source_login or place.address) else typed


def _can_be(login: str) -> bool:
    """Whether a source can have such a name: no separators of master users, nothing invisible."""
    try:
        canonical_address(login, default_domain="old.invalid")
    except BadAddress:
        return False
    return True


_PLAIN = frozenset(client_sentence(Cause.BAD_CREDENTIALS, language) for language in ("en", "zh", "both"))


def _unless_plain(text: str) -> str:
    """Return a reason that says more than "wrong"; the page has its own words for that."""
    return "" if text in _PLAIN else text
