"""When a message arrived, read from its own header, for sources that do not say (POP3).

The topmost Received line was written by the host that kept the message (RFC 5321 4.4); the Date line
is the sender's word and comes second.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_FIELD = re.compile(rb"(?im)^(received|date):((?:.*(?:\r?\n[ \t].*)*))")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def arrival_date(header: bytes) -> bytes | None:
    """Return an INTERNALDATE (RFC 3501 9, date-time without quotes) for a header, None when it has no date."""
    by_name: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header):
        by_name.setdefault(match[1].lower(), match[2])
    received = by_name.get(b"received")
    words = [received.rpartition(b";")[2]] if received is not None else []
    words += [by_name[b"date"]] if b"date" in by_name else []
    for word in words:
        moment = _moment(word)
        if moment is not None:
            return moment
    return None


def _moment(word: bytes) -> bytes | None:
    try:
        when: datetime = parsedate_to_datetime(" ".join(word.decode("latin-1").split()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    offset = when.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    if not 1970 <= when.year <= 2100 or abs(minutes) > 14 * 60:
        return None
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    return (
        f"{when.day:2d}-{_MONTHS[when.month - 1]}-{when.year} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d} {sign}{hours:02d}{rest:02d}"
    ).encode()


def utc_date(moment: int) -> bytes:
    """Return an INTERNALDATE in UTC for seconds since 1970."""
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)
    return (
        f"{when.day:2d}-{_MONTHS[when.month - 1]}-{when.year:04d} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d} +0000"
    ).encode()


_INTERNAL = re.compile(
    rb" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})",
)


def instant(internal_date: bytes) -> int | None:
    """Return the second that an INTERNALDATE means, in seconds since 1970 (UTC); None for what is none."""
    match = _INTERNAL.fullmatch(internal_date.strip(b'"'))
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    name = month.decode("latin-1").capitalize()
    if name not in _MONTHS:
        return None
    try:
        start = datetime(int(year), _MONTHS.index(name) + 1, int(day), tzinfo=UTC)
    except ValueError:
        return None
    zone = (int(zone_hours) * 60 + int(zone_minutes)) * (-60 if sign == b"-" else 60)
    days = (start - datetime(1970, 1, 1, tzinfo=UTC)).days
    return days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second) - zone
