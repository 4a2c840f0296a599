"""When a failed piece of work on an account is tried again, and when it counts as failed.

Temporary causes are tried again for ever, at first soon and then less often; after an hour without
success the account is shown as failed while it goes on trying. Other causes are failed at once and
wait for whoever must act (`model.causes`). A failed account that tries again keeps its phase until a
run went well, so that a host that is gone for days is one line of its history and not one a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailferry.model.account import COPIED_IN, Event, Phase
from mailferry.model.causes import CAUSES, Actor, Answer, Cause

RETRIED_IN = frozenset({Phase.BLOCKED, Phase.STALLED})
"""Phases of an account that counts as failed: a run that goes well ends them (event RETRIED)."""

SHOWN_AS_FAILED_AFTER = 3600.0
"""Seconds of failing by a temporary cause before the account is BLOCKED or STALLED."""

JITTER = 0.25
"""Share of a delay that is spread at random, so that a thousand accounts do not come back at once."""

LONGEST_NAMED_DELAY = 6 * 3600.0
"""A server may name a time; a longer one is asked again after this."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: the first, and the longest that doubling reaches."""

    first: float
    longest: float


_DOWN = Backoff(10.0, 45.0)  # a server that returns is noticed within a minute
_BUSY = Backoff(30.0, 600.0)
_LIMITED = Backoff(120.0, 3600.0)
_SLOW = Backoff(900.0, 6 * 3600.0)

_BACKOFFS = {
    Cause.SERVER_DOWN: _DOWN,
    Cause.TARGET_DOWN: _DOWN,
    Cause.TOO_MANY_CONNECTIONS: _BUSY,
    Cause.RATE_LIMITED: _LIMITED,
    Cause.TARGET_OVER_QUOTA: Backoff(300.0, 3600.0),
    Cause.ACCOUNT_LOCKED: Backoff(3600.0, 6 * 3600.0),  # several providers unlock after an hour
    Cause.IP_BLOCKED: _SLOW,
    Cause.INCOMPLETE: _SLOW,
}
_OTHER = Backoff(60.0, 1800.0)


@dataclass(frozen=True, slots=True)
class Disposition:
    """What follows a failure."""

    delay: float | None
    """Seconds until the next try; None when it waits for somebody."""
    failed: bool
    """Whether the account now counts as failed (event GAVE_UP)."""
    actor: Actor


def after_failure(
    cause: Cause,
    *,
    failures: int,
    failing_seconds: float = 0.0,
    named_delay: float | None = None,
    spread: float = 0.0,
) -> Disposition:
    """Return when to try again after the `failures`th failure in a row (from 1).

    `named_delay` is a time the server named. `spread` is a random number from 0 to 1.
    """
    facts = CAUSES[cause]
    if not facts.retries:
        return Disposition(None, failed=True, actor=facts.actor)
    backoff = _BACKOFFS.get(cause, _OTHER)
    delay = min(backoff.first * 2.0 ** min(max(failures, 1) - 1, 16), backoff.longest)
    if named_delay is not None:
        delay = max(delay, min(named_delay, LONGEST_NAMED_DELAY))
    delay *= 1.0 + JITTER * min(max(spread, 0.0), 1.0)
    return Disposition(delay, failed=failing_seconds >= SHOWN_AS_FAILED_AFTER, actor=facts.actor)


def events_after_failure(
    phase: Phase, before: Cause | None, now: Cause, *, failed: bool
) -> tuple[Event, ...]:
    """Return what a failed run in `phase` brings about; `before` is the cause that the account shows so far.

    An account that counts as failed already stays so. Another cause is told in its history, as the end
    of the old failure and the beginning of the new one: the last GAVE_UP tells since when a cause lasts.
    """
    if phase in COPIED_IN:
        return (Event.GAVE_UP,) if failed else ()
    if phase in RETRIED_IN and before is not now:
        return (Event.RETRIED, Event.GAVE_UP)
    return ()


def ends_with_a_login(cause: Cause) -> bool:
    """Whether a login that the source accepts shows that what an account failed for is over.

    The source judged a login and says yes by now (a password, IMAP switched on, an account opened there), or
    it is the user's password that was wanted.
    """
    facts = CAUSES[cause]
    return facts.answer is Answer.REFUSED or facts.actor is Actor.USER or cause is Cause.WINDOW_OVER


WAKES_AGAIN_SECONDS = 900.0
"""How far apart logins over the source's other protocol let a copy be tried again."""


def login_wakes(cause: Cause, *, same_way: bool, since_woken: float) -> bool:
    """Whether a login that the source has just accepted lets a copy that failed for `cause` go on at once.

    A good password does always. A door that was shut to the copy is open where the login came by the
    `same_way`, over the copy's protocol; POP3 may be open while IMAP is not, and a mail program that looks every
    minute must not make as many logins that are refused. `since_woken` are the seconds since
    a login last let it be tried.
    """
    if not ends_with_a_login(cause):
        return False
    about_the_door = CAUSES[cause].actor is Actor.ADMINISTRATOR and cause is not Cause.WINDOW_OVER
    return not about_the_door or same_way or since_woken >= WAKES_AGAIN_SECONDS


def skip_is_due(tries: int, seconds: float) -> bool:
    """Whether a skipped message is tried again, `seconds` after its last of `tries` tries."""
    return seconds >= min(600.0 * 2.0 ** min(max(tries, 1) - 1, 16), 24 * 3600.0)
