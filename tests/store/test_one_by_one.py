"""The lock that hands the turn on without going deeper."""

from __future__ import annotations

import sys

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from mailferry.store.one_by_one import OneByOne


class Visitors:
    """Coroutines that go through one lock, and what they did there."""

    def __init__(self) -> None:
        self.lock = OneByOne()
        self.seen: list[str] = []
        self.inside = 0
        self.depth = 0

    async def visit(self, name: str, *, until: Deferred[None] | None = None) -> None:
        async with self.lock:
            self.inside += 1
            assert self.inside == 1
            self.seen.append(name)
            frame, depth = sys._getframe(), 0
            while frame.f_back is not None:
                frame, depth = frame.f_back, depth + 1
            self.depth = max(self.depth, depth)
            if until is not None:
                await until
            self.inside -= 1

    def begin(self, name: str, *, until: Deferred[None] | None = None) -> Deferred[None]:
        return ensureDeferred(self.visit(name, until=until))


def test_the_turn_goes_to_who_asked_first_and_to_one_alone() -> None:
    here = Visitors()
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    ends = [here.begin("a", until=first), here.begin("b", until=second), here.begin("c")]
    assert here.seen == ["a"]
    first.callback(None)
    assert here.seen == ["a", "b"]
    assert here.lock.busy
    second.callback(None)
    assert here.seen == ["a", "b", "c"]
    assert not here.lock.busy
    assert all(end.called for end in ends)


def test_thousands_who_wait_for_nothing_else_go_through_without_going_deeper() -> None:
    here = Visitors()
    first: Deferred[None] = Deferred()
    ends = [here.begin("first", until=first), *(here.begin(str(number)) for number in range(3000))]
    alone = here.depth
    first.callback(None)
    assert here.seen == ["first", *map(str, range(3000))]
    assert all(end.called for end in ends)
    assert here.depth < alone + 30


def test_who_is_cancelled_while_it_waits_has_lost_its_place() -> None:
    here = Visitors()
    first: Deferred[None] = Deferred()
    here.begin("a", until=first)
    gone, last = here.begin("b"), here.begin("c")
    failures: list[object] = []
    gone.addErrback(lambda failure: failures.append(failure.value))
    gone.cancel()
    assert [type(one) for one in failures] == [CancelledError]
    first.callback(None)
    assert here.seen == ["a", "c"]
    assert last.called
    assert not here.lock.busy


def test_who_fails_inside_gives_the_turn_back() -> None:
    here = Visitors()
    first: Deferred[None] = Deferred()
    failed, last = here.begin("a", until=first), here.begin("b")
    failed.addErrback(lambda failure: failure.trap(ZeroDivisionError))
    first.errback(ZeroDivisionError())
    assert last.called
    assert not here.lock.busy


def test_who_comes_while_the_turn_is_handed_on_waits_behind_the_others() -> None:
    here = Visitors()
    first: Deferred[None] = Deferred()

    async def again() -> None:
        await here.visit("b")
        await here.visit("b again")

    here.begin("a", until=first)
    ends = [ensureDeferred(again()), here.begin("c")]
    first.callback(None)
    assert here.seen == ["a", "b", "c", "b again"]
    assert all(end.called for end in ends)
