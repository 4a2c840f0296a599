"""The figures that a release must reach, and what they are read from.

Each is a figure of this machine and run beside another program's, or a cost of ours by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.ratios import ratio
from bench.rounds import CHANGED, FIRST, PLAIN, START_UP, UNCHANGED, Figures
from bench.servers import FULL, SINGLE

OURS = "mailferry"
Read = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure, what it must reach and what it should."""

    what: str
    sets: str
    """The sets it is read from, by their letters."""
    floor: float
    ambition: float
    unit: str
    read: Read
    more_is_better: bool = True

    def met(self, value: float) -> str:
        """Tell in a word whether the value reaches the floor, or the ambition."""
        if self._reaches(value, self.ambition):
            return "ambition"
        return "floor" if self._reaches(value, self.floor) else "**missed**"

    def _reaches(self, value: float, limit: float) -> bool:
        return value >= limit if self.more_is_better else value <= limit


def seconds(figures: Figures, kind: str, copier: str, step: str) -> list[float]:
    """Return a copier's seconds for a step, round by round."""
    return [run.cost.seconds for run in figures.runs.get((kind, copier, step), [])]


def faster_than(other: str, kind: str = FULL, step: str = FIRST) -> Read:
    """Return what reads how many times as fast as the other copier we are."""
    return lambda figures: ratio(seconds(figures, kind, other, step), seconds(figures, kind, OURS, step))


def _time(step: str) -> Read:
    def read(figures: Figures) -> float | None:
        found = seconds(figures, FULL, OURS, step)
        return median(found) if found else None

    return read


def _share(step: str, other: str) -> Read:
    return lambda figures: ratio(seconds(figures, FULL, OURS, step), seconds(figures, FULL, other, step))


def _cpu_of_thousand(figures: Figures) -> float | None:
    found = [run.cost.cpu for run in figures.runs.get((FULL, OURS, FIRST), [])]
    return median(found) / figures.data_set.messages * 1000 if found else None


def _cpu_of_gigabyte(figures: Figures) -> float | None:
    found = [run.cost.cpu for run in figures.runs.get((FULL, OURS, FIRST), [])]
    return median(found) / figures.octets * 1e9 if found else None


def _growth(figures: Figures) -> float | None:
    idle = [run.cost.peak for run in figures.runs.get((FULL, OURS, START_UP), [])]
    full = [run.cost.peak for run in figures.runs.get((FULL, OURS, FIRST), [])]
    return median(b - a for a, b in zip(idle, full, strict=True)) / 2**20 if idle else None


GOALS = (
    Goal("first copy, times mbsync", "AB", 3.5, 5, "x", faster_than("mbsync")),
    Goal("first copy, times dsync", "AB", 1.3, 2, "x", faster_than("dsync")),
    Goal("first copy, times imapsync", "AB", 12, 16, "x", faster_than("imapsync")),
    Goal("first copy without MULTIAPPEND, times mbsync", "AB", 1.4, 2, "x", faster_than("mbsync", SINGLE)),
    Goal("first copy without MULTIAPPEND, times imapsync", "AB", 4, 5, "x", faster_than("imapsync", SINGLE)),
    Goal("CPU s for 1,000 messages", "AB", 0.10, 0.04, "s", _cpu_of_thousand, more_is_better=False),
    Goal("first copy, times mbsync", "C", 1.4, 1.8, "x", faster_than("mbsync")),
    Goal("first copy, times imapsync", "C", 10, 10, "x", faster_than("imapsync")),
    Goal("CPU s for 1 GB", "C", 2.5, 1.5, "s", _cpu_of_gigabyte, more_is_better=False),
    Goal("most memory above the idle process, MiB", "ABCP", 64, 48, "MiB", _growth, more_is_better=False),
    Goal("nothing changed, s", "B", 0.100, 0.025, "s", _time(UNCHANGED), more_is_better=False),
    Goal(
        "nothing changed, source without extensions, s", "B", 0.6, 0.3, "s", _time(PLAIN), more_is_better=False
    ),
    Goal("1 % changed, part of mbsync's time", "B", 1.2, 0.6, "", _share(CHANGED, "mbsync"), more_is_better=False),
    Goal("first copy, times getmail6", "P", 20, 20, "x", faster_than("getmail6")),
    Goal("first copy, times dsync", "P", 1.3, 1.6, "x", faster_than("dsync")),
    Goal("CPU s for 1,000 messages", "P", 0.12, 0.12, "s", _cpu_of_thousand, more_is_better=False),
)  # fmt: skip
