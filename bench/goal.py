"""One figure that a release must reach, and the table of such figures on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.page import table

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Goal(Generic[F]):
    """What a figure is read from, what it must reach and what it should."""

    what: str
    floor: float | None
    """None where there is an ambition and nothing that a release must reach."""
    ambition: float
    read: Callable[[F], float | None]
    more_is_better: bool = True
    sets: str = ""
    """The sets of mail that it is read from, by their letters, where there are any."""

    def met(self, value: float) -> str:
        """Tell in a word whether the value reaches the floor, or the ambition."""
        if self._reaches(value, self.ambition):
            return "ambition"
        if self.floor is None:
            return "not yet"
        return "floor" if self._reaches(value, self.floor) else "**missed**"

    def _reaches(self, value: float, limit: float) -> bool:
        return value >= limit if self.more_is_better else value <= limit


def goals_table(goals: Iterable[Goal[F]], figures: F) -> str:
    """Return the goals beside what was measured; empty where none could be read."""
    rows = []
    for goal in goals:
        value = goal.read(figures)
        if value is not None:
            floor = "" if goal.floor is None else f"{goal.floor:.3g}"
            rows.append([goal.what, floor, f"{goal.ambition:.3g}", f"{value:.3g}", goal.met(value)])
    return (
        "\n".join(["**Goals**", "", table(["what", "floor", "ambition", "here", ""], rows)]) if rows else ""
    )
