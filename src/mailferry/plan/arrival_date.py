"""When a message arrived, read from its own header, for sources that do not say (POP3).

The topmost Received line was written by the host that kept the message (RFC 5321 4.4); the Date line
is the sender's word and comes second.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

_USUAL = re.compile(
    rb"\s*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(\d{1,2}) ([A-Z][a-z]{2}) (19[7-9]\d|20\d\d) "
    rb"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d) ([+-](?:0\d|1[0-3])[0-5]\d)\s*"
)
"""What nearly all hosts write; the rest takes the long way, which is ten times as long."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""Some zones still counted 1969."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def arrival_date(header: bytes) -> bytes | None:
    """Return an INTERNALDATE (RFC 3501 9, date-time without quotes) for a header, None when it has no date."""
    lowered = b"\n" + header.lower()
    received = _first(header, lowered, b"received")
    moment = None if received is None else _moment(received.rpartition(b";")[2])
    if moment is None:
        date = _first(header, lowered, b"date")
        moment = None if date is None else _moment(date)
    return moment


def _first(header: bytes, lowered: bytes, name: bytes) -> bytes | None:
    """Return the value of the topmost field of this name, its folded lines with it; None when there is none."""
    at = lowered.find(b"\n%b:" % name)
    if at < 0:
        return None
    start = at + len(name) + 1
    end = header.find(b"\n", start)
    while end >= 0 and header[end + 1 : end + 2] in {b" ", b"\t"}:
        end = header.find(b"\n", end + 1)
    return header[start:] if end < 0 else header[start:end]


def _moment(word: bytes) -> bytes | None:
    usual = _USUAL.fullmatch(word)
    if usual is not None:
        day, month, year, time, zone = usual.groups()
        if _midnight(b"%b-%b-%b" % (day, month, year), zone) is not None:
            return b"%2d-%b-%b %b %b" % (int(day), month, year, time, b"+0000" if zone == b"-0000" else zone)
    try:
        when: datetime = parsedate_to_datetime(" ".join(word.decode("latin-1").split()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    offset = when.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    if not 1969 <= when.year <= 2100 or abs(minutes) > 14 * 60:
        return None
    if when.year == 1969 and when.replace(tzinfo=UTC) - timedelta(minutes=minutes) < _FIRST:
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


_INTERNAL = re.compile(rb" ?(\d{1,2}-[A-Za-z]{3}-\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-]\d{4})")


def instant(internal_date: bytes) -> int | None:
    """Return the second that an INTERNALDATE means, in seconds since 1970 (UTC); None for what is none."""
    match = _INTERNAL.fullmatch(internal_date.strip(b'"'))
    if match is None:
        return None
    day, hour, minute, second, zone = match.groups()
    midnight = _midnight(day, zone)
    return None if midnight is None else midnight + int(hour) * 3600 + int(minute) * 60 + int(second)


@lru_cache(maxsize=4096)
def _midnight(day: bytes, zone: bytes) -> int | None:
    """Return the second in which a day begins in a zone; neighbours in a mailbox mostly share both."""
    number, month, year = day.split(b"-")
    name = month.decode("latin-1").capitalize()
    if name not in _MONTHS:
        return None
    try:
        start = datetime(int(year), _MONTHS.index(name) + 1, int(number), tzinfo=UTC)
    except ValueError:
        return None
    minutes = int(zone[1:3]) * 60 + int(zone[3:])
    return (start - datetime(1970, 1, 1, tzinfo=UTC)).days * 86400 - (
        -60 if zone[:1] == b"-" else 60
    ) * minutes
