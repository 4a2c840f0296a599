"""How often late mail is looked for after the flip: often at first, when most of it comes, then seldom (design A7)."""

from __future__ import annotations

HOUR = 3600.0
DAY = 24 * HOUR

_STAGES = (
    (DAY, 300.0),
    (8 * DAY, HOUR),
)
"""Until so many seconds after the flip, a look every so many seconds."""
_AT_LAST = 6 * HOUR


def seconds_to_next_sweep(since_flip: float) -> float:
    """Return the seconds to the next look at a source, `since_flip` seconds after the account left it."""
    return next((every for until, every in _STAGES if since_flip < until), _AT_LAST)
