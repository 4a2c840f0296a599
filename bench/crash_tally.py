"""What the crash bench counts: kills, and what Dovecot's own tool found wrong after them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bench import page

FAULTS = ("lost", "twice", "altered", "marked otherwise")


def fault_of(line: str) -> str:
    """Return which fault a line of the oracle tells of."""
    for beginning, fault in (("lost:", "lost"), ("twice:", "twice"), ("foreign or altered:", "altered")):
        if line.startswith(beginning):
            return fault
    return "marked otherwise"


@dataclass(slots=True)
class Tally:
    """What happened at one kind of target."""

    kills: int = 0
    in_batch: int = 0
    """Kills that left an intent open: the batch may lie at the target or not."""
    begun: int = 0
    """Accounts that were begun, `rounds` those that were ended."""
    rounds: int = 0
    compared: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """All tallies, and when it is enough."""

    wanted: int
    tallies: dict[str, Tally]
    """By kind of target."""
    spans: dict[tuple[str, str], float] = field(default_factory=dict)
    """Kind of target and step -> seconds that it takes when nobody kills."""

    @property
    def kills(self) -> int:
        """Kills so far."""
        return sum(tally.kills for tally in self.tallies.values())

    @property
    def enough(self) -> bool:
        """Whether nothing is killed any more."""
        return self.kills >= self.wanted

    def next_kind(self) -> str:
        """Return the kind of target that the next account is copied to: where the fewest kills fell so far."""
        kind, tally = min(self.tallies.items(), key=lambda item: (item[1].kills, item[1].begun))
        tally.begun += 1
        return kind

    @property
    def faults(self) -> Counter[str]:
        """Faults at all kinds of targets."""
        return sum((tally.faults for tally in self.tallies.values()), Counter())


def report(book: Book, seed: int, seconds: float, machine_line: str) -> str:
    """Return the table of the page."""
    head = ["target", "kills", "with a batch on its way", "accounts", "messages compared", *FAULTS]
    rows = [
        [kind, *map(str, (tally.kills, tally.in_batch, tally.rounds, tally.compared)), *_of(tally.faults)]
        for kind, tally in book.tallies.items()
    ]
    every = book.tallies.values()
    sums = [
        sum(values)
        for values in zip(*((t.kills, t.in_batch, t.rounds, t.compared) for t in every), strict=True)
    ]
    rows.append(["**all**", *map(str, sums), *_of(book.faults)])
    return (
        f"{book.kills} kills in {seconds:.0f} s, by `make bench-crash "
        f'ARGS="--kills {book.wanted} --seed {seed} --write"` on {machine_line}.\n\n{page.table(head, rows)}'
    )


def _of(faults: Counter[str]) -> list[str]:
    return [str(faults[fault]) for fault in FAULTS]
