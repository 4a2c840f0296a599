"""The parent of `mailferry serve`: binds sockets, forks workers, watches them, ends them.

It never installs a reactor, opens the store or speaks a mail protocol; so there is little in it
that could die. Workers meet only in the store: each dies and is replaced alone. What a dead worker
left in the store (session rows, leases) is voided by a short-lived child before its job starts again.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mailferry.app.children import Child, Job, Restart, RestartHistory, fork_child, hangs, hear
from mailferry.app.service_notify import notify, watchdog_interval

VOID_AGAIN_SECONDS = 10.0
"""How long after a failure what a dead worker left in the store is voided again."""

KILL_MARGIN_SECONDS = 5.0
"""Workers that have not ended so long after their drain's end are killed."""


class Log(Protocol):
    """The two calls that the parent makes of a structured logger."""

    def info(self, event: str, **facts: object) -> object:
        """Write one line."""
        ...

    def error(self, event: str, **facts: object) -> object:
        """Write one line that somebody should read."""
        ...


class Parent:
    """Runs `jobs` until a signal ends it.

    `after_death` is called in a child of its own with the process id of a dead worker, to void what
    that one left in the store, and again while that child fails; `on_ready` once, when every worker serves;
    `on_stopping` once, when the workers were told to end, and from then on `on_ended` with the role of each
    that has.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        log: Log,
        after_death: Callable[[int], None],
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None] = lambda: None,
        on_ended: Callable[[str], None] = lambda _role: None,
        drain_seconds: float = 30.0,
    ) -> None:
        self._jobs = jobs
        self._log = log
        self._after_death = after_death
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._on_ended = on_ended
        self._drain_seconds = drain_seconds
        self._children: dict[int, Child] = {}
        self._restarts: list[Restart] = []
        self._not_voided: dict[int, float] = {}
        self._history = RestartHistory()
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        """Those that came and were not obeyed yet: a handler runs in the midst of anything, a log's line or a fork."""
        self._on_terminal = False
        self._stopping_since: float | None = None
        self._was_ready = False
        self._next_watchdog = 0.0

    def run(self) -> int:
        """Fork all workers and watch them; return the exit status when all have ended."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._on_terminal = os.isatty(0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda number, _frame: self._signals.append(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        gc.collect()  # or each worker's first full collection would clear Python's free lists, all over these pages
        gc.freeze()  # pages of what is imported stay shared with the workers
        for job in self._jobs:
            self._start(job)
        while self._children or (self._restarts and self._stopping_since is None):
            for key, _ in self._selector.select(timeout=0.5):
                if key.data is None:
                    os.read(wake_read, 4096)
                else:
                    hear(key.data, time.monotonic())
            self._obey_signals()
            self._tick(time.monotonic())
        return 0

    def _start(self, job: Job) -> None:
        child = fork_child(job)
        self._children[child.pid] = child
        self._selector.register(child.pipe, selectors.EVENT_READ, child)
        self._log.info("worker started", worker=job.role, number=job.number, pid=child.pid)

    def _obey_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP and not self._on_terminal:
                self._on_hangup()
            elif self._stopping_since is None:
                self._stop(number)

    def _stop(self, number: int) -> None:
        self._stopping_since = time.monotonic()
        notify("STOPPING=1")
        self._log.info(
            "stopping", signal=signal.Signals(number).name, sessions_get_seconds=self._drain_seconds
        )
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        self._on_stopping()

    def _on_hangup(self) -> None:
        """Tell who expects this signal to read files again; on a terminal it ends the service with it."""
        self._log.info(
            "SIGHUP changes nothing: certificates are read again by themselves, the configuration by a restart"
        )

    def _tick(self, now: float) -> None:
        self._reap(now)
        if self._stopping_since is not None:
            if now - self._stopping_since > self._drain_seconds + KILL_MARGIN_SECONDS:
                for pid in self._children:
                    os.kill(pid, signal.SIGKILL)
            return
        for child in self._children.values():
            if hangs(child, now):
                self._log.error("worker hangs and is ended", worker=child.job.role, pid=child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.heard = now
        for dead in [pid for pid, due in self._not_voided.items() if due <= now]:
            self._void(dead)
        for waiting in [w for w in self._restarts if w.due <= now]:
            self._restarts.remove(waiting)
            self._start(waiting.job)
        self._tell_readiness(now)

    def _reap(self, now: float) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue  # a short-lived child of _void
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            self._void(pid)
            if self._stopping_since is not None:
                self._on_ended(child.job.role)
                continue
            pause = self._history.pause_after(child, now)
            code = os.waitstatus_to_exitcode(status)
            self._log.error(
                "worker died and is replaced",
                worker=child.job.role,
                number=child.job.number,
                pid=pid,
                exit_status=code,
                in_seconds=pause,
            )
            self._restarts.append(Restart(child.job, now + pause))

    def _void(self, dead: int) -> None:
        """Free what the dead worker held, in a child, before anybody takes its place."""

        def void(_pipe: int) -> None:
            self._after_death(dead)

        self._not_voided.pop(dead, None)
        if dead in self._children:
            return  # its number is a living worker's again; the next start voids the rest
        helper = fork_child(Job("void", 0, void))
        os.close(helper.pipe)
        _, status = os.waitpid(helper.pid, 0)
        if status != 0:
            self._not_voided[dead] = time.monotonic() + VOID_AGAIN_SECONDS

    def _tell_readiness(self, now: float) -> None:
        if not self._was_ready and all(c.ready for c in self._children.values()) and not self._restarts:
            self._was_ready = True
            notify("READY=1")
            self._on_ready()
        interval = watchdog_interval()
        if interval is not None and self._was_ready and now >= self._next_watchdog:
            self._next_watchdog = now + interval
            notify("WATCHDOG=1")
