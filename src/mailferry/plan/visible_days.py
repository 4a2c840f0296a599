"""Views of the last 30 days: told by what a listing begins with, and by what leaves it as it becomes that old.

A source that hides older mail shows nothing beyond its window, and lets one message after the other slip
out of view. Neither is a deletion, and neither listing is all there is (design A5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

DAY = 86400.0
USUAL_DAYS = 30
"""Of providers that hide older mail; assumed where a profile does not know."""
FEW = 10
"""Messages below which the age of the oldest says nothing."""
_EARLY, _LATE = 2.0, 1.5
"""Days by which the oldest message may miss the window's end: weekends, and clocks of other zones."""
_UNSEEN = 4.0
"""Days beyond the window at which a message may be found to have slipped out: nobody looked for a while."""


class FirstSight(NamedTuple):
    """A mailbox as its first listing showed it."""

    messages: int
    oldest: int | None
    """Second of arrival; None where there is mail from beyond the window."""
    gaps: bool
    """Whether its UIDs say that there were more messages."""


def beyond(now: float, days: int) -> float:
    """Return the moment before which nothing lies that a window of so many days shows."""
    return now - (days + _LATE) * DAY


def slipped(now: float, days: int, *, since: float = 0.0) -> tuple[float, float]:
    """Return between which moments a message arrived that has slipped out of such a window by now.

    `since` is for how many seconds messages have been seen to slip out; older mail was never in view.
    """
    return now - (days + _UNSEEN) * DAY - since, now - (days - 1) * DAY


def oldest_in_view(arrived: Iterable[int | None], limit: float) -> int | None:
    """Return the earliest of these moments, None when one lies before `limit` or nobody knows."""
    found: int | None = None
    for moment in arrived:
        if moment is None or moment < limit:
            return None
        if found is None or moment < found:
            found = moment
    return found


def ends_at_window(sights: Iterable[FirstSight], now: float, days: int) -> int | None:
    """Return the second of arrival of an account's oldest message when all of its mail seems cut off there.

    `sights` are its mailboxes, but for those that are emptied by age anyway (trash, junk). None when there
    is older mail, too little to tell, a younger account, or no sign that there ever was more.
    """
    held = [sight for sight in sights if sight.messages]
    moments = [sight.oldest for sight in held]
    if sum(sight.messages for sight in held) < FEW or None in moments or not any(s.gaps for s in held):
        return None
    oldest = min(moment for moment in moments if moment is not None)
    return oldest if beyond(now, days) <= oldest <= now - (days - _EARLY) * DAY else None
