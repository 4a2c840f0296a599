"""Which notice is due when: to users in their new mailbox, and to administrators (docs/decisions/0014).

A user is told where he reads: in the new mailbox, hence only while the target serves him. What happens
before that is told by the login pages and by what mail programs show.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mailferry.model.account import Event, Phase
from mailferry.model.causes import CAUSES, Actor, Cause

HOUR = 3600.0
DAY = 24 * HOUR


class UserNotice(StrEnum):
    """What a user may be told in the new mailbox."""

    STARTED = "started"
    """The new server serves from now on, older mail is still arriving."""
    DONE = "done"
    FAILED = "failed"
    """Older mail stopped arriving, and somebody must do something about it."""


class Alert(StrEnum):
    """What an administrator may be told."""

    MUST_ACT = "must_act"
    """Accounts of a domain failed by a cause that does not mend by itself."""
    SOURCE_BLOCKED = "source_blocked"
    """The source takes any password, so that its domain is held."""
    SOURCE_REFUSES_ALL = "source_refuses_all"
    """The source refuses passwords that it took before, of many accounts at once."""
    WINDOW_ENDS = "window_ends"


FAILED_PATIENCE = HOUR
"""A copy that goes on again within this time is told to no user."""

GATHER_SECONDS = 60.0
"""What happens within a minute of the first failure stands in the same message to the administrator."""

SAME_CAUSE_SECONDS = 24 * HOUR
"""An account whose copy ended again by the cause it ended by lately is no news."""

REFUSES_ALL_AGAIN = 6 * HOUR
"""A source that goes on refusing all is told of so often at most."""

WINDOW_DAYS = (7, 1)
"""Days before the end of a window at which its administrator is told."""

TRIES = 20
"""After so many, over more than half a day, a notice is given up."""

_FIRST_WAIT = 30.0
_LONGEST_WAIT = HOUR


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A notice to a user and how many seconds from the event on it is due."""

    kind: UserNotice
    after: float = 0.0


def wanted_notices(text: str) -> frozenset[UserNotice]:
    """Return the notices that a domain's words name, such as `done,failed`; words unknown here are left out."""
    known = {notice.value: notice for notice in UserNotice}
    return frozenset(known[word] for word in text.split(",") if word in known)


def in_words(kinds: Iterable[UserNotice | str]) -> str:
    """Return the words for the store, in the order of the move."""
    wanted = {str(kind) for kind in kinds}
    return ",".join(kind.value for kind in UserNotice if kind.value in wanted)


def for_user(event: Event, cause: Cause | None, wanted: frozenset[UserNotice]) -> DueNotice | None:
    """Return the notice that an event in the phases served by the target gives its user, None for none.

    `cause` is the account's at that moment. An account that stays at the source hears nothing here.
    """
    due: DueNotice | None = None
    if event in {
        Event.SOURCE_ACCEPTED_AT_ONCE,
        Event.OLD_PASSWORD_ENTERED,
        Event.EARLY_SWITCH,
        Event.TARGET_ACCEPTED_FOREIGN,
    }:
        due = DueNotice(UserNotice.STARTED)
    elif event in {Event.FLIPPED, Event.HISTORY_COMPLETE}:
        due = DueNotice(UserNotice.DONE)
    elif event is Event.GAVE_UP and needs_somebody(cause):
        due = DueNotice(UserNotice.FAILED, FAILED_PATIENCE)
    return due if due is not None and due.kind in wanted else None


def still_true(kind: UserNotice, phase: Phase) -> bool:
    """Whether the notice says what is so in `phase`; never where the user may be served by the source."""
    if kind is UserNotice.STARTED:
        return phase in {Phase.BACKFILL, Phase.STALLED}
    if kind is UserNotice.FAILED:
        return phase is Phase.STALLED
    return phase in {Phase.SWITCHED, Phase.CLOSED}


def needs_somebody(cause: Cause | None) -> bool:
    """Whether an account with this cause waits for a person."""
    return cause is not None and CAUSES[cause].actor is not Actor.NOBODY


def window_stage(ends_at: float, now: float) -> int | None:
    """Return the fewest days of `WINDOW_DAYS` within which an open window ends, None where it ends later."""
    left = ends_at - now
    if left <= 0:
        return None
    return min((days for days in WINDOW_DAYS if left <= days * DAY), default=None)


def next_try(tries: int) -> float | None:
    """Return the seconds until a notice that failed `tries` times is tried again, None when it is given up."""
    if tries >= TRIES:
        return None
    return min(_FIRST_WAIT * 2.0 ** (tries - 1), _LONGEST_WAIT)
