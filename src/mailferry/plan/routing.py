"""Who judges a login and who serves it: the table of the gate, without doing anything.

`route` names the servers to ask, in order, for an account's phase. `settle` turns their outcomes
into a decision. The order of the two questions and every verdict stand here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.access import Side
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Answer


class Outcome(StrEnum):
    """What one server said to a login."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class SecondIf(StrEnum):
    """When the second server is asked after the first did not accept."""

    NEVER = "never"
    REFUSED = "refused"
    REFUSED_OR_UNAVAILABLE = "refused_or_unavailable"
    REFUSED_AND_NOT_OURS = "refused_and_not_ours"
    """Not for a password that we pushed ourselves: the target accepts that one because of us."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which side is asked first, which second, and when."""

    first: Side
    second: Side | None = None
    second_if: SecondIf = SecondIf.NEVER


_SOURCE, _TARGET = Side.SOURCE, Side.TARGET
_TARGET_ALONE = Route(_TARGET)
_SOURCE_BEFORE_FLIP = Route(_SOURCE, _TARGET, SecondIf.REFUSED_AND_NOT_OURS)
_TARGET_THEN_SOURCE = Route(_TARGET, _SOURCE, SecondIf.REFUSED)

_IN_WINDOW: dict[Phase, Route] = {
    Phase.IDLE: Route(_SOURCE, _TARGET, SecondIf.REFUSED_OR_UNAVAILABLE),
    Phase.PRECOPY: _SOURCE_BEFORE_FLIP,
    Phase.BLOCKED: _SOURCE_BEFORE_FLIP,
    Phase.BACKFILL: _TARGET_THEN_SOURCE,
    Phase.STALLED: _TARGET_THEN_SOURCE,
    Phase.SWITCHED: _TARGET_THEN_SOURCE,
    Phase.LOCAL: _TARGET_THEN_SOURCE,
    Phase.CLOSED: _TARGET_ALONE,
}
_AFTER_WINDOW: dict[Phase, Route] = {
    **dict.fromkeys(_IN_WINDOW, _TARGET_ALONE),
    Phase.PRECOPY: _SOURCE_BEFORE_FLIP,  # a copy that has started goes on
    Phase.BLOCKED: _SOURCE_BEFORE_FLIP,
}


def phase_without_account(*, only_listed: bool) -> Phase:
    """Return the phase of an address that has no account.

    It may begin to move, unless its domain moves the accounts alone that an administrator has listed:
    then it is not migrating, and as long as that is so no login makes an account of it. An account that
    is there counts as listed, whoever made it: one that began by a login before its domain was told to
    move the listed ones alone goes on.
    """
    return Phase.LOCAL if only_listed else Phase.IDLE


def route(phase: Phase, *, window_open: bool, listed: bool = True) -> Route | None:
    """Return who judges a login in `phase`, or None when nobody does: FREEZE waits.

    An account that is not `listed` has nothing at the source: its password is not shown to that host.
    """
    if not listed:
        return _TARGET_ALONE
    return (_IN_WINDOW if window_open else _AFTER_WINDOW).get(phase)


def asks_second(chosen: Route, first: Outcome, *, password_is_ours: bool) -> bool:
    """Whether the second server is asked after the first one's outcome."""
    match chosen.second_if:
        case SecondIf.NEVER:
            return False
        case SecondIf.REFUSED:
            return first is Outcome.REFUSED
        case SecondIf.REFUSED_OR_UNAVAILABLE:
            return first is not Outcome.ACCEPTED
        case SecondIf.REFUSED_AND_NOT_OURS:
            return first is Outcome.REFUSED and not password_is_ours


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate does with the outcomes.

    `serve` is the side that serves, None for a rejection, whose kind is then `answer`. `event` is
    applied to the account. `follow` says that the source accepted the password, so that it is
    sealed and pushed under the rules of plan/password_verdicts.
    """

    serve: Side | None
    answer: Answer | None = None
    event: Event | None = None
    follow: bool = False


_REFUSED = Decision(None, Answer.REFUSED)
_TEMPORARY = Decision(None, Answer.TEMPORARY)

_AT_SOURCE = {
    Phase.IDLE: Decision(_SOURCE, event=Event.SOURCE_ACCEPTED, follow=True),
    Phase.PRECOPY: Decision(_SOURCE, follow=True),
    Phase.BLOCKED: Decision(_SOURCE, follow=True),
    Phase.BACKFILL: Decision(_TARGET, follow=True),
    Phase.STALLED: Decision(_TARGET, follow=True),
    Phase.SWITCHED: Decision(_TARGET, follow=True),
    Phase.LOCAL: Decision(_TARGET, event=Event.OLD_PASSWORD_ENTERED, follow=True),
}
_AT_ONCE = {
    Phase.IDLE: Decision(_TARGET, event=Event.SOURCE_ACCEPTED_AT_ONCE, follow=True),
    Phase.PRECOPY: Decision(_TARGET, event=Event.EARLY_SWITCH, follow=True),
    Phase.BLOCKED: Decision(_TARGET, event=Event.EARLY_SWITCH, follow=True),
}
_AT_TARGET = {
    Phase.PRECOPY: Decision(_TARGET, event=Event.TARGET_ACCEPTED_FOREIGN),
    Phase.BLOCKED: Decision(_TARGET, event=Event.TARGET_ACCEPTED_FOREIGN),
}


def settle(
    phase: Phase,
    chosen: Route,
    first: Outcome,
    second: Outcome | None,
    *,
    source_serves: bool = True,
    at_once: bool = False,
    refusal_final: bool = True,
) -> Decision:
    """Return the decision for the outcomes of the servers that were asked.

    `source_serves` is False when the source does not speak the protocol of this login; `at_once`
    is the domain's choice to serve from the target from the first login on. `refusal_final` is
    False for a refusal that may have another reason than the password (IMAP switched off, Tencent's
    five causes in one sentence): nothing is concluded from it about whose password this is.
    """
    outcomes = {chosen.first: first}
    if second is not None and chosen.second is not None:
        outcomes[chosen.second] = second
    if outcomes.get(_SOURCE) is Outcome.ACCEPTED:
        if not source_serves or (at_once and phase is Phase.IDLE):
            return _AT_ONCE.get(phase, _AT_SOURCE[phase])
        return _AT_SOURCE[phase]
    if outcomes.get(_TARGET) is Outcome.ACCEPTED:
        if phase is Phase.IDLE and chosen.first is _SOURCE:
            # An unavailable source says nothing about whose password this is: the account waits.
            refused = outcomes[_SOURCE] is Outcome.REFUSED and refusal_final
            return Decision(_TARGET, event=Event.TARGET_ONLY if refused else None)
        return _AT_TARGET.get(phase, Decision(_TARGET))
    if Outcome.UNAVAILABLE in outcomes.values():
        return _TEMPORARY
    return _REFUSED
