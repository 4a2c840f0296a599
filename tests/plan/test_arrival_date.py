"""The usual form of a date is read as the long way reads it; an INTERNALDATE means one second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan.arrival_date import arrival_date, instant, utc_date

ZONES = st.integers(-13 * 60, 13 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.builds(datetime.fromtimestamp, st.integers(86_400, 4_000_000_000), ZONES)


@given(MOMENTS)
def test_a_header_date_is_the_moment_that_it_names(moment: datetime) -> None:
    written = format_datetime(moment)
    found = arrival_date(b"Date: " + written.encode() + b"\r\n\r\n")
    assert found is not None
    assert instant(found) == int(parsedate_to_datetime(written).timestamp())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Mon, 3 Feb 2014 09:05:06 +0800", b" 3-Feb-2014 09:05:06 +0800"),
        (b"3 Feb 2014 09:05:06 -0000", b" 3-Feb-2014 09:05:06 +0000"),
        (b"Mon, 03 Feb 2014 09:05:06 GMT", b" 3-Feb-2014 09:05:06 +0000"),
        (b"Mon,  3 Feb 2014\r\n 09:05:06 +0130 (CST)", b" 3-Feb-2014 09:05:06 +0130"),
        (b"31 Dec 1969 12:00:01 -1200", b"31-Dec-1969 12:00:01 -1200"),
        (b"31 Dec 1969 23:59:59 +0000", None),
        (b"31 Dec 1969 12:00:00 -1159", None),
        (b"Sun, 30 Feb 2014 09:05:06 +0000", None),
        (b"Mon, 3 Foo 2014 09:05:06 +0000", None),
        (b"Mon, 3 Feb 2014 29:05:06 +0000", None),
        (b"yesterday", None),
    ],
)
def test_usual_and_odd_dates_of_headers(written: bytes, read: bytes | None) -> None:
    assert arrival_date(b"Date: " + written + b"\r\n\r\n") == read


@given(st.integers(0, 4_000_000_000))
def test_an_internal_date_in_utc_comes_back(moment: int) -> None:
    assert instant(utc_date(moment)) == moment


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        (b"01-Jan-1970 00:00:00 +0000", 0),
        (b'" 1-jan-1970 08:00:00 +0800"', 0),
        (b"31-Dec-1969 23:59:59 -0030", 30 * 60 - 1),
        (b"29-Feb-2024 12:00:00 +0000", int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp())),
        (b"30-Feb-2024 12:00:00 +0000", None),
        (b"1-Foo-2024 12:00:00 +0000", None),
        (b"", None),
    ],
)
def test_which_second_an_internal_date_means(date: bytes, moment: int | None) -> None:
    assert instant(date) == moment
