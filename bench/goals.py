"""The figures that a release must reach, and what they are read from.

Each is a figure of this machine and run beside another program's, or a cost of ours by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from bench.goal import Goal
from bench.ratios import ratio
from bench.rounds import CHANGED, FIRST, PLAIN, START_UP, UNCHANGED, Figures
from bench.servers import FULL, SINGLE

OURS = "mailferry"
Read = Callable[[Figures], float | None]


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


def _cpu_beside(other: str) -> Read:
    """Return what reads our CPU seconds as a part of the other copier's: what one machine is slower at, both are."""

    def read(figures: Figures) -> float | None:
        found = [
            [run.cost.cpu for run in figures.runs.get((FULL, copier, FIRST), [])] for copier in (OURS, other)
        ]
        return ratio(*found)

    return read


def _cpu_of_gigabyte(figures: Figures) -> float | None:
    found = [run.cost.cpu for run in figures.runs.get((FULL, OURS, FIRST), [])]
    return median(found) / figures.octets * 1e9 if found else None


def _growth(figures: Figures) -> float | None:
    idle = [run.cost.peak for run in figures.runs.get((FULL, OURS, START_UP), [])]
    full = [run.cost.peak for run in figures.runs.get((FULL, OURS, FIRST), [])]
    return median(b - a for a, b in zip(idle, full, strict=True)) / 2**20 if idle else None


GOALS: tuple[Goal[Figures], ...] = (
    Goal("first copy, times mbsync", 3.5, 5, faster_than("mbsync"), sets="AB"),
    Goal("first copy, times dsync", 1.3, 2, faster_than("dsync"), sets="AB"),
    Goal("first copy, times imapsync", 12, 16, faster_than("imapsync"), sets="AB"),
    Goal("first copy without MULTIAPPEND, times mbsync", 1.4, 2, faster_than("mbsync", SINGLE), sets="AB"),
    Goal("first copy without MULTIAPPEND, times imapsync", 4, 5, faster_than("imapsync", SINGLE), sets="AB"),
    Goal("CPU s for 1,000 messages", 0.10, 0.04, _cpu_of_thousand, more_is_better=False, sets="AB"),
    Goal("CPU of a first copy, part of dsync's, which saves the mail itself", 0.5, 0.5, _cpu_beside("dsync"), more_is_better=False, sets="AB"),
    Goal("CPU of a first copy, part of mbsync's", None, 1, _cpu_beside("mbsync"), more_is_better=False, sets="AB"),
    Goal("CPU of a first copy, part of imapsync's", 1 / 14, 1 / 14, _cpu_beside("imapsync"), more_is_better=False, sets="AB"),
    Goal("first copy, times mbsync", 1.4, 1.8, faster_than("mbsync"), sets="C"),
    Goal("first copy, times imapsync", 10, 10, faster_than("imapsync"), sets="C"),
    Goal("CPU s for 1 GB", 2.5, 1.5, _cpu_of_gigabyte, more_is_better=False, sets="C"),
    Goal("most memory above the idle process, MiB", 64, 48, _growth, more_is_better=False, sets="ABCP"),
    Goal("nothing changed, s", 0.100, 0.025, _time(UNCHANGED), more_is_better=False, sets="B"),
    Goal(
        "nothing changed, source without extensions, s", 0.6, 0.3, _time(PLAIN), more_is_better=False, sets="B"
    ),
    Goal("1 % changed, part of mbsync's time", 1.2, 0.6, _share(CHANGED, "mbsync"), more_is_better=False, sets="B"),
    Goal("first copy, times getmail6", 20, 20, faster_than("getmail6"), sets="P"),
    Goal("first copy, times dsync", 1.3, 1.6, faster_than("dsync"), sets="P"),
    Goal("CPU s for 1,000 messages", 0.12, 0.12, _cpu_of_thousand, more_is_better=False, sets="P"),
)  # fmt: skip
