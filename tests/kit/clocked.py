"""Time that a test moves, around sockets and threads that are real.

    with WorldTime() as time:
        ...                                   # roles are built with time.reactor and time.times
        await time.advance(60)                # from timer to timer, everybody finishes in between
        await time.advance(86400, step=3600)  # in leaps: timers fire once a leap
        await time.until(lambda: account.phase is Phase.SWITCHED, within=90)
        admission = await time.run(gate.admit(attempt), within=30)

The reactor's time, the wall clock and the store's are one, and so is the process's clock since boot but
for leaps: they stand for a time in which all went well, not for a machine that slept. Nothing sleeps: between two steps the reactor turns until no thread works, no socket of this process has
anything to read or to send, no server outside owes an answer (`tests/kit/outside.py`), and nobody is
due. What would never come to rest meets the test's own
deadline, which is on the real clock.
"""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool

from mailferry.app.times import Times
from tests.kit.outside import Outside

T = TypeVar("T")

BEGINNING = 1_790_000_000.0
"""The moment at which every world begins; whoever confuses two clocks is off by decades."""
LEAP_COUNTS = 30.0
"""What the clock since boot sees of a leap: less than anybody may be silent."""
ANSWER_PAUSE = 0.001
"""Between two looks whether a real server has answered, on the real clock."""
STILL_TURNS = 2
"""Turns of the reactor in a row without anything to do."""


class ClockedReactor:
    """The reactor with another time: what is asked of it beside time goes to the real one."""

    def __init__(self, real: Any, clock: task.Clock) -> None:
        self._real = real
        self.callLater = clock.callLater
        self.getDelayedCalls = clock.getDelayedCalls
        self.seconds = clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Threads:
    """Counts what the threads of all pools were given and have not handed back to the reactor yet."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._original = ThreadPool.callInThreadWithCallback
        self._waiting: list[Deferred[None]] = []
        self.working = 0

    def begin(self) -> None:
        watch, original = self, self._original

        def give(pool: ThreadPool, tell: Any, work: Any, *arguments: Any, **named: Any) -> None:
            if tell is None or pool.joined:
                original(pool, tell, work, *arguments, **named)
                return
            watch.working += 1

            def told(*result: Any) -> None:
                tell(*result)
                watch._real.callFromThread(watch._handed_back)

            original(pool, told, work, *arguments, **named)

        ThreadPool.callInThreadWithCallback = give  # type: ignore[method-assign]

    def end(self) -> None:
        ThreadPool.callInThreadWithCallback = self._original  # type: ignore[method-assign]

    async def next_result(self) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    def _handed_back(self) -> None:
        self.working -= 1
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


class WorldTime:
    """One time for everything in a test; a context manager."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        self._real: Any = reactor
        self._clock = task.Clock()
        self._threads = _Threads(reactor)
        self._moving = False
        self._leapt = 0.0
        self.reactor = ClockedReactor(reactor, self._clock)
        self.times = Times(wall=self, since_boot=lambda: self._clock.seconds() - self._leapt, store=self.now)
        self.outside: list[Outside] = []
        """Servers on the real clock; while one owes an answer no time passes."""

    def __enter__(self) -> Self:
        self._threads.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.end()

    def now(self) -> float:
        """Return the seconds since 1970 (`model.clock.Clock`)."""
        return BEGINNING + self._clock.seconds()

    @property
    def seconds(self) -> float:
        """What has passed since the beginning."""
        return self._clock.seconds()

    @property
    def left_behind(self) -> list[Any]:
        """Timers that nobody stopped."""
        return [call for call in self._clock.getDelayedCalls() if call.active()]

    # --- moving it

    async def advance(self, seconds: float, *, step: float | None = None) -> None:
        """Let `seconds` pass."""
        await self._go(self.seconds + seconds, step, lambda: False)

    async def until(self, condition: Callable[[], Any], *, within: float, step: float | None = None) -> float:
        """Let time pass until `condition` is true and return how much it was; fails after `within` seconds."""
        began = self.seconds
        await self._go(began + within, step, condition)
        assert condition(), f"not within {within:g} s"
        return self.seconds - began

    async def run(self, work: Awaitable[T], *, within: float = 120.0) -> T:
        """Let time pass until `work` is done and return its result."""
        results: list[T] = []

        async def kept() -> None:
            results.append(await work)  # not the Deferred's own: a result may be a Failure

        done = Deferred.fromCoroutine(kept())
        await self._go(self.seconds + within, None, lambda: done.called)
        assert done.called, f"not done within {within:g} s"
        await done
        return results[0]

    async def settle(self) -> None:
        """Let everybody do what is to be done at this moment."""
        still = 0
        while still < STILL_TURNS:
            if self._threads.working:
                await self._threads.next_result()
                still = 0
                continue
            await task.deferLater(self._real, 0 if self._outside_rests() else ANSWER_PAUSE)
            self._clock.advance(0)
            still = still + 1 if self._nothing_to_do() else 0

    async def _go(self, end: float, step: float | None, condition: Callable[[], Any]) -> None:
        assert not self._moving, "somebody else moves this time"
        self._moving = True
        try:
            await self.settle()
            while not condition() and self.seconds < end:
                # set, not added to: a remainder of a float would never reach the moment
                moment = self._next_moment(end, step)
                if step is not None:
                    self._leapt += max(0.0, moment - self.seconds - LEAP_COUNTS)
                self._clock.rightNow = moment
                self._clock.advance(0)
                await self.settle()
        finally:
            self._moving = False

    def _next_moment(self, end: float, step: float | None) -> float:
        if step is not None:
            return min(end, self.seconds + step)
        return min((end, *(call.getTime() for call in self.left_behind)))

    # --- rest

    def _outside_rests(self) -> bool:
        return all(server.rests for server in self.outside)

    def _nothing_to_do(self) -> bool:
        if self._threads.working or self._real.threadCallQueue or not self._outside_rests():
            return False
        if any(call.getTime() <= self.seconds for call in self.left_behind):
            return False
        if any(call.getTime() <= self._real.seconds() for call in self._real.getDelayedCalls()):
            return False
        poll = select.poll()
        wanted: dict[int, int] = {}
        for flag, sockets in (
            (select.POLLIN, self._real.getReaders()),
            (select.POLLOUT, self._real.getWriters()),
        ):
            for one in sockets:
                wanted[one.fileno()] = wanted.get(one.fileno(), 0) | flag
        for descriptor, flags in wanted.items():
            if descriptor >= 0:
                poll.register(descriptor, flags)
        return not poll.poll(0)
