"""Admits or rejects one login: asks the servers that the plan names and carries out its decision.

The answer of the server that was asked *is* the password check, and the session that proved the
password is the one that is given. "Could not ask" ends as a temporary answer, never as a refusal,
and a refusal comes at a beat of two seconds after the attempt, in the same words for a wrong
password, an unknown user and an unknown account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet import defer, task

from mailferry.gate.admission import Admission, Admitted, LoginAttempt, Rejected
from mailferry.gate.carrying_out import Hands
from mailferry.gate.judges import Judgement
from mailferry.gate.place import Place, place_of
from mailferry.gate.refusal_times import RefusalTimes
from mailferry.gate.trial import Trial
from mailferry.model.access import Side
from mailferry.model.account import Phase
from mailferry.model.causes import Answer, Cause
from mailferry.observe import metrics
from mailferry.observe.log import Log, shown_address
from mailferry.plan.addresses import BadAddress, canonical_address
from mailferry.plan.routing import Decision, Outcome, Route, asks_second, route, settle
from mailferry.providers.sentences import client_sentence
from mailferry.store import cutovers
from mailferry.store.domains import Domain
from mailferry.store.faults import Conflict, Held, Moved, NodeVoid, NotAllowed, StillOpen, StoreUnavailable
from mailferry.store.wrong_tries import CERTAIN

HOLD_SECONDS = 25.0
"""How long a login waits for a freeze or a drain to end."""

HOLD_PAUSE_SECONDS = 0.25
MAX_ROUNDS = 5
"""How often a login decides anew because the account moved under it."""


@dataclass(frozen=True, slots=True)
class _Ruling:
    """An admission and what the log and the metrics say of it."""

    admission: Admission
    side: Side | None = None
    cause: Cause | None = None
    text: str = ""
    address: str | None = None
    asked: bool = False
    """Whether a source was asked for it, so that its time is a source's."""


class Gatekeeper:
    """The gate. One per proxy process. `default_domain` is that of names which are typed without one."""

    def __init__(self, hands: Hands, *, reactor: Any, log: Log, default_domain: str | None = None) -> None:
        self._hands = hands
        self._reactor = reactor
        self._log = log
        self._default_domain = default_domain
        self._times = RefusalTimes()

    def admit(self, attempt: LoginAttempt) -> defer.Deferred[Admission]:
        """Return what becomes of the attempt; never fails. Cancelling it closes what was opened."""
        return defer.Deferred.fromCoroutine(self._admit(attempt))

    async def settled(self) -> None:
        """Wait until what logins left to be written behind them is written."""
        await self._hands.settled()

    async def _admit(self, attempt: LoginAttempt) -> Admission:
        began = self._reactor.seconds()
        try:
            ruling = await self._rule(attempt, began)
        except StoreUnavailable as error:
            ruling = _temporary(Cause.INTERNAL, str(error))
        except NodeVoid as error:
            ruling = _temporary(Cause.INTERNAL, str(error))
        except defer.CancelledError:
            ruling = _temporary(Cause.UNKNOWN, "the client left before it was answered")
        except Exception as error:  # loop edge: whatever broke, the client must not read "wrong password"
            self._log.error("a login broke", session=attempt.session_id, exc_info=error)
            ruling = _temporary(Cause.INTERNAL, type(error).__name__)
        refused = isinstance(ruling.admission, Rejected) and ruling.admission.answer is Answer.REFUSED
        if refused:
            left = self._times.wait(self._reactor.seconds() - began, asked=ruling.asked)
            await task.deferLater(self._reactor, left, lambda: None)
        self._tell(attempt, ruling, self._reactor.seconds() - began)
        return ruling.admission

    async def _rule(self, attempt: LoginAttempt, began: float) -> _Ruling:
        try:
            address = canonical_address(attempt.credentials.authcid, self._default_domain)
        except BadAddress as error:
            return _refused(Cause.UNKNOWN_USER, str(error))
        rounds = 0
        while True:
            place = await place_of(self._hands.database, address)
            if place is None:
                return _refused(Cause.UNKNOWN_USER, "no domain of ours", address=address)
            if await self._hands.held_back(place):
                return _temporary(
                    Cause.INTERNAL, "the store was restored: run mailferry db reconcile", place=place
                )
            chosen = route(place.phase, window_open=place.window_open, listed=place.listed)
            if place.freeze_expired:
                await self._hands.database.run("expire freezes", cutovers.expire_freezes)
                continue
            if place.phase is Phase.CLOSED and place.window_open:
                await self._hands.reopen(place)
                continue
            if chosen is not None:
                try:
                    return await self._by_route(place, chosen, attempt)
                except Held:
                    pass
                except StillOpen as error:
                    return _temporary(Cause.TOO_MANY_CONNECTIONS, str(error), place=place)
                except (Moved, Conflict, NotAllowed) as error:
                    rounds += 1
                    if rounds >= MAX_ROUNDS:
                        return _temporary(Cause.INTERNAL, str(error), place=place)
                    continue
            if self._reactor.seconds() - began >= HOLD_SECONDS:
                return _temporary(Cause.SERVER_DOWN, "the account is held for its cutover", place=place)
            await task.deferLater(self._reactor, HOLD_PAUSE_SECONDS, lambda: None)

    async def _by_route(self, place: Place, chosen: Route, attempt: LoginAttempt) -> _Ruling:
        """Ask the servers in the order of the route; whatever was opened and is not given is closed."""
        trial = Trial(self._hands.book, place, attempt)
        try:
            judged: dict[Side, Judgement] = {}
            first = judged[chosen.first] = await self._hands.ask(chosen.first, trial)
            second: Judgement | None = None
            if chosen.second is not None and first.outcome is not Outcome.ACCEPTED:
                ours = chosen.first is Side.SOURCE and await self._hands.is_ours(trial)
                if asks_second(chosen, first.outcome, password_is_ours=ours):
                    second = judged[chosen.second] = await self._hands.ask(chosen.second, trial)
            source = judged.get(Side.SOURCE)
            decision = settle(
                place.phase,
                chosen,
                first.outcome,
                None if second is None else second.outcome,
                source_serves=place.source(attempt.protocol) is not None,
                at_once=place.domain.switch == "at-once",
                refusal_final=source is None or source.cause in CERTAIN,
            )
            if decision.serve is None:
                return _rejection(decision, place, judged)
            return await self._given(trial, decision)
        finally:
            await trial.close()

    async def _given(self, trial: Trial, decision: Decision) -> _Ruling:
        carried = await self._hands.carry_out(trial, decision)
        if isinstance(carried, Admitted):
            return _Ruling(carried, side=carried.side, address=trial.place.address)
        answer = carried.answer
        return _Ruling(
            _told(carried.cause, answer, trial.place.domain),
            side=Side.TARGET,
            cause=carried.cause,
            text=carried.text,
            address=trial.place.address,
            asked=True,
        )

    def _tell(self, attempt: LoginAttempt, ruling: _Ruling, seconds: float) -> None:
        """Write the one line of this login and count it."""
        admission = ruling.admission
        verdict = "accepted" if isinstance(admission, Admitted) else admission.answer.value
        side = "none" if ruling.side is None else ruling.side.value
        face = attempt.face
        metrics.LOGINS.add(protocol=face, side=side, verdict=verdict)
        metrics.LOGIN_SECONDS.took(seconds)
        self._log.info(
            "login",
            session=attempt.session_id,
            protocol=face,
            account=shown_address(ruling.address or attempt.credentials.authcid),
            client=attempt.client.host,
            side=side,
            verdict=verdict,
            seconds=round(seconds, 3),
            **({"cause": ruling.cause.value, "why": ruling.text} if ruling.cause else {}),
        )


def _rejection(decision: Decision, place: Place, judged: dict[Side, Judgement]) -> _Ruling:
    """Name the cause: of the side that could not be asked, else the source's own refusal."""
    wanted = Outcome.UNAVAILABLE if decision.answer is Answer.TEMPORARY else Outcome.REFUSED
    told = [(side, j) for side, j in judged.items() if j.outcome is wanted]
    told.sort(key=lambda item: item[0] is not Side.SOURCE)
    side, judgement = told[0]
    cause = judgement.cause or Cause.UNKNOWN
    if decision.answer is Answer.TEMPORARY:
        return _temporary(cause, judgement.text, place=place, side=side)
    source = judged.get(Side.SOURCE)
    asked = source is not None and not source.remembered
    return _refused(cause, judgement.text, address=place.address, domain=place.domain, side=side, asked=asked)


def _refused(
    cause: Cause,
    text: str,
    *,
    address: str | None = None,
    domain: Domain | None = None,
    side: Side | None = None,
    asked: bool = False,
) -> _Ruling:
    rejected = _told(cause, Answer.REFUSED, domain)
    return _Ruling(rejected, side=side, cause=cause, text=text, address=address, asked=asked)


def _temporary(cause: Cause, text: str, *, place: Place | None = None, side: Side | None = None) -> _Ruling:
    domain = None if place is None else place.domain
    rejected = _told(cause, Answer.TEMPORARY, domain)
    address = None if place is None else place.address
    return _Ruling(rejected, side=side, cause=cause, text=text, address=address)


def _told(cause: Cause, answer: Answer, domain: Domain | None) -> Rejected:
    """Return a rejection with what the mail program shows: the cause of a refusal, or just "later"."""
    shown = cause if answer is Answer.REFUSED else Cause.INTERNAL
    codes = domain is not None and domain.uses_codes
    english = client_sentence(shown, "en", codes=codes)
    text = english if domain is None else client_sentence(shown, domain.language, codes=codes)
    return Rejected(answer, text, english, cause)
