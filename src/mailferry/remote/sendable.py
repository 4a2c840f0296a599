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
    rb"[0-2]\d:[0-5]\d:[0-6]\d [+-]\d{4})"
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
    """Return the date as APPEND takes it (two columns for the day), or None when it is no date-time.

    A moment that some zone still counts among 1969 goes as UTC: Cyrus and Courier refuse that year.
    """
    match = _DATE.fullmatch(internal_date) or _DATE.fullmatch(internal_date.strip())
    if match is None:
        return None
    day, rest = match.groups()
    if rest[4:8] == b"1969":
        moment = instant(internal_date.strip())
        if moment is not None and moment >= 0:
            return utc_date(moment)
    return (day if len(day) == 2 else b" " + day) + b"-" + rest
