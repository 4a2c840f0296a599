"""Asking a server about a password: the session that proves it, or one sorted failure.

A refusal and a failure to ask come back as different outcomes. While a source says that too many
sessions are open (or that the maildrop is locked) the question is repeated for ten seconds: the
copier, which may be the one who is in the way, reads in the account's row that somebody waits, and
leaves within two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Shape

from twisted.internet import task

from mailferry.gate.admission import LoginAttempt
from mailferry.gate.place import Place
from mailferry.model.access import Credentials, Server, Side
from mailferry.model.causes import CAUSES, Answer, Cause, Refused, RemoteFailure
from mailferry.model.profile import Profile
from mailferry.net.connect import Connector
from mailferry.observe import metrics
from mailferry.plan.addresses import source_login
from mailferry.plan.routing import Outcome
from mailferry.remote.open import OpenSession, open_session
from mailferry.remote.target_servers import TargetServers
from mailferry.store.accounts import Account
from mailferry.wire.proxy_header import Endpoint

BUSY_PATIENCE_SECONDS = 10.0
BUSY_PAUSE_SECONDS = 1.0
TOLD_SECONDS = 1.0
"""How often the metrics are told that a side is as reachable as before."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a server said: the outcome, the proved session if it accepted, else the cause."""

    outcome: Outcome
    session: OpenSession | None = None
    cause: Cause | None = None
    text: str = ""
    remembered: bool = False
    """Said from memory: the server was not asked again."""


class AsksSource(Shape):
    """Whoever lets a domain's source judge an attempt: the judges, or the shield before them."""

    async def ask_source(self, place: Place, attempt: LoginAttempt) -> Judgement:
        """Return what the source said."""
        ...


class Judges:
    """Opens the sessions whose success is the password check."""

    def __init__(
        self,
        *,
        connector: Connector,
        profiles: Mapping[str, Profile],
        target: TargetServers,
        reactor: Any,
        kept_out: Callable[[Account], Awaitable[None]] | None = None,
    ) -> None:
        self._connector = connector
        self._profiles = profiles
        self._target = target
        self._reactor = reactor
        self._kept_out = kept_out
        self._told_up: dict[Side, tuple[bool, float]] = {}

    async def ask_source(self, place: Place, attempt: LoginAttempt) -> Judgement:
        """Log in at the source; over its other protocol where it does not speak the login's."""
        server = place.asked_source(attempt.protocol)
        name = source_login(place.address, place.domain.login_form, place.source_login)
        credentials = Credentials(name, attempt.credentials.password)
        profile = self._profiles.get(place.domain.provider) or self._profiles["generic"]
        judged = await self._ask_patiently(server, credentials, profile, place.account)
        verdict = "unavailable" if judged.outcome is Outcome.UNAVAILABLE else judged.outcome.value
        metrics.SOURCE_CHECKS.add(provider=profile.profile_id, verdict=verdict)
        self._tell_up(Side.SOURCE, judged)
        return judged

    async def ask_target(self, place: Place, attempt: LoginAttempt) -> Judgement:
        """Log in at the target with the user's own password."""
        server = self._target.serving(place.domain, attempt.protocol)
        if server is None:
            text = "the target has no POP3 address: set [target] pop3"
            return Judgement(Outcome.UNAVAILABLE, cause=Cause.TARGET_DOWN, text=text)
        credentials = Credentials(place.address, attempt.credentials.password)
        told = attempt.client if self._target.learn_clients(attempt.protocol) else None
        generic = self._profiles["generic"]
        judged = await self._ask(server, credentials, generic, client=told, door=attempt.door, own_word=True)
        self._tell_up(Side.TARGET, judged)
        return judged

    def _tell_up(self, side: Side, judged: Judgement) -> None:
        """Tell the metrics whether the side could be reached: at once when that changes, else once a second."""
        up, now = judged.cause is not Cause.SERVER_DOWN, self._reactor.seconds()
        was, told_at = self._told_up.get(side, (not up, now))
        if up is not was or now - told_at >= TOLD_SECONDS:
            self._told_up[side] = (up, now)
            metrics.BACKEND_UP.put(float(up), side=side.value)

    async def _ask_patiently(
        self, server: Server, credentials: Credentials, profile: Profile, account: Account | None
    ) -> Judgement:
        deadline = self._reactor.seconds() + BUSY_PATIENCE_SECONDS
        while True:
            judged = await self._ask(server, credentials, profile)
            busy = judged.cause is Cause.TOO_MANY_CONNECTIONS
            if not busy or self._reactor.seconds() >= deadline:
                return judged
            if account is not None and self._kept_out is not None:
                await self._kept_out(account)
            await task.deferLater(self._reactor, BUSY_PAUSE_SECONDS, lambda: None)

    async def _ask(
        self,
        server: Server,
        credentials: Credentials,
        profile: Profile,
        *,
        client: Endpoint | None = None,
        door: Endpoint | None = None,
        own_word: bool = False,
    ) -> Judgement:
        """Open a session; `client` is told only to a server that is configured as trusting us."""
        try:
            session = await open_session(
                self._connector,
                server,
                credentials,
                profile,
                reactor=self._reactor,
                client=client,
                door=door,
                own_word=own_word,
            )
        except RemoteFailure as failure:
            refused = isinstance(failure, Refused) and CAUSES[failure.cause].answer is Answer.REFUSED
            outcome = Outcome.REFUSED if refused else Outcome.UNAVAILABLE
            return Judgement(outcome, cause=failure.cause, text=failure.text)
        return Judgement(Outcome.ACCEPTED, session)
