"""Dates and numbers as a page's reader writes them (Babel); times are in UTC and say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jinja2
from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

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
        return _NOTHING if value is None else format_decimal(value, locale=self._locale)

    def percent(self, value: float | None) -> str:
        """Return `value`, which is in percent, with the sign."""
        if value is None:
            return _NOTHING
        share = Decimal(str(value)) / 100
        return format_percent(share, locale=self._locale, decimal_quantization=False)

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
        day = format_date(at, "medium", locale=self._locale)
        return f"{day} {format_time(at, 'short', tzinfo=UTC, locale=self._locale)} UTC"

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
