"""The connections of one pass: some pairs, each working on one mailbox after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred

from mailferry.copying.desk import Run, Stopped
from mailferry.copying.mailbox_refusals import CannotOpen, refused
from mailferry.copying.preparing import MailboxJob
from mailferry.copying.results import MailboxFailure
from mailferry.copying.sides import Pair, open_pair
from mailferry.model.causes import Cause, Refused, RemoteFailure, Unavailable
from mailferry.plan.mailbox_mapping import INBOX

Step = Callable[[Pair, MailboxJob], Awaitable[None]]

USUAL = 2
"""Pairs that are opened for any two mailboxes."""
WORTH_A_PAIR = 250
"""Messages to come for which one more is opened."""

_RECONNECTS = frozenset({Cause.SERVER_DOWN, Cause.TARGET_DOWN, Cause.PROTOCOL_ERROR})
"""A session that broke is replaced; a server that throttles is left alone until the next pass."""
_ENDS_PASS = frozenset({Cause.TARGET_OVER_QUOTA, Cause.UIDVALIDITY_EQUAL})


class Pairs:
    """Opens pairs as they are needed, keeps them over the rounds of a pass, replaces those that broke."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._all: set[Pair] = set()
        self._idle: list[Pair] = []
        self._opening: set[Deferred[Pair]] = set()
        self._queue: deque[MailboxJob] = deque()
        self._refused: set[bytes] = set()
        run.at_cut_off(self._close)

    async def one(self) -> Pair:
        """Return a pair that stands; give it back with `rest`. Raises Refused, Unavailable or Stopped."""
        while self._idle:
            pair = self._idle.pop()
            if pair.usable:
                return pair
            self._drop(pair)
        return await self._open()

    def rest(self, pair: Pair) -> None:
        """Keep a pair for whoever needs one next."""
        self._idle.append(pair)

    async def leave(self) -> None:
        """Say goodbye on all of them."""
        for leaving in [ensureDeferred(pair.leave()) for pair in self._all]:
            await leaving

    async def round(self, jobs: Iterable[MailboxJob], step: Step) -> None:
        """Take this step with each mailbox, several at a time: INBOX first, then what has most to copy.

        Raises what ends the pass. A mailbox that fails does not stop the others. One that the source
        refuses to open is asked for again behind all others before that counts.
        """
        self._queue.extend(sorted(jobs, key=self._turn))
        self._refused.clear()
        hands = self._hands()
        failures: list[BaseException] = []

        async def hand(number: int) -> None:
            try:
                await self._work(step, needed=number == 0)
            except Stopped:
                pass
            except Exception as failure:  # loop edge: whatever it is, the other hands must stop first
                failures.append(failure)
                self._run.stop()

        await DeferredList([ensureDeferred(hand(number)) for number in range(hands)])
        self._queue.clear()
        if failures:
            raise failures[0]
        self._run.check()

    async def _work(self, step: Step, *, needed: bool) -> None:
        """Work on mailboxes until none is left. A further pair that cannot be opened is done without."""
        try:
            pair = await self.one()
        except RemoteFailure:
            if needed:
                raise
            return
        while self._queue and not self._run.stopped:
            pair = await self._step(step, pair, self._queue.popleft())
        self.rest(pair)

    async def _step(self, step: Step, pair: Pair, job: MailboxJob) -> Pair:
        """Take the step with one mailbox over lost connections; return the pair that stands then."""
        run, work = self._run, self._run.work(job.source_name)
        lost = 0
        while True:
            before = run.result.copied
            try:
                if not pair.usable:
                    self._drop(pair)
                    pair = await self._open()
                await step(pair, job)
                return pair
            except Unavailable as failure:
                work.connection_lost()
                lost = 1 if run.result.copied > before else lost + 1
                if failure.cause not in _RECONNECTS or lost > run.desk.limits.lost_connections:
                    raise
                run.check()
                self._drop(pair)
            except CannotOpen as failure:
                if job.source_name in self._refused:
                    await refused(run, pair, job, failure)
                else:
                    self._refused.add(job.source_name)
                    self._queue.append(job)
                return pair
            except Refused as failure:
                if failure.cause in _ENDS_PASS:
                    raise
                run.result.failures.append(MailboxFailure(job.source_name, failure.cause, failure.text))
                return pair

    async def _open(self) -> Pair:
        self._run.check()
        opening = ensureDeferred(open_pair(self._run.desk.endpoints))
        self._opening.add(opening)
        try:
            pair = await opening
        except CancelledError as error:
            raise Stopped from error
        finally:
            self._opening.discard(opening)
        self._all.add(pair)
        return pair

    def _to_come(self, job: MailboxJob) -> int:
        return self._run.work(job.source_name).remaining

    def _turn(self, job: MailboxJob) -> tuple[bool, int]:
        """The largest go early, so that all pairs end at about the same time."""
        return job.source_name.upper() != INBOX, -self._to_come(job)

    def _hands(self) -> int:
        """Return how many pairs shall work side by side: a third is worth its logins only if much is to come."""
        worth = USUAL + sum(map(self._to_come, self._queue)) // WORTH_A_PAIR
        return min(self._run.desk.limits.connections, worth, len(self._queue))

    def _drop(self, pair: Pair) -> None:
        pair.close()
        self._all.discard(pair)

    def _close(self) -> None:
        """Close what is open, and open no more."""
        for opening in list(self._opening):
            opening.cancel()
        for pair in list(self._all):
            self._drop(pair)
