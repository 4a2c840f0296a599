"""Flags and dates of a foreign listing, made fit for a command of ours (RFC 3501 9; hazards T19, D8, D9).

A source may list anything; what is no atom, or no date-time, never reaches a command line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from mailferry.plan.arrival_date import instant, utc_date
from mailferry.wire.imap_commands import is_flag

_SYSTEM = frozenset({b"\\seen", b"\\answered", b"\\flagged", b"\\deleted", b"\\draft"})
_DATE = re.compile(
    rb"(?P<day>[ 0-3]?\d)-(?P<rest>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{4} "
    rb"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60) [+-]\d{4})",
    re.IGNORECASE,
)


def sendable_flags(
    flags: Iterable[bytes], permanent: Collection[bytes] | None
) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return the flags that a mailbox with these PERMANENTFLAGS takes, and those it does not.

    `permanent` is None where SELECT did not tell: everything well formed is then tried. `\\Recent`
    belongs to neither. Letter case does not matter (RFC 3501 2.3.2, RFC 5788 3).
    """
    allowed = None if permanent is None else {flag.lower() for flag in permanent}
    kept: dict[bytes, bytes] = {}
    left: set[bytes] = set()
    for flag in sorted(flags):
        low = flag.lower()
        if low == b"\\recent":
            continue
        fits = is_flag(flag) and (low[:1] != b"\\" or low in _SYSTEM)
        if fits and allowed is not None:
            fits = low in allowed or (low[:1] != b"\\" and b"\\*" in allowed)
        if fits:
            kept.setdefault(low, flag)
        else:
            left.add(flag)
    return frozenset(kept.values()), frozenset(left)


def sendable_date(internal_date: bytes) -> bytes | None:
    """Return the date as APPEND takes it (two columns for the day, `Jan`), or None when it is no date-time.

    Dovecot and Cyrus take a 31st of February, and keep another day.
    Cyrus and Courier refuse the year 1969, in whatever zone, and Dovecot and Cyrus make a moment before 1970
    (midnight in China, by a clock that was never set) one of 2106: it goes as the second after the first of
    1970, which both keep. Cyrus and Courier take the first one for none.
    """
    match = _DATE.fullmatch(internal_date) or _DATE.fullmatch(internal_date.strip())
    if match is None:
        return None
    day, rest = match.groups()
    moment = instant(internal_date.strip())
    if moment is None:
        return None
    if moment < 0 or rest[4:8] < b"1970" or rest[15:17] == b"60":
        return utc_date(moment if moment >= 0 else 1)
    if not rest[:3].istitle():
        rest = rest.capitalize()  # a month's letters have no case (RFC 3501 9); not every target knows
    return (day if len(day) == 2 else b" " + day) + b"-" + rest
