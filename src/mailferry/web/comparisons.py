"""Comparisons of accounts' two sides that go on behind the request that asked for them.

A comparison reads whole mailboxes, which takes seconds or hours. It is begun once, asked about as often
as somebody likes, and remembered for a while when it has ended. All of this is this process's own: its
comparisons end with it, and another process knows nothing of them. Their numbers are drawn by chance, so
that a number never means another comparison to another process, or to this one after a restart.

Only the loop that serves the pages touches these objects.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from mailferry.observe.system_clock import SystemClock, seconds_since_boot

AT_ONCE = 2
"""So many run at one time; they share this process with the pages."""
MOST_WAITING = 100
MOST_KEPT = 100
KEPT_SECONDS = 3600.0
"""How long one that ended is remembered at least, while there are fewer than `MOST_KEPT`."""
LONGEST_SECONDS = 6 * 3600.0
DIFFERENCES_TOLD = 1000
LARGEST_NUMBER = 2**53 - 1
"""JSON's numbers are exact up to here in every language."""

Sums = Callable[[], dict[str, Any]]
"""What was found so far."""


class ComparisonState(StrEnum):
    """How far a comparison is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class NotBegun(Exception):
    """There is no room for another one, or no time: the message says which."""


class OtherwiseAsked(Exception):
    """The account is compared already, with another share of its octets."""


class BrokenOff(Exception):
    """It was ended before its end; the message says by what."""


class TookTooLong(Exception):
    """It ran for `LONGEST_SECONDS`."""


@dataclass(slots=True, eq=False)
class Comparison:
    """One comparison. Moments are of the wall clock; `failure` says why there are no `sums` at the end."""

    number: int
    address: str
    share: float
    """Of how many messages the octets are compared, 0 to 1."""
    expected: int
    """Messages at the source, as the last pass of the copy counted them."""
    work: Work
    asked_at: float
    standing: ComparisonState = ComparisonState.WAITING
    began_at: float | None = None
    ended_at: float | None = None
    so_far: Sums | None = None
    sums: dict[str, Any] | None = None
    differences: list[dict[str, Any]] = field(default_factory=list)
    failure: BaseException | None = None
    why_ended: str = ""
    forgotten_at: float = 0.0
    task: asyncio.Task[dict[str, Any]] | None = None

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.standing in {ComparisonState.WAITING, ComparisonState.RUNNING}

    def tell(self, difference: dict[str, Any]) -> None:
        """Keep a difference, of the first ones."""
        if len(self.differences) < DIFFERENCES_TOLD:
            self.differences.append(difference)

    def watch(self, so_far: Sums) -> None:
        """Take the way to the sums as they are."""
        self.so_far = so_far


Work = Callable[[Comparison], Awaitable[dict[str, Any]]]
"""Compares, tells the comparison of what it finds, and returns the sums."""


class Comparisons:
    """All of this process; `number` draws one."""

    def __init__(
        self,
        *,
        number: Callable[[], int] = lambda: 1 + secrets.randbelow(LARGEST_NUMBER),
        seconds: Callable[[], float] = seconds_since_boot,
        now: Callable[[], float] = SystemClock().now,
    ) -> None:
        self._number = number
        self._seconds = seconds
        self._now = now
        self._known: dict[int, Comparison] = {}
        self._going: dict[str, Comparison] = {}
        self._waiting: deque[Comparison] = deque()
        self._running = 0
        self._stopped = False

    def begin(self, address: str, share: float, work: Work, *, expected: int = 0) -> Comparison:
        """Return the account's comparison, begun now or before; it runs when there is room.

        Raises NotBegun, and OtherwiseAsked while one with another share goes on.
        """
        going = self._going.get(address)
        if going is not None:
            if going.share != share:
                raise OtherwiseAsked
            return going
        if self._stopped:
            raise NotBegun("this process is about to end; ask again later")
        if len(self._waiting) >= MOST_WAITING:
            raise NotBegun("many accounts wait for their comparisons; ask again later")
        self._forget_old()
        made = Comparison(self._number(), address, share, expected, work, asked_at=self._now())
        self._known[made.number] = self._going[address] = made
        self._waiting.append(made)
        self._fill()
        return made

    def find(self, address: str, number: int) -> Comparison | None:
        """Return a comparison of that account that is known here."""
        self._forget_old()
        found = self._known.get(number)
        return found if found is not None and found.address == address else None

    def end(self, one: Comparison, why: str) -> None:
        """Break a comparison off, unless it has ended; one that runs leaves its hosts before anything else happens."""
        if not one.going:
            return
        one.why_ended = why
        if one.task is not None:
            one.task.cancel()
            return
        self._waiting.remove(one)
        self._close(one, BrokenOff(why))

    def stop(self) -> Sequence[asyncio.Task[Any]]:
        """Begin no more and break all off; return what is still to be waited for."""
        self._stopped = True
        going = list(self._going.values())
        for one in going:
            self.end(one, "the service process that compared ended; begin it again")
        return [one.task for one in going if one.task is not None]

    def _fill(self) -> None:
        while self._waiting and self._running < AT_ONCE:
            one = self._waiting.popleft()
            one.standing, one.began_at = ComparisonState.RUNNING, self._now()
            self._running += 1
            one.task = asyncio.get_running_loop().create_task(_bounded(one))
            one.task.add_done_callback(partial(self._ran, one))

    def _ran(self, one: Comparison, task: asyncio.Task[dict[str, Any]]) -> None:
        self._running -= 1
        if task.cancelled():
            self._close(one, BrokenOff(one.why_ended or "it was broken off"))
        elif (failure := task.exception()) is not None:
            self._close(one, failure)
        else:
            one.sums = task.result()
            self._close(one, None)
        if not self._stopped:
            self._fill()

    def _close(self, one: Comparison, failure: BaseException | None) -> None:
        one.standing = ComparisonState.DONE if failure is None else ComparisonState.FAILED
        one.failure = failure
        one.ended_at = self._now()
        one.forgotten_at = self._seconds() + KEPT_SECONDS
        one.so_far = None if one.so_far is None else _as_it_is(one.so_far())
        del self._going[one.address]

    def _forget_old(self) -> None:
        """Forget those that ended long ago, and the oldest of too many."""
        ended = [one for one in self._known.values() if not one.going]
        late = [one for one in ended if one.forgotten_at <= self._seconds()]
        spare = sorted(ended, key=lambda one: one.forgotten_at)[: max(0, len(ended) - MOST_KEPT)]
        for one in {*late, *spare}:
            del self._known[one.number]


async def _bounded(one: Comparison) -> dict[str, Any]:
    try:
        return await asyncio.wait_for(one.work(one), LONGEST_SECONDS)
    except TimeoutError:
        raise TookTooLong from None


def _as_it_is(sums: dict[str, Any]) -> Sums:
    return lambda: sums
