"""Messages that a pass leaves at the source by name: counted for the grade, so that many do not pass as none.

The list of skipped messages tells them, those of earlier passes included: one that is not tried again in
this pass is still not at the target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mailferry.copying.desk import Run
from mailferry.copying.results import BY_SOURCE, BY_TARGET
from mailferry.plan.completeness import FEW, LeftBehind
from mailferry.store import skipped


async def note_left_behind(run: Run) -> None:
    """At the end of a pass: put who refused how many messages into its evidence; a few are not asked for."""
    result, account_id = run.result, run.request.account_id
    if result.skipped + result.known_skips <= FEW:
        return
    counts = await run.register.read("left behind", lambda conn: skipped.counts(conn, account_id))
    left = LeftBehind(result.total, _sum(counts, BY_SOURCE), _sum(counts, BY_TARGET))
    result.evidence = replace(result.evidence, left_behind=left)


def _sum(counts: Mapping[str, int], reasons: Collection[str]) -> int:
    return sum(number for reason, number in counts.items() if reason in reasons)
