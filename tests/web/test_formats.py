"""Dates and numbers as a reader of each country writes them."""

from __future__ import annotations

import pytest
from babel import Locale
from babel.numbers import format_decimal

from mailferry.web.formats import Formats

AT = 1_793_887_380.0  # 2026-11-05 14:03 UTC


def spaced(text: str) -> str:
    """Return `text` with plain spaces; locales use several that a browser shows alike."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("locale", "day", "moment"),
    [
        ("en", "November 5, 2026", "Nov 5, 2026 2:03 PM UTC"),
        ("en_GB", "5 November 2026", "5 Nov 2026 14:03 UTC"),
        ("zh_Hans_CN", "2026年11月5日", "2026年11月5日 14:03 UTC"),
    ],
)
def test_times_are_written_as_in_the_readers_country(locale: str, day: str, moment: str) -> None:
    formats = Formats(Locale.parse(locale))
    for value in (AT, "2026-11-05T14:03:00Z", "2026-11-05T22:03:00+08:00"):
        assert spaced(formats.day(value)) == day
        assert spaced(formats.moment(value)) == moment


@pytest.mark.parametrize(
    ("locale", "customs", "day", "moment"),
    [
        ("en_GB", "en-GB", "5 November 2026 (UTC)", "5 Nov 2026 14:03 UTC"),
        ("zh_Hans_CN", "zh-Hans-CN", "2026年11月5日 (UTC)", "2026年11月5日 14:03 UTC"),
    ],
)
def test_what_becomes_the_readers_own_time_stands_in_utc_and_says_so(
    locale: str, customs: str, day: str, moment: str
) -> None:
    formats = Formats(Locale.parse(locale))
    element = '<time datetime="2026-11-05T14:03:00Z" data-shown="{}" data-customs="{}">{}</time>'
    assert spaced(formats.own_day(AT)) == element.format("day", customs, day)
    assert spaced(formats.own_moment(AT)) == element.format("moment", customs, moment)


@pytest.mark.parametrize(
    "locale", ["en", "en_GB", "en_IN", "en_ZA", "en_CH", "zh_Hans_CN", "zh_Hant_TW", "de"]
)
def test_whole_numbers_are_written_as_babel_writes_them(locale: str) -> None:
    known = Locale.parse(locale)
    for value in (0, 7, 999, 1000, 54_321, 123_456, 1_234_567, 98_765_432_100, -1234):
        assert Formats(known).number(value) == format_decimal(value, locale=known), value


def test_numbers_and_shares_have_no_digit_more_than_they_came_with() -> None:
    formats = Formats(Locale.parse("en"))
    assert formats.number(1234567) == "1,234,567"
    assert [formats.percent(value) for value in (0.0, 47.3, 99.9, 100.0)] == ["0%", "47.3%", "99.9%", "100%"]
    assert Formats(Locale.parse("en_ZA")).number(1234567) != "1,234,567"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (0, "0 byte"),
        (999, "999 byte"),
        (1000, "1 kB"),
        (12_345_678, "12.3 MB"),
        (123_456_789, "123 MB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_octets_are_told_in_the_unit_that_suits_them(octets: int, shown: str) -> None:
    assert spaced(Formats(Locale.parse("en")).octets(octets)) == shown


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [(0, "1 minute", "1分钟"), (65 * 60, "65 minutes", "65分钟"), (3 * 3600, "3 hours", "3小时"), (600_000, "7 days", "7天")],
)  # fmt: skip
def test_spans_are_rough(seconds: float, en: str, zh: str) -> None:
    assert Formats(Locale.parse("en")).span(seconds) == en
    assert Formats(Locale.parse("zh_Hans_CN")).span(seconds) == zh


def test_what_is_not_known_is_a_dash() -> None:
    formats = Formats(Locale.parse("en"))
    methods = (formats.number, formats.percent, formats.octets, formats.day, formats.moment, formats.span)
    assert {write(None) for write in methods} == {"–"}
