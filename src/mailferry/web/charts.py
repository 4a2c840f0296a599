"""Charts as plain geometry: points, ticks and a table of the same numbers; the template `chart.html` draws them.

Nothing here writes markup, colours or words: a line has a class of the style sheet, a name that the
template says in the reader's language, and its values stand in the table beside the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mailferry.model.account import State
from mailferry.roster.chart_series import ChartSeries

WIDTH, HEIGHT = 380.0, 170.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 10.0, 22.0
_TICKS = 4
_TIMES = 4
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Line:
    """One series. Its name is `key`, of the dictionary, or `name` as it is. `style` is a class, `c1` to `c6`."""

    style: str
    values: Sequence[float]
    key: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """One series as it is drawn: the points of a line, or of an area when `filled`."""

    line: Line
    points: str
    filled: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart."""

    key: str
    """Names its title (`chart.<key>`) and its element."""
    shapes: Sequence[Shape]
    y_ticks: Sequence[tuple[float, float]]
    """Where, and which value."""
    x_ticks: Sequence[tuple[float, float]]
    """Where, and which time (seconds since 1970)."""
    days: bool
    """Whether times are told as days."""
    rows: Sequence[tuple[float, Sequence[float]]]
    """The table: each time with its values, newest first."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    base: float = HEIGHT - _BOTTOM
    right: float = WIDTH - _RIGHT

    @property
    def lines(self) -> list[Line]:
        """The series in the order of the legend."""
        return [shape.line for shape in self.shapes]

    @property
    def empty(self) -> bool:
        """Whether there is nothing but zeros."""
        return not any(any(line.values) for line in self.lines)


STATE_STYLES = {
    State.DONE: "c2",
    State.IN_PROGRESS: "c3",
    State.FAILED: "c4",
    State.NOT_STARTED: "c6",
    State.NOT_MIGRATING: "c5",
}
"""From the bottom of the pile to its top."""


def plots(series: ChartSeries) -> list[Plot]:
    """Return the overview's charts."""
    states = [
        Line(style, series.states[state], key=f"state.{state.value}") for state, style in STATE_STYLES.items()
    ]
    late = [
        Line(f"c{number}", values, key="" if name else "chart.others", name=name)
        for number, (name, values) in enumerate(series.late.items(), start=1)
    ]
    return [
        _plot("states", series, whole=True, lines=states, piled=True),
        _plot("messages", series, lines=[Line("c1", series.messages, key="chart.messages")]),
        _plot(
            "megabytes",
            series,
            lines=[Line("c2", [value / _MEGABYTE for value in series.octets], key="chart.megabytes")],
        ),
        _plot("flips", series, whole=True, lines=[Line("c2", series.flips, key="chart.flips")]),
        _plot("freezes", series, lines=[Line("c5", series.longest_freeze, key="chart.freezes")]),
        _plot(
            "late", series, whole=True, lines=late or [Line("c1", [0] * len(series.times), key="chart.late")]
        ),
        _plot("logins", series, lines=[Line("c1", series.logins, key="chart.logins")]),
    ]


def _plot(
    key: str, series: ChartSeries, *, lines: Sequence[Line], whole: bool = False, piled: bool = False
) -> Plot:
    count = len(series.times)
    tops = (
        [sum(values) for values in zip(*(line.values for line in lines), strict=True)]
        if piled
        else [value for line in lines for value in line.values]
    )
    highest = nice_top(max(tops, default=0.0), whole=whole)

    def x(number: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * number / max(1, count - 1)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(1.0, value / highest)

    shapes = []
    below = [0.0] * count
    for line in lines:
        if piled:
            above = [low + value for low, value in zip(below, line.values, strict=True)]
            edge = [(x(n), y(above[n])) for n in range(count)]
            back = [(x(n), y(below[n])) for n in reversed(range(count))]
            shapes.append(Shape(line, _points([*edge, *back]), filled=True))
            below = above
        else:
            shapes.append(
                Shape(line, _points([(x(n), y(line.values[n])) for n in range(count)]), filled=False)
            )
    every = max(1, math.ceil(count / _TIMES))
    return Plot(
        key=key,
        shapes=shapes,
        y_ticks=[(round(y(highest * n / _TICKS), 1), highest * n / _TICKS) for n in range(_TICKS + 1)],
        x_ticks=[(round(x(n), 1), series.times[n]) for n in range(0, count, every)],
        days=series.step * count > 2 * 86400.0,
        rows=[(series.times[n], [line.values[n] for line in lines]) for n in reversed(range(count))],
    )


def nice_top(highest: float, *, whole: bool = False) -> float:
    """Return a round number at or above `highest` that four equal steps divide well; never zero."""
    if highest <= 0:
        return float(_TICKS) if whole else 1.0
    step = highest / _TICKS
    size = 10.0 ** math.floor(math.log10(step))
    nice = next(factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * size >= step * (1 - 1e-9)) * size
    return max(math.ceil(nice), 1) * float(_TICKS) if whole else nice * _TICKS


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
