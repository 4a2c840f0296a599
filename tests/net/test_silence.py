"""Sessions that are silent for too long are found by one call of the reactor's for all of them."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from mailferry.net import silence
from mailferry.net.silence import REST_SECONDS, unwatch, watch


class Session:
    """Something that is due at a time and notes when it was told."""

    def __init__(self, clock: Clock, due: float) -> None:
        self.clock = clock
        self.due = due
        self.told: list[float] = []

    def silent_for_too_long(self) -> None:
        self.told.append(self.clock.seconds())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def calls(clock: Clock) -> int:
    return len(clock.getDelayedCalls())


def test_a_thousand_sessions_take_one_call_of_the_reactor(clock: Clock) -> None:
    sessions = [Session(clock, 1800.0 + number) for number in range(1000)]
    for session in sessions:
        watch(session, clock)
    assert calls(clock) == 1
    clock.advance(1800)
    assert [session.told for session in sessions[:2]] == [[1800.0], []]
    assert calls(clock) == 1
    for session in sessions:
        unwatch(session, clock)
    assert calls(clock) == 0
    assert clock not in silence._WATCHES


def test_who_moved_meanwhile_is_told_at_his_later_time_and_once(clock: Clock) -> None:
    session = Session(clock, 10.0)
    watch(session, clock)
    clock.advance(5)
    session.due = 25.0
    clock.advance(19)
    assert not session.told
    clock.advance(1)
    clock.advance(100)
    assert session.told == [25.0]
    assert calls(clock) == 0


def test_who_becomes_due_earlier_and_says_so_is_told_in_time(clock: Clock) -> None:
    first, session = Session(clock, 1000.0), Session(clock, 1800.0)
    watch(first, clock)
    watch(session, clock)
    session.due = 2.0
    watch(session, clock)
    clock.advance(2)
    assert session.told == [2.0]
    assert not first.told
    assert calls(clock) == 1
    unwatch(first, clock)


def test_sessions_due_close_to_each_other_are_told_within_a_second(clock: Clock) -> None:
    sessions = [Session(clock, 10 + number / 10) for number in range(31)]
    for session in sessions:
        watch(session, clock)
    for _ in range(200):
        clock.advance(0.1)
    lateness = [session.told[0] - session.due for session in sessions]
    assert min(lateness) >= 0
    assert max(lateness) <= REST_SECONDS + 0.11
    assert all(len(session.told) == 1 for session in sessions)


def test_one_that_breaks_takes_nobody_with_it(clock: Clock) -> None:
    class Broken(Session):
        def silent_for_too_long(self) -> None:
            raise ValueError("broken")

    watch(Broken(clock, 3.0), clock)
    session, later = Session(clock, 3.0), Session(clock, 9.0)
    watch(session, clock)
    watch(later, clock)
    for _ in range(12):
        try:
            clock.advance(1)
        except ValueError:
            continue
    assert len(session.told) == 1
    assert len(later.told) == 1


def test_each_reactor_has_its_own_time(clock: Clock) -> None:
    other = Clock()
    here, there = Session(clock, 5.0), Session(other, 5.0)
    watch(here, clock)
    watch(there, other)
    clock.advance(5)
    assert here.told
    assert not there.told
    unwatch(here, clock)
    unwatch(there, other)
    assert calls(other) == 0
    unwatch(there, other)  # twice does nothing
