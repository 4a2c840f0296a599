"""The networks that logged in: known to every process, after a restart as well, and written now and then only."""

from __future__ import annotations

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock

from mailferry.app.gate_building import make_penalty
from mailferry.gate.known_networks import READ_SECONDS, WRITE_SECONDS, WRITTEN_SECONDS, KnownNetworks
from mailferry.lab.premises import LabAccount
from mailferry.plan.routing import Outcome
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.wire.proxy_header import Endpoint
from tests.gate.conftest import MakeMove
from tests.gate.test_penalty import ask, asked
from tests.gate.test_shield_figures import FOR_STRANGERS, MANY, guess, over_accounts
from tests.kit.move import OLD
from tests.kit.stores import OpenStore

pytestmark = [pytest.mark.deadline(30), pytest.mark.hazard("T29")]

Writes = list[str]


@pytest.fixture
def writes(store: Database, monkeypatch: pytest.MonkeyPatch) -> Writes:
    """The transactions that the test's own store is asked to write."""
    names: Writes = []
    run = store.run

    def noted(name: str, *rest: object, **more: object) -> object:
        names.append(name)
        return run(name, *rest, **more)

    monkeypatch.setattr(store, "run", noted)
    return names


def known_to(known: KnownNetworks, *networks: bytes) -> list[bool]:
    return [network in known for network in networks]


async def test_many_logins_are_one_transaction_and_those_of_the_next_hour_none(
    store: Database, writes: Writes
) -> None:
    clock = Clock()
    known = KnownNetworks(store, reactor=clock)
    for number in range(300):
        known.logged_in(b"%d" % (number % 30))
    assert writes == []
    clock.advance(WRITE_SECONDS)
    await known.settled()
    assert writes == ["known networks"]
    for _ in range(int(WRITTEN_SECONDS // 60) - 1):
        clock.advance(60)
        known.logged_in(b"7")
    await known.settled()
    assert writes == ["known networks"]
    clock.advance(120)
    known.logged_in(b"7")
    clock.advance(WRITE_SECONDS)
    await known.settled()
    assert writes == ["known networks"] * 2
    assert not clock.getDelayedCalls()


async def test_a_thousand_logins_wait_for_one_look_and_none_runs_out_of_stack(store: Database) -> None:
    known = KnownNetworks(store, reactor=Clock())
    await defer.gatherResults([defer.Deferred.fromCoroutine(known.current()) for _ in range(1000)])


async def test_what_another_process_saw_is_known_after_a_minute_and_asked_for_once(
    open_store: OpenStore,
) -> None:
    clock = Clock()
    first = KnownNetworks(open_store(), reactor=clock)
    second = KnownNetworks(open_store(), reactor=clock)
    await second.current()
    first.logged_in(b"office")
    await first.settled()
    await second.current()
    assert known_to(second, b"office") == [False]
    clock.advance(READ_SECONDS)
    await defer.gatherResults([defer.Deferred.fromCoroutine(second.current()) for _ in range(5)])
    assert known_to(second, b"office") == [True]
    third = KnownNetworks(open_store(), reactor=Clock())
    assert known_to(third, b"office") == [False]
    await third.current()
    assert known_to(third, b"office") == [True], "a process that starts anew knows it at once"


async def test_what_another_process_wrote_is_not_written_again(
    open_store: OpenStore, store: Database, writes: Writes
) -> None:
    first, second = (KnownNetworks(one, reactor=Clock()) for one in (open_store(), store))
    first.logged_in(b"office")
    await first.settled()
    await second.current()
    second.logged_in(b"office")
    await second.settled()
    assert writes == []


async def test_a_store_that_does_not_answer_takes_nothing_away(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    known = KnownNetworks(store, reactor=clock)
    known.logged_in(b"office")

    def gone(*_asked: object, **_more: object) -> defer.Deferred[None]:
        return defer.fail(StoreUnavailable("gone"))

    with monkeypatch.context() as broken:
        broken.setattr(store, "run", gone)
        broken.setattr(store, "read", gone)
        await known.settled()
        await known.current()
        assert known_to(known, b"office") == [True]
    known.logged_in(b"office")
    await known.settled()
    other = KnownNetworks(store, reactor=clock)
    await other.current()
    assert known_to(other, b"office") == [True], "the next login from there was written"


async def test_the_network_that_logged_in_longest_ago_is_forgotten_first(store: Database) -> None:
    known = KnownNetworks(store, reactor=Clock(), most=2)
    for network in (b"a", b"b", b"a", b"c"):
        known.logged_in(network)
    assert known_to(known, b"a", b"b", b"c") == [True, False, True]
    await known.settled()
    again = KnownNetworks(store, reactor=Clock(), most=2)
    await again.current()
    assert sum(known_to(again, b"a", b"b", b"c")) == 2


async def test_the_reserve_is_there_for_known_networks_after_a_restart(begin: MakeMove) -> None:
    office = Endpoint("203.0.113.5", 40000)
    names = ["colleague@old.test", "another@old.test"]
    move = await begin(source_accounts={name: LabAccount(password=OLD) for name in names})
    await move.logout(await move.admitted(name=names[0]))  # from CLIENT's network
    await move.done(move.parts.keeper.settled())
    await move.penalty.settled()
    before = asked(move)
    await guess(move, over_accounts(MANY, 120))
    assert asked(move) == before + FOR_STRANGERS
    restarted = [make_penalty(move.parts, move.proxy.gate.judges) for _ in range(2)]
    stranger = await ask(move, OLD, name=names[1], client=office, shield=restarted[0])
    assert stranger.outcome is Outcome.UNAVAILABLE
    known = await ask(move, OLD, name=names[1], shield=restarted[1])
    assert known.outcome is Outcome.ACCEPTED
    await defer.gatherResults([defer.Deferred.fromCoroutine(one.settled()) for one in restarted])
