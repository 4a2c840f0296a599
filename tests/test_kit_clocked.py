"""The kit's own time: it stands still unless a test moves it, and everybody finishes before it moves on."""

from __future__ import annotations

import time as machine

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from tests.kit.clocked import WorldTime
from tests.kit.scripted import REC, Talk, dial, hang_up


async def test_time_stands_still_unless_it_is_moved() -> None:
    with WorldTime() as time:
        called: list[float] = []
        time.reactor.callLater(10, lambda: called.append(time.seconds))
        await time.settle()
        await time.advance(9.5)
        assert called == []
        await time.advance(1)
        assert called == [10.0]
        assert (time.seconds, time.times.since_boot()) == (10.5, 10.5)
        assert time.times.store is not None
        assert time.times.store() == time.now() == time.times.wall.now()


async def test_timers_that_set_timers_fire_in_order_at_their_own_moments() -> None:
    with WorldTime() as time:
        seen: list[float] = []
        loop = task.LoopingCall(lambda: seen.append(time.seconds))
        loop.clock = time.reactor
        loop.start(0.7, now=False)
        await time.advance(2.5)
        assert seen == pytest.approx([0.7, 1.4, 2.1])
        await time.advance(10, step=10)
        assert len(seen) == 4, "once in a leap"
        loop.stop()
        assert not time.left_behind


async def test_time_does_not_move_while_a_thread_works() -> None:
    with WorldTime() as time:
        pool = ThreadPool(0, 2)
        pool.start()
        ended: list[float] = []

        def begin() -> None:
            done = deferToThreadPool(time.reactor, pool, machine.sleep, 0.2)
            done.addCallback(lambda _: ended.append(time.seconds))

        time.reactor.callLater(5, begin)
        await time.advance(3600)
        assert ended == [5.0]
        pool.stop()


async def test_time_does_not_move_while_octets_are_on_their_way() -> None:
    answered: list[float] = []

    async def echo(talk: Talk) -> None:
        for _ in range(50):
            talk.send(await talk.line() + b"\r\n")

    peer = await REC(echo).start()
    talk = await dial(peer.port)
    with WorldTime() as time:

        async def ask() -> None:
            for _ in range(50):
                talk.send(b"ping\r\n")
                await talk.line()
            answered.append(time.seconds)

        asking: list[Deferred[None]] = []
        time.reactor.callLater(7, lambda: asking.append(Deferred.fromCoroutine(ask())))
        await time.advance(100, step=7)
        assert answered == [7.0]
        await asking[0]
    await hang_up(talk)
    await peer.stop()


async def test_waiting_ends_at_the_moment_or_fails_when_it_never_comes() -> None:
    with WorldTime() as time:
        done: Deferred[str] = Deferred()
        time.reactor.callLater(3, done.callback, "well")
        assert await time.until(lambda: done.called, within=10) == 3
        assert await time.run(done) == "well"
        with pytest.raises(AssertionError, match="not within 5 s"):
            await time.until(lambda: False, within=5)
        assert time.seconds == 8
