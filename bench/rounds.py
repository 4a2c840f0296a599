"""One set, round after round: every copier does the same steps in each, another one first each time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.changes import Change, change
from bench.completeness import NotComplete, check_counts, check_octets
from bench.data_sets import DataSet, Mail, lay
from bench.mailferry_copy import Mailferry, MailferryCopy
from bench.measuring import Cost, RunFailed, server_cpu
from bench.peer import CopierKind, Job, Peer
from bench.servers import FULL, NO_FSYNC, SINGLE, Servers
from tests.kit import oracle

FIRST, UNCHANGED, CHANGED, PLAIN = "first copy", "no change", "1 % changed", "no change, plain source"
START_UP = "start-up"
QUICK_SECONDS = 1.0
"""A pass that is over sooner is run three times in a round."""
KINDS_OF = {
    "A": (FULL, SINGLE, NO_FSYNC),
    "B": (FULL, SINGLE),
    "C": (FULL, SINGLE, NO_FSYNC),
    "P": (FULL, SINGLE),
}
"""The targets that a set is copied to unless others are named."""

ROOM_FOR_COPIES = 20
"""While the disk has room for so many copies of the set, what a round made stays until the set ends: for minutes
after thousands of files were removed, ext4 without a journal searches long for a new file's inode
(`recently_deleted`), and the copier that comes next would pay for it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of one copier took, on its own side and at both servers."""

    cost: Cost
    source_cpu: float
    target_cpu: float


@dataclass(slots=True)
class Figures:
    """Everything that was measured of one set."""

    data_set: DataSet
    octets: int
    """Of the set, as they are sent."""
    runs: dict[tuple[str, str, str], list[Taken]] = field(default_factory=dict)
    """Target kind, copier, step -> what each run took."""
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    """Target kind, copier -> why it is left out there."""

    def add(self, kind: str, copier: str, step: str, taken: Taken) -> None:
        """Keep one run."""
        self.runs.setdefault((kind, copier, step), []).append(taken)

    def leave_out(self, kind: str, copier: str, why: str) -> None:
        """Forget a copier's runs at a kind of target: figures of half a copy say nothing."""
        self.failed[kind, copier] = why
        for key in [key for key in self.runs if key[:2] == (kind, copier)]:
            del self.runs[key]


@dataclass(slots=True)
class _Turn:
    """One copier's job of one round."""

    copier: CopierKind
    job: Job
    peer: Peer


class SetRounds:
    """Runs the rounds of one set."""

    def __init__(self, servers: Servers, data_set: DataSet, copiers: Sequence[CopierKind], say: Say) -> None:
        self._servers = servers
        self._set = data_set
        self._copiers = [copier for copier in copiers if data_set.protocol in copier.protocols]
        self._say = say
        self._user = f"set-{data_set.name.lower()}@bench.test"
        self._folder = Path(tempfile.mkdtemp(prefix="bench-jobs-"))
        self._mail = Mail(data_set)
        self._made: list[Path] = []
        self._at_source: oracle.Mail | None = None
        """What Dovecot's own tool read of the source; kept while nothing changes there."""
        say(f"set {data_set.name}: laying {data_set.words()}")
        lay(data_set, servers.source, self._user)
        self.figures = Figures(data_set, _octets(servers.source.home(self._user)))

    def close(self) -> None:
        """Remove the mail of the set, its copies and the copiers' files."""
        for folder in (self._folder, self._servers.source.home(self._user), *self._made):
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, rounds: int, kinds: Sequence[str] | None = None) -> Figures:
        """Run so many rounds over the kinds of targets; the last compares octets, too.

        Raises NotComplete, RunFailed when mailferry fails; another copier that does is left out.
        """
        for number in range(rounds):
            first = number % len(self._copiers)
            order = [*self._copiers[first:], *self._copiers[:first]]
            for kind in kinds or KINDS_OF[self._set.name]:
                self._round(number, order, kind, last=number == rounds - 1)
        return self.figures

    def _round(self, number: int, order: Sequence[CopierKind], kind: str, *, last: bool) -> None:
        turns: list[_Turn] = []
        again = kind == FULL
        try:
            for copier in order:
                if (again or copier.asks_target) and (kind, copier.name) not in self.figures.failed:
                    turn = self._begin(number, copier, kind)
                    turns.append(turn)
                    self._try(kind, turn, FIRST)
                    if again and self._set.protocol in copier.repeats:
                        self._try(kind, turn, UNCHANGED)
            if again and self._set.protocol == "imap":
                amount = Change.one_percent(self._set)
                change(self._servers.source, self._user, self._mail, amount, number)
                self._at_source = None
                for turn in turns:
                    self._try(kind, turn, CHANGED)
                    self._plain_source(kind, turn)
            for turn in turns if last else []:
                self._check_octets(kind, turn)
        finally:
            for turn in turns:
                turn.peer.finish()
                self._made.append(turn.job.target.home(turn.job.target_user))
            self._make_room()

    def _make_room(self) -> None:
        home = self._servers.source.home(self._user)
        while self._made and shutil.disk_usage(home).free < ROOM_FOR_COPIES * self.figures.octets:
            shutil.rmtree(self._made.pop(0), ignore_errors=True)

    def _begin(self, number: int, copier: CopierKind, kind: str) -> _Turn:
        server = self._servers.target(kind)
        user = f"{copier.name}-{self._set.name.lower()}-{number}@bench.test"
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        job = Job(self._servers.source, self._user, server, user, self._set.protocol, folder)
        turn = _Turn(copier, job, copier.prepare(job))
        if isinstance(turn.peer, MailferryCopy):
            self.figures.add(kind, copier.name, START_UP, Taken(turn.peer.start_up, 0.0, 0.0))
        return turn

    def _plain_source(self, kind: str, turn: _Turn) -> None:
        """Ours alone can tell what a source without extensions costs: the others use none for this."""
        if not isinstance(turn.peer, MailferryCopy):
            return
        plain = self._servers.plain_source()
        turn.peer.read_from(plain)
        turn.job = replace(turn.job, source=plain)
        turn.peer.run()  # only from the second pass on nothing has changed, the server least of all
        self._try(kind, turn, PLAIN)

    def _try(self, kind: str, turn: _Turn, step: str) -> None:
        name = turn.copier.name
        if (kind, name) in self.figures.failed:
            return
        try:
            taken = self._step(kind, turn, step)
            if step in {UNCHANGED, PLAIN} and taken.cost.seconds < QUICK_SECONDS:
                self._step(kind, turn, step)
                self._step(kind, turn, step)
        except (RunFailed, NotComplete) as error:
            self._give_up(kind, name, error)

    def _step(self, kind: str, turn: _Turn, step: str) -> Taken:
        name, source, target = turn.copier.name, turn.job.source, turn.job.target
        before = server_cpu(source.pid), server_cpu(target.pid)
        cost = turn.peer.run()
        taken = Taken(cost, server_cpu(source.pid) - before[0], server_cpu(target.pid) - before[1])
        self.figures.add(kind, name, step, taken)
        self._say(
            f"  {kind}: {name}: {step}: {cost.seconds:.3f} s, CPU {cost.cpu:.2f} s "
            f"(source {taken.source_cpu:.2f}, target {taken.target_cpu:.2f}), peak {cost.peak / 1e6:.0f} MB"
        )
        there = self._servers.source.home(turn.job.source_user)
        check_counts(f"{name}, {step}", there, target.home(turn.job.target_user))
        return taken

    def _check_octets(self, kind: str, turn: _Turn) -> None:
        name, job = turn.copier.name, turn.job
        if not turn.peer.keeps_octets or (kind, name) in self.figures.failed:
            return
        marks = self._set.protocol == "imap"  # POP3 has neither flags nor dates
        try:
            if self._at_source is None:
                self._at_source = oracle.read(self._servers.source, job.source_user)
            check_octets(name, self._at_source, (job.target, job.target_user), marks=marks)
        except NotComplete as error:
            self._give_up(kind, name, error)

    def _give_up(self, kind: str, name: str, error: Exception) -> None:
        """Leave the copier out at this target; the bench of a faulty mailferry is over."""
        if name == Mailferry.name:
            raise error
        self._say(f"  {kind}: {name} failed: {error}")
        self.figures.leave_out(kind, name, " ".join(str(error).split())[-300:])


def _octets(home: Path) -> int:
    """Return the size of all messages as they are sent, by the names of their files."""
    names = (path.name for path in home.rglob("*,W=*"))
    return sum(int(name.partition(",W=")[2].partition(":")[0]) for name in names)
