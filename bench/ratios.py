"""How many times one program is as fast as another: only from figures of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

BUSY_GENERATOR = 0.9
"""A load generator that used more of a core than this measured itself."""


def ratio(
    others: Sequence[float], ours: Sequence[float], *, generator_busy: float | None = None
) -> float | None:
    """Return the median over the rounds of other / ours; None where that would say nothing.

    Rounds stand side by side: what the machine was doing meanwhile slowed both. `generator_busy` is
    the share of a core that the load generator used, None where nothing generates load.
    """
    if generator_busy is not None and generator_busy > BUSY_GENERATOR:
        return None
    pairs = [(a, b) for a, b in zip(others, ours, strict=False) if b > 0]
    return median(a / b for a, b in pairs) if pairs else None
