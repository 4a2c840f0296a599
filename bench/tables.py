"""The tables of one set: medians of the rounds, what the others take, what limits us, the goals."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.changes import WORDS
from bench.data_sets import SETS
from bench.goal import goals_table
from bench.goals import GOALS, OURS, faster_than, seconds
from bench.page import table
from bench.rounds import CHANGED, FIRST, PLAIN, START_UP, UNCHANGED, Figures, Taken
from bench.servers import FULL, NO_FSYNC, SINGLE

HEADINGS = {
    FULL: "First copy, target with MULTIAPPEND",
    SINGLE: "First copy, MULTIAPPEND hidden at the target",
    NO_FSYNC: "First copy, target with `mail_fsync = never`",
}
HEAD = [
    "copier", "s (least to most)", "messages/s", "MB/s", "CPU s per 1,000", "CPU s per GB",
    "source's per 1,000", "target's per 1,000", "peak MB", "mailferry is",
]  # fmt: skip


def section(figures: Figures, versions: Mapping[str, str], command: str, machine: str, rounds: int) -> str:
    """Return everything that is said about one set."""
    said = (
        f"{figures.data_set.words()}, {figures.octets / 1e6:,.0f} MB. Medians of {rounds} "
        f"round{'s' * (rounds > 1)}, by `{command}` on {machine}."
    )
    parts = [said]
    for kind, heading in HEADINGS.items():
        rows = [_first_copy(figures, kind, name, versions) for name in _present(figures, kind, FIRST)]
        if rows:
            parts += [f"**{heading}**", table(HEAD, rows)]
    parts += _later(figures, versions)
    parts += [_limits(figures), _start_up(figures), _failed(figures), _goals(figures)]
    return "\n\n".join(part for part in parts if part)


def _present(figures: Figures, kind: str, step: str) -> list[str]:
    return [
        name for name in dict.fromkeys(key[1] for key in figures.runs) if (kind, name, step) in figures.runs
    ]


def _middle(runs: Sequence[Taken], read: Callable[[Taken], float]) -> float:
    return median(map(read, runs))


def _first_copy(figures: Figures, kind: str, name: str, versions: Mapping[str, str]) -> list[str]:
    runs = figures.runs[kind, name, FIRST]
    every = seconds(figures, kind, name, FIRST)
    thousands, gigabytes = figures.data_set.messages / 1000, figures.octets / 1e9
    took, cpu = median(every), _middle(runs, lambda run: run.cost.cpu)
    times = None if name == OURS else faster_than(name, kind)(figures)
    return [
        f"{name} {versions[name]}",
        f"{took:.2f} ({min(every):.2f} to {max(every):.2f})",
        f"{figures.data_set.messages / took:,.0f}",
        f"{figures.octets / took / 1e6:.0f}",
        f"{cpu / thousands:.3f}",
        f"{cpu / gigabytes:.2f}",
        f"{_middle(runs, lambda run: run.source_cpu) / thousands:.3f}",
        f"{_middle(runs, lambda run: run.target_cpu) / thousands:.3f}",
        f"{_middle(runs, lambda run: run.cost.peak) / 1e6:.0f}",
        "" if times is None else f"{times:.1f}x",
    ]


def _later(figures: Figures, versions: Mapping[str, str]) -> list[str]:
    """Return the table of passes over mail that is there already."""
    steps = [step for step in (UNCHANGED, CHANGED, PLAIN) if _present(figures, FULL, step)]
    names = _present(figures, FULL, UNCHANGED)
    if not names:
        return []
    head = ["copier", *(f"{step}, s (CPU s)" for step in steps)]
    rows = []
    for name in names:
        cells = [f"{name} {versions[name]}"]
        for step in steps:
            runs = figures.runs.get((FULL, name, step), [])
            took = (
                (_middle(runs, lambda run: run.cost.seconds), _middle(runs, lambda run: run.cost.cpu))
                if runs
                else None
            )
            cells.append("" if took is None else f"{took[0]:.3f} ({took[1]:.2f})")
        rows.append(cells)
    said = f" 1 % is {WORDS}." if CHANGED in steps else ""
    return [f"**Passes after the first copy**{said}", table(head, rows)]


def _limits(figures: Figures) -> str:
    """Say whose processors were busy during our first copies."""
    lines = []
    cores = len(os.sched_getaffinity(0))
    for kind, heading in HEADINGS.items():
        runs = figures.runs.get((kind, OURS, FIRST), [])
        if not runs:
            continue
        own = _middle(runs, lambda run: run.cost.cpu / run.cost.seconds)
        source = _middle(runs, lambda run: run.source_cpu / run.cost.seconds)
        target = _middle(runs, lambda run: run.target_cpu / run.cost.seconds)
        busiest = max(
            (own, "our own process"), (source, "the source's processes"), (target, "the target's processes")
        )
        lines.append(
            f"- {heading}: ours {own:.2f} of a core, the source's {source:.2f}, the target's {target:.2f}; "
            f"{(own + source + target) / cores:.0%} of the machine's {cores} cores. Most at work: {busiest[1]}."
        )
    return "\n".join(["**What limits mailferry's first copy**", "", *lines]) if lines else ""


def _start_up(figures: Figures) -> str:
    runs = figures.runs.get((FULL, OURS, START_UP), [])
    if not runs:
        return ""
    cpu, peak = _middle(runs, lambda run: run.cost.cpu), _middle(runs, lambda run: run.cost.peak)
    return (
        f"mailferry serves for days; its copier's start is not counted above: {cpu:.2f} CPU s, after which the "
        f"idle process has {peak / 1e6:.0f} MB. Peaks hold them, and of the other programs everything."
    )


def _failed(figures: Figures) -> str:
    return "\n".join(
        f"- {name} failed and is left out (target: {kind}): {why}"
        for (kind, name), why in figures.failed.items()
    )


def _goals(figures: Figures) -> str:
    """Compare with the goals, which say nothing about a set made smaller."""
    if figures.data_set not in SETS.values():
        return ""
    return goals_table([goal for goal in GOALS if figures.data_set.name in goal.sets], figures)
