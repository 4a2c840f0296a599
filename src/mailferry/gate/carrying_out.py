"""Carries out the gate's decision: records, pushes, moves the account, and hands over the session.

Before anything is served from the target because the *source* accepted, the target must hold the
password: it is pushed and proved first. Where that fails and the source can serve, it serves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import Connection

from mailferry.gate.admission import Admitted
from mailferry.gate.judges import Judgement, Judges
from mailferry.gate.live_sessions import WITHOUT_ROW, SessionBook
from mailferry.gate.penalty import Penalty
from mailferry.gate.place import Place
from mailferry.gate.sweep_wishes import SweepWishes
from mailferry.gate.tap_choice import NoTapYet, TapChoice
from mailferry.gate.trial import Trial
from mailferry.model.access import Protocol, Side
from mailferry.model.account import FOLLOWED_ON_TARGET, Event, Phase
from mailferry.model.causes import Answer, Cause
from mailferry.passwords.push import PasswordKeeper
from mailferry.plan.retry import RETRIED_IN, login_wakes
from mailferry.plan.routing import Decision, Outcome
from mailferry.store import accounts, cutovers
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.faults import Conflict, NotAllowed
from mailferry.store.restored import Restored
from mailferry.store.sessions import SessionOpening, open_session

_LEAVES_SOURCE = frozenset({Event.EARLY_SWITCH, Event.TARGET_ACCEPTED_FOREIGN})
_SERVED_THERE = frozenset({Phase.PRECOPY, Phase.BLOCKED})
_MOST_WOKEN = 10_000
_OWN_PASSWORD = frozenset({Event.TARGET_ONLY, Event.TARGET_ACCEPTED_FOREIGN})
"""Events that follow from a password which only the target knows."""


@dataclass(frozen=True, slots=True)
class Declined:
    """A decision that could not be carried out: what the client is told and why."""

    answer: Answer
    cause: Cause
    text: str


class Hands:
    """What the gate acts with: the store, the servers, the passwords, the book of sessions."""

    def __init__(
        self,
        *,
        database: Database,
        judges: Judges,
        penalty: Penalty,
        keeper: PasswordKeeper,
        book: SessionBook,
        taps: TapChoice,
        restored: Restored | None = None,
    ) -> None:
        self.database = database
        self.book = book
        self._judges = judges
        self._penalty = penalty
        self._keeper = keeper
        self._taps = taps
        self._restored = restored
        self._wishes = SweepWishes(database)
        self._woken: dict[int, float] = {}
        """When a login last let a failed copy be tried again, by account; each process knows its own."""

    async def settled(self) -> None:
        """Wait until what logins left to be written behind them is written."""
        await self._wishes.settled()

    async def held_back(self, place: Place) -> bool:
        """Whether the store was restored from a back-up and may take the account for one of the source's."""
        return self._restored is not None and await self._restored.holds_back(place.address, place.phase)

    async def ask(self, side: Side, trial: Trial) -> Judgement:
        """Let one server judge the attempt; a session that it gives is kept in the trial.

        A source that takes any password judges nothing, so it counts as one that cannot be asked; only
        who is served from there already goes on being served.
        """
        if side is Side.SOURCE and trial.place.domain.blocked and trial.place.phase not in _SERVED_THERE:
            return Judgement(
                Outcome.UNAVAILABLE,
                cause=Cause.SOURCE_TAKES_ANY_PASSWORD,
                text="the domain is blocked: its old host takes any password",
            )
        if side is Side.TARGET:
            judged = await self._judges.ask_target(trial.place, trial.attempt)
        else:
            judged = await self._penalty.ask_source(
                trial.place, trial.attempt, before=lambda: trial.before_dialling(side)
            )
        if judged.session is not None:
            trial.opened(side, judged.session)
            self._penalty.logged_in(trial.attempt)
        account = trial.place.account
        if side is Side.SOURCE and judged.outcome is Outcome.REFUSED:
            trial.refused_at_source = judged
        wrong = judged.cause is Cause.BAD_CREDENTIALS and not judged.remembered
        if side is Side.SOURCE and wrong and account is not None:
            await self._keeper.refused_at_source(
                account, trial.place.domain, trial.attempt.credentials.password
            )
        return judged

    async def is_ours(self, trial: Trial) -> bool:
        """Whether the password is the one that we pushed to the target."""
        account = trial.place.account
        return account is not None and await self._keeper.is_ours(
            account, trial.place.domain, trial.attempt.credentials.password
        )

    async def reopen(self, place: Place) -> None:
        """Follow the password again: the domain's window was opened anew after this account was closed."""
        account = place.account
        assert account is not None
        try:
            await self.database.run(
                "reopen",
                lambda conn: accounts.apply(conn, account.id, Event.WINDOW_REOPENED, epoch=account.epoch),
            )
        except (Conflict, NotAllowed):
            return  # another login did it

    async def carry_out(self, trial: Trial, decision: Decision) -> Admitted | Declined:
        """Do what was decided; returns the session to give, or why there is none."""
        if decision.serve is Side.SOURCE:
            return await self._from_source(trial, decision)
        if decision.follow:
            return await self._from_target_by_source(trial, decision)
        return await self._from_target(trial, decision)

    async def _from_source(self, trial: Trial, decision: Decision) -> Admitted:
        attempt = trial.attempt
        session = trial.session(Side.SOURCE)
        assert session is not None
        account, unproved = await self._recorded(trial)
        if decision.event is not None:
            account, row = await self._begin(account, decision.event, trial)
            live = self.book.adopt(row)
        else:
            given = trial.give_row()
            assert given is not None, "a session at the source has its row before it is dialled"
            live = given
        await self._wake_failed(account, trial)
        if unproved:
            self._keeper.push_soon(account.id)
        trial.give(Side.SOURCE)
        return Admitted(
            carrier=session.carrier,
            side=Side.SOURCE,
            session=live,
            capabilities=session.capabilities,
            residual=session.residual,
            tap=self._taps.for_source(attempt.protocol),
        )

    async def _from_target_by_source(self, trial: Trial, decision: Decision) -> Admitted | Declined:
        """Serve from the target a login that the source accepted: the password goes there first."""
        place = trial.place
        session = trial.session(Side.SOURCE)
        assert session is not None
        account = await self._recorded_account(place)
        trust = await self._keeper.bring_to_target(
            account,
            place.domain,
            trial.attempt.credentials.password,
            session.witness,
            seen_epoch=place.password_epoch,
        )
        if not trust.in_place:
            if decision.event is Event.SOURCE_ACCEPTED_AT_ONCE and place.source(trial.attempt.protocol):
                stay = Decision(Side.SOURCE, event=Event.SOURCE_ACCEPTED, follow=True)
                return await self._from_source(trial, stay)
            return Declined(trust.answer, trust.cause, trust.text)
        await self._wake_failed(account, trial)
        judged = await self._judges.ask_target(place, trial.attempt)
        if judged.session is None:
            return Declined(Answer.TEMPORARY, judged.cause or Cause.TARGET_REFUSED, judged.text)
        trial.opened(Side.TARGET, judged.session)
        return await self._from_target(trial, decision)

    async def _from_target(self, trial: Trial, decision: Decision) -> Admitted | Declined:
        place, attempt = trial.place, trial.attempt
        await trial.leave_source()
        account = place.account
        if decision.event is not None:
            account = await self._recorded_account(place)
        if account is not None and (
            decision.event in _OWN_PASSWORD or (account.phase is Phase.LOCAL and not decision.follow)
        ):
            await self._keeper.own_at_target(account, place.domain, attempt.credentials.password)
        if account is not None and decision.event is not None:
            account = await self._moved(account, decision.event, trial)
        try:
            tap = await self._taps.for_target(account, place.domain, attempt.protocol)
        except NoTapYet as waits:
            return Declined(Answer.TEMPORARY, Cause.UIDL_UNPAIRED, str(waits))
        if account is not None and account.phase in FOLLOWED_ON_TARGET and place.window_open:
            if account.phase is Phase.SWITCHED:
                self._wishes.add(place)
            unchanged = place.password if decision.event is None and not decision.follow else None
            self._keeper.accepted_at_target(
                account, place.domain, attempt.credentials.password, seen=unchanged
            )
        session = trial.give(Side.TARGET)
        return Admitted(
            carrier=session.carrier,
            side=Side.TARGET,
            session=WITHOUT_ROW,
            capabilities=session.capabilities,
            residual=session.residual,
            tap=tap,
        )

    async def _wake_failed(self, account: Account, trial: Trial) -> None:
        """Let a copy go on that failed for something which this login at the source shows to be over."""
        cause = account.cause if account.phase in RETRIED_IN else None
        if cause is None:
            return
        place, over = trial.place, trial.attempt.protocol
        same_way = place.asked_source(over) == (place.source(Protocol.IMAP) or place.asked_source(over))
        since = place.at - self._woken.get(account.id, -math.inf)
        if login_wakes(cause, same_way=same_way, since_woken=since):
            if len(self._woken) >= _MOST_WOKEN:
                self._woken.clear()
            self._woken[account.id] = place.at
            await self.database.run("wake", lambda conn: accounts.wake(conn, account.id))

    async def _recorded(self, trial: Trial) -> tuple[Account, bool]:
        """Record that the source accepted this password, for the copy needs it sealed; tell whether to push it."""
        session = trial.session(Side.SOURCE)
        assert session is not None
        account = await self._recorded_account(trial.place)
        unproved = await self._keeper.accepted_at_source(
            account,
            trial.place.domain,
            trial.attempt.credentials.password,
            session.witness,
            seen_epoch=trial.place.password_epoch,
        )
        return account, unproved

    async def _recorded_account(self, place: Place) -> Account:
        if place.account is not None:
            return place.account
        return await self.database.run(
            "new account", lambda conn: accounts.ensure(conn, place.address, place.domain.name)
        )

    async def _begin(self, account: Account, event: Event, trial: Trial) -> tuple[Account, int]:
        """Start the copy and write the session's row in one transaction."""
        attempt = trial.attempt
        node = self.book.node()

        def begin(conn: Connection) -> tuple[Account, int]:
            begun = accounts.apply(
                conn,
                account.id,
                event,
                epoch=account.epoch,
                trigger=attempt.trigger,
            )
            opening = SessionOpening.of(
                begun,
                node_id=node,
                protocol=attempt.protocol,
                side=Side.SOURCE,
                client=attempt.client.host,
            )
            return begun, open_session(conn, opening)

        return await self.database.run("begin", begin)

    async def _moved(self, account: Account, event: Event, trial: Trial) -> Account:
        """Apply an event that makes the target serve; the history tells why the source does not."""
        leaves = event in _LEAVES_SOURCE
        said = trial.refused_at_source
        because, words = (None, None) if said is None else (said.cause, said.text)
        return await self.database.run(
            event.value,
            lambda conn: (
                cutovers.leave_early(conn, account.id, event, epoch=account.epoch)
                if leaves
                else accounts.apply(
                    conn,
                    account.id,
                    event,
                    epoch=account.epoch,
                    trigger=trial.attempt.trigger,
                    because=because,
                    detail=words,
                )
            ),
        )
