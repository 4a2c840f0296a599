"""What every worker does the same: its reactor, its log, its heartbeat, its orderly end.

A worker starts in a forked child, so the reactor is installed here and nowhere earlier. SIGTERM
asks the role to drain; when that is done, or `drain_seconds` and a little are over, the process ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet import defer, task
from twisted.python.failure import Failure

from mailferry.app.times import Times
from mailferry.config.settings import Settings
from mailferry.observe.log import Log, configure_log, get_log
from mailferry.observe.metrics_dir import reserve_for_this_process

HEARTBEAT_SECONDS = 1.0
YOUNG_OBJECTS = 5_000
"""How many objects are made before Python looks for cycles among them; each login makes and drops a thousand."""


class Role(Protocol):
    """One role's work in a worker process."""

    async def start(self) -> None:
        """Begin to serve; returns when it does. Raises CannotStart with one clear line."""
        ...

    async def drain(self) -> None:
        """Take nothing new and end what runs; cancelled when the time is over."""
        ...


class CannotStart(Exception):
    """A role that cannot serve; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a role is given to build itself from."""

    settings: Settings
    reactor: Any
    log: Log
    number: int
    leave: Callable[[str], None]
    """Ends this worker at once, with the reason for the log; the parent starts another."""
    times: Times = field(default_factory=Times)


def install_reactor(*, asyncio: bool) -> Any:
    """Install the reactor of this process: epoll where there is one, asyncio for the web role."""
    if asyncio:
        from twisted.internet import asyncioreactor

        asyncioreactor.install()
    else:
        with contextlib.suppress(ImportError):
            from mailferry.net import quick_epoll

            quick_epoll.install()
    from twisted.internet import reactor

    return reactor


def run_worker(
    role_name: str,
    number: int,
    settings: Settings,
    pipe: int,
    build: Callable[[WorkerContext], Role],
    *,
    asyncio: bool = False,
) -> None:
    """Run one role until it is told to stop; called in the child."""
    configure_log(settings.log.format, settings.log.level, role=role_name, address_key=address_key(settings))
    log = get_log(role_name)
    try:
        reserve_for_this_process(os.getppid())
    except OSError as error:
        log.error("cannot start", why=f"{error.filename}: {error.strerror}")
        sys.exit(1)
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    reactor = install_reactor(asyncio=asyncio)
    ending = _Ending(reactor, settings.service.drain_seconds, log)
    context = WorkerContext(settings, reactor, log, number, ending.leave)

    def begin() -> None:
        defer.ensureDeferred(_start(build, context, ending, pipe))

    reactor.callLater(0, begin)  # asyncio's loop runs only after the reactor's start
    reactor.run(installSignalHandlers=False)
    sys.exit(ending.status)


async def _start(
    build: Callable[[WorkerContext], Role], context: WorkerContext, ending: _Ending, pipe: int
) -> None:
    try:
        role = build(context)
        ending.role = role
        ending.listen_for_signals()
        await role.start()
    except Exception as error:  # loop edge: a role that cannot start ends its process with one line
        context.log.error("cannot start", why=str(error) or type(error).__name__, exc_info=_unforeseen(error))
        ending.leave("cannot start")
        return
    os.set_blocking(pipe, False)
    task.LoopingCall(_beat, pipe, context).start(HEARTBEAT_SECONDS)


def _unforeseen(error: Exception) -> Exception | None:
    from mailferry.store.faults import StoreUnavailable

    return None if isinstance(error, CannotStart | StoreUnavailable) else error


def _beat(pipe: int, context: WorkerContext) -> None:
    try:
        os.write(pipe, b".")
    except BlockingIOError:
        pass
    except OSError:
        context.leave("the parent is gone")


FAREWELL_SECONDS = 3.0
"""What a role has after its last session's time, to leave the store in order; the parent's patience is longer."""


class _Ending:
    """The end of one worker: asked for by a signal or by the worker itself."""

    def __init__(self, reactor: Any, drain_seconds: float, log: Log) -> None:
        self._reactor = reactor
        self._drain_seconds = drain_seconds
        self._log = log
        self._begun = False
        self.role: Role | None = None
        self.status = 0

    def listen_for_signals(self) -> None:
        """Take SIGTERM and SIGINT from now on; SIGINT of a terminal reaches the parent as well."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._drain))

    def leave(self, why: str) -> None:
        """End the process at once with a failure status."""
        if not self._begun:
            self._log.error("worker leaves", why=why)
        self._begun = True
        self.status = 1
        self._stop()

    def _drain(self) -> None:
        if self._begun or self.role is None:
            return
        self._begun = True
        draining = defer.ensureDeferred(_coroutine(self.role.drain()))
        draining.addTimeout(self._drain_seconds + FAREWELL_SECONDS, self._reactor)
        draining.addErrback(self._drain_failed)
        draining.addBoth(lambda _: self._stop())

    def _drain_failed(self, failure: Failure) -> None:
        if failure.check(defer.TimeoutError, defer.CancelledError) is None:
            self._log.error("drain failed", why=failure.getErrorMessage())

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()
        else:
            self._reactor.callWhenRunning(self._reactor.stop)


async def _coroutine(awaited: Awaitable[None]) -> None:
    await awaited


def address_key(settings: Settings) -> bytes | None:
    """Return the lasting key of the hashes that stand for addresses in logs, when it was made."""
    path = settings.service.state_dir / "log.key"
    return path.read_bytes() if path.is_file() else None
