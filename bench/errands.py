"""Many small processes side by side, some of them killed at a moment drawn beforehand.

A *lane* is a generator: it yields what is to be done next and is resumed with how that ended. This
process only forks, waits and kills, so that no kill comes late because something else was at work.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

LONGEST_SECONDS = 120.0
"""An errand that takes longer hangs."""


class Hangs(RuntimeError):
    """A process did not come to its end."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Work for a process of its own."""

    what: str
    work: Callable[[Callable[[], None]], int]
    """Called in the child with what it calls when its real work begins; returns the exit status."""
    log: Path
    """Where the child's output is added."""
    kill_after: float | None = None
    """Seconds from the beginning of the real work to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How an errand ended."""

    pid: int
    code: int
    seconds: float
    """Since its real work began."""


Lane = Generator[Errand | Pause, Ended | None, None]


@dataclass(slots=True)
class _Running:
    lane: Lane
    errand: Errand
    pid: int
    pipe: int
    pidfd: int
    forked: float
    began: float | None = None
    kill_at: float | None = None


class Errands:
    """Runs lanes to their ends."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, _Running] = {}
        self._sleeping: list[tuple[float, Lane]] = []

    def run(self, lanes: Iterable[Lane]) -> None:
        """Return when every lane has ended; raises what a lane raises, or Hangs. No child is left."""
        try:
            for lane in lanes:
                self._go_on(lane, None)
            while self._running or self._sleeping:
                self._turn()
        finally:
            for running in list(self._running.values()):
                os.kill(running.pid, signal.SIGKILL)
                self._reap(running)
            self._selector.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            running = self._running.get(key.data)
            if running is None:
                continue
            if key.fd == running.pipe:
                self._begins(running)
            else:
                ended = self._reap(running)
                self._go_on(running.lane, ended)
        now = time.monotonic()
        for running in self._running.values():
            if running.kill_at is not None and running.kill_at <= now:
                os.kill(running.pid, signal.SIGKILL)
                running.kill_at = None
            elif now - running.forked > LONGEST_SECONDS:
                raise Hangs(f"{running.errand.what} hangs; see {running.errand.log}")
        due = [entry for entry in self._sleeping if entry[0] <= now]
        for entry in due:
            self._sleeping.remove(entry)
            self._go_on(entry[1], None)

    def _patience(self) -> float:
        kills = [running.kill_at for running in self._running.values() if running.kill_at is not None]
        times = [*kills, *(at for at, _ in self._sleeping)]
        return max(0.0, min([1.0, *(at - time.monotonic() for at in times)]))

    def _go_on(self, lane: Lane, ended: Ended | None) -> None:
        try:
            wish = next(lane) if ended is None else lane.send(ended)
        except StopIteration:
            return
        if isinstance(wish, Pause):
            self._sleeping.append((time.monotonic() + wish.seconds, lane))
        else:
            self._fork(lane, wish)

    def _fork(self, lane: Lane, errand: Errand) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _child(errand, writing)
        os.close(writing)
        pidfd = os.pidfd_open(pid)
        self._running[pid] = _Running(lane, errand, pid, reading, pidfd, time.monotonic())
        self._selector.register(reading, selectors.EVENT_READ, pid)
        self._selector.register(pidfd, selectors.EVENT_READ, pid)

    def _begins(self, running: _Running) -> None:
        self._selector.unregister(running.pipe)
        if os.read(running.pipe, 1):
            running.began = time.monotonic()
            if running.errand.kill_after is not None:
                running.kill_at = running.began + running.errand.kill_after

    def _reap(self, running: _Running) -> Ended:
        _, status = os.waitpid(running.pid, 0)
        del self._running[running.pid]
        for fd in (running.pipe, running.pidfd):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            os.close(fd)
        began = running.forked if running.began is None else running.began
        return Ended(running.pid, os.waitstatus_to_exitcode(status), time.monotonic() - began)


def _child(errand: Errand, writing: int) -> None:
    """Do the errand's work and leave this process; never returns."""
    status = 1
    try:
        with errand.log.open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)

        def begins() -> None:
            os.write(writing, b".")

        status = errand.work(begins)
    except BaseException:  # loop edge: a child never runs on into the parent's code
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
