"""Turns at one account: one after the other, and nothing is kept of an account that nobody is at."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mailferry.passwords.turns import Turns

ACCOUNT = 7


async def at_work(turns: Turns, told: list[str], name: str, until: Deferred[None]) -> None:
    async with turns.take(ACCOUNT):
        told.append(f"{name} begins")
        await until
        told.append(f"{name} ends")


def test_who_comes_second_waits_and_nothing_is_kept_in_the_end() -> None:
    turns, told = Turns(), list[str]()
    ends = [Deferred[None]() for _ in range(2)]
    running = [
        Deferred.fromCoroutine(at_work(turns, told, name, end)) for name, end in zip("ab", ends, strict=True)
    ]
    assert told == ["a begins"]
    ends[0].callback(None)
    assert told == ["a begins", "a ends", "b begins"]
    ends[1].callback(None)
    assert [one.called for one in running] == [True, True]
    assert not turns._turns


def test_the_turn_of_somebody_new_is_not_taken_away_by_who_left_before() -> None:
    turns, told = Turns(), list[str]()
    first, done, held = Deferred[None](), Deferred[None](), Deferred[None]()
    done.callback(None)
    Deferred.fromCoroutine(at_work(turns, told, "a", first))
    after = Deferred.fromCoroutine(at_work(turns, told, "b", done))
    after.addCallback(lambda _: Deferred.fromCoroutine(at_work(turns, told, "c", held)) and None)
    first.callback(None)  # a leaves, and while it does b has its turn and c begins
    Deferred.fromCoroutine(at_work(turns, told, "d", done))
    assert told == ["a begins", "a ends", "b begins", "b ends", "c begins"]
    held.callback(None)
    assert told[-3:] == ["c ends", "d begins", "d ends"]


def test_what_breaks_in_a_turn_gives_it_back() -> None:
    turns = Turns()

    async def broken() -> None:
        async with turns.take(ACCOUNT):
            raise ValueError

    failed = Deferred.fromCoroutine(broken())
    failed.addErrback(lambda failure: failure.trap(ValueError) and None)
    assert not turns._turns
