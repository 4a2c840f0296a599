"""Dates and numbers as a page's reader writes them (Babel); times are in UTC and say so.

What the user page tells stands in a `time` element, of which `static/times.js` makes the reader's own
time: a server does not know a browser's zone. Without scripts it stays in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

import jinja2
from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.numbers import format_decimal, format_percent, get_group_symbol
from babel.units import format_unit
from markupsafe import Markup

_NOTHING = "–"
_UNITS = ("digital-byte", "digital-kilobyte", "digital-megabyte", "digital-gigabyte", "digital-terabyte")
_STEP = 1000.0
_NEXT_UNIT = 1.15
"""From how much of a larger unit on a span is told in it: 70 minutes are an hour, 65 are not."""


class Formats:
    """Writes by the customs of one locale. A value of None is a dash."""

    def __init__(self, locale: Locale) -> None:
        self._locale = locale

    def number(self, value: float | None) -> str:
        """Return a number with its thousands apart."""
        if value is None:
            return _NOTHING
        mark = _mark_of_thousands(self._locale)
        if isinstance(value, int) and value >= 0 and mark is not None:
            return f"{value:,}".replace(",", mark)
        return format_decimal(value, locale=self._locale)

    def percent(self, value: float | None) -> str:
        """Return `value`, which is in percent, with the sign."""
        if value is None:
            return _NOTHING
        return _percent(self._locale, str(value))

    def octets(self, value: float | None) -> str:
        """Return an amount of octets in the unit that suits it, such as 12.3 MB (10 to the 6th)."""
        if value is None:
            return _NOTHING
        amount, unit = float(value), 0
        while amount >= _STEP and unit < len(_UNITS) - 1:
            amount, unit = amount / _STEP, unit + 1
        rounded = round(amount, 1 if unit and amount < 100 else None)
        return format_unit(rounded, _UNITS[unit], length="short", locale=self._locale)

    def day(self, value: float | str | None) -> str:
        """Return the date of seconds since 1970, or of a time in ISO 8601."""
        return _NOTHING if value is None else format_date(_moment(value), "long", locale=self._locale)

    def moment(self, value: float | str | None) -> str:
        """Return date, time and UTC of seconds since 1970, or of a time in ISO 8601."""
        if value is None:
            return _NOTHING
        at = _moment(value)
        return f"{_day(self._locale, at.date())} {_minute(self._locale, time(at.hour, at.minute))} UTC"

    def own_moment(self, value: float) -> Markup:
        """Return an element with `moment`, which becomes date and time of the reader's zone."""
        return self._own("moment", value, self.moment(value))

    def own_day(self, value: float) -> Markup:
        """Return an element with the date in UTC, which becomes the date of the reader's zone."""
        return self._own("day", value, f"{self.day(value)} (UTC)")

    def clock(self, value: float | str | None) -> str:
        """Return the time of the day (UTC), for the axis of a chart."""
        return (
            _NOTHING
            if value is None
            else format_time(_moment(value), "short", tzinfo=UTC, locale=self._locale)
        )

    def day_short(self, value: float | str | None) -> str:
        """Return day and month, for the axis of a chart."""
        return _NOTHING if value is None else format_skeleton("MMMd", _moment(value), locale=self._locale)

    def span(self, seconds: float | None) -> str:
        """Return roughly how long `seconds` are, in one unit from minutes up."""
        if seconds is None:
            return _NOTHING
        return format_timedelta(
            max(60, round(seconds)), granularity="minute", threshold=_NEXT_UNIT, locale=self._locale
        )

    def _own(self, shown: str, value: float, text: str) -> Markup:
        customs = str(self._locale).replace("_", "-")
        return Markup('<time datetime="{}" data-shown="{}" data-customs="{}">{}</time>').format(
            _moment(value).strftime("%Y-%m-%dT%H:%M:%SZ"), shown, customs, text
        )


@lru_cache
def _mark_of_thousands(locale: Locale) -> str | None:
    """Return what stands between thousands, None where digits go together otherwise (as in India)."""
    if locale.decimal_formats[None].grouping != (3, 3):
        return None
    return get_group_symbol(locale)


# A page of accounts holds hundreds of these, and many are alike: Babel takes some 100 µs for each.
@lru_cache(maxsize=4096)
def _percent(locale: Locale, value: str) -> str:
    return format_percent(Decimal(value) / 100, locale=locale, decimal_quantization=False)


@lru_cache(maxsize=4096)
def _day(locale: Locale, day: date) -> str:
    return format_date(day, "medium", locale=locale)


@lru_cache(maxsize=4096)
def _minute(locale: Locale, minute: time) -> str:
    return format_time(minute, "short", tzinfo=UTC, locale=locale)


def _moment(value: float | str) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return datetime.fromtimestamp(value, tz=UTC)


_FILTERS: Mapping[str, Callable[[Formats, Any], str]] = {
    "number": Formats.number,
    "percent": Formats.percent,
    "octets": Formats.octets,
    "day": Formats.day,
    "moment": Formats.moment,
    "own_moment": Formats.own_moment,
    "own_day": Formats.own_day,
    "clock": Formats.clock,
    "day_short": Formats.day_short,
    "span": Formats.span,
}


def format_filters() -> dict[str, Callable[..., str]]:
    """Return Jinja filters by name; each uses the `formats` of the page that it stands on."""
    return {name: _filter(method) for name, method in _FILTERS.items()}


def _filter(method: Callable[[Formats, Any], str]) -> Callable[..., str]:
    @jinja2.pass_context
    def write(context: jinja2.runtime.Context, value: Any) -> str:
        return method(context["formats"], value)

    return write
