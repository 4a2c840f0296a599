"""A server that asks for less haste gets it, command by command."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from mailferry.remote.throttle import LONGEST_SECONDS, Throttle
from tests.remote.sessions import answering, imap


def test_the_pause_doubles_while_the_server_asks_and_ends_when_it_asks_no_more() -> None:
    clock = Clock()
    gone: list[float] = []
    throttle = Throttle(clock, lambda: gone.append(clock.seconds()))
    pauses = []
    for _ in range(12):
        began = clock.seconds()
        throttle.answered(throttled=True)
        assert throttle.held
        clock.pump([0.01] * 2000)
        assert not throttle.held
        pauses.append(round(gone[-1] - began, 1))
    assert pauses[:5] == [0.1, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [LONGEST_SECONDS, LONGEST_SECONDS]
    throttle.answered(throttled=False)
    assert not throttle.held
    throttle.answered(throttled=True)
    clock.advance(0.06)
    assert not throttle.held
    throttle.answered(throttled=True)
    throttle.cancel()
    assert not clock.getDelayedCalls()


async def test_the_command_behind_a_throttled_answer_waits_and_then_goes_out() -> None:
    clock = Clock()
    script = answering(b"%t OK [THROTTLED] slowly\r\n", b"%t OK\r\n")
    async with imap(script, clock=clock) as (client, rec):
        await client.keepalive()
        second = ensureDeferred(client.keepalive())
        clock.advance(0.04)
        assert rec.received.count(b"NOOP") == 1
        clock.advance(0.02)
        await second
        assert rec.received.count(b"NOOP") == 2
