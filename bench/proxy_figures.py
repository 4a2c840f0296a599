"""What was measured of every proxy, and the lists, round by round, that tables and goals are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load_generator import Load

DIRECT = "direct"
AFTER, BEFORE = "mailferry, after the flip", "mailferry, before it"
LOGIN, BULK, NOOP, IDLE, STRANGERS, BESIDE = "login", "bulk", "noop", "idle", "strangers", "beside"
STEPS = (LOGIN, BULK, NOOP, IDLE, STRANGERS, BESIDE)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the generator."""

    load: Load
    cpu: float
    """CPU seconds of the proxy's processes."""


@dataclass(frozen=True, slots=True)
class Strangers:
    """What became of connections that never log in, and of the logins meanwhile. Seconds."""

    came: int
    left: int
    lives: dict[str, float]
    """Kind to the longest life."""
    logins: Load
    cpu: float

    @property
    def longest(self) -> float:
        """The longest life of all."""
        return max(self.lives.values())


@dataclass(frozen=True, slots=True)
class Beside:
    """Logins and round trips of one service without copies and while two run."""

    login_alone: Load
    noop_alone: Load
    login_beside: Load
    noop_beside: Load


@dataclass(slots=True)
class Figures:
    """Everything that was measured."""

    runs: dict[tuple[str, str, bool], list[Ran]] = field(default_factory=dict)
    """Lane, step, TLS -> what each round gave."""
    grown: dict[tuple[str, bool, int], list[float]] = field(default_factory=dict)
    """Lane, TLS, sessions -> KiB that each session added."""
    base: dict[str, list[float]] = field(default_factory=dict)
    """Lane -> MB (PSS) of the proxy without sessions."""
    strangers: list[Strangers] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Lane -> why it is left out."""

    def leave_out(self, lane: str, why: str) -> None:
        """Forget what a lane gave: its rounds would no longer stand beside the others'."""
        self.failed[lane] = why
        for key in [key for key in self.runs if key[0] == lane]:
            del self.runs[key]
        for grown in [key for key in self.grown if key[0] == lane]:
            del self.grown[grown]
        self.base.pop(lane, None)

    def lanes(self) -> list[str]:
        """Return the lanes that were measured, in the order in which they came."""
        return list(dict.fromkeys(key[0] for key in (*self.runs, *self.grown)))

    def cpu_of_thousand(self, lane: str, *, tls: bool) -> list[float]:
        """CPU seconds for 1,000 logins."""
        return [run.cpu / run.load.done * 1000 for run in self.runs.get((lane, LOGIN, tls), [])]

    def cpu_of_gigabyte(self, lane: str, *, tls: bool) -> list[float]:
        """CPU seconds for 1 GB."""
        return [run.cpu / run.load.octets * 1e9 for run in self.runs.get((lane, BULK, tls), [])]

    def megabytes(self, lane: str, *, tls: bool) -> list[float]:
        """MB a second of one stream."""
        return [run.load.octets / run.load.seconds / 1e6 for run in self.runs.get((lane, BULK, tls), [])]

    def rates(self, lane: str, *, tls: bool) -> list[float]:
        """Logins a second."""
        return [run.load.rate for run in self.runs.get((lane, LOGIN, tls), [])]

    def trips(self, lane: str, *, tls: bool, worst: bool = False) -> list[float]:
        """Microseconds of a NOOP: the middle one, or with `worst` the 99th of a hundred."""
        runs = self.runs.get((lane, NOOP, tls), [])
        return [(run.load.p99 if worst else run.load.p50) * 1e6 for run in runs]

    def busy(self, lanes: Sequence[str], step: str, *, tls: bool) -> float:
        """Return the most of a core that the generator used beside these lanes; medians of the rounds."""
        every = [[run.load.busy for run in self.runs.get((lane, step, tls), [])] for lane in lanes]
        return max((median(shares) for shares in every if shares), default=0.0)
