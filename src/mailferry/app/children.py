"""Worker processes as the parent sees them: forked, heard, ended, replaced.

A child writes an octet to its pipe when it serves and one each second after that. Silence for
`SILENCE_SECONDS` means it hangs: it is killed and replaced, as is one that died.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SILENCE_SECONDS = 60.0
START_SECONDS = 60.0
RESTART_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""A worker that lived so long starts the row of restart pauses anew."""

_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Job:
    """What a child does: its role's name, its number among its like, and the function it runs."""

    role: str
    number: int
    run: Callable[[int], None]
    """Called in the child with the descriptor of its heartbeat pipe; never returns to the parent's code."""


@dataclass(slots=True)
class Child:
    """One running worker."""

    job: Job
    pid: int
    pipe: int
    started: float
    heard: float
    ready: bool = False


@dataclass(slots=True)
class Restart:
    """A job that waits for its next start."""

    job: Job
    due: float


@dataclass(slots=True)
class RestartHistory:
    """How often a job died in a row."""

    deaths: dict[tuple[str, int], int] = field(default_factory=dict)

    def pause_after(self, child: Child, now: float) -> float:
        """Return the seconds to wait before the child's job starts again."""
        key = (child.job.role, child.job.number)
        steady = child.ready and now - child.started >= STEADY_SECONDS
        count = 0 if steady else self.deaths.get(key, 0)
        self.deaths[key] = count + 1
        return RESTART_PAUSES[min(count, len(RESTART_PAUSES) - 1)]


def fork_child(job: Job) -> Child:
    """Start a worker for `job`; the child ends when the parent does."""
    reading, writing = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    # a signal that the child gets before it has handlers of its own would be lost in its copy of ours
    as_before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            _die_with(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, as_before)
            job.run(writing)
            status = 0
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:  # loop edge: a child never runs on into the parent's code
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    signal.pthread_sigmask(signal.SIG_SETMASK, as_before)
    os.close(writing)
    os.set_blocking(reading, False)
    now = time.monotonic()
    return Child(job, pid, reading, started=now, heard=now)


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the heartbeat's end tells)."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # a closed terminal tells everybody; the parent says what follows
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def hear(child: Child, now: float) -> None:
    """Take the octets that the child wrote to its pipe."""
    try:
        octets = os.read(child.pipe, 4096)
    except BlockingIOError:
        return
    if octets:
        child.heard = now
        child.ready = True


def hangs(child: Child, now: float) -> bool:
    """Whether the child was silent for too long."""
    return now - child.heard > (SILENCE_SECONDS if child.ready else START_SECONDS)
