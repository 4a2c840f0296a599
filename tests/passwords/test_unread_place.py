"""Where nothing can be read, the last password that was set must still log in there (design A4.3)."""

from __future__ import annotations

import pytest

from mailferry.model.access import Secret
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Answer, Cause
from mailferry.passwords.trust import Trust
from mailferry.passwords.work_threads import WorkThreads
from tests.passwords.world import UnreadFile, World, witness

pytestmark = pytest.mark.deadline(60)


@pytest.fixture
def world(world: World, threads: WorkThreads) -> World:
    world.backend = UnreadFile(world.users, threads=threads)
    world.keeper = world.fresh_keeper()
    return world


def refused(trust: Trust) -> bool:
    return (trust.in_place, trust.answer) == (False, Answer.REFUSED)


async def test_before_the_flip_each_password_of_the_source_is_set_and_proved(world: World) -> None:
    account = world.account()
    for octets in (b"one", b"two"):
        await world.login_before_flip(account, octets)
        await world.settled()
        assert world.target_takes(octets)
        assert world.record(account).proved_at is not None


async def test_after_the_flip_it_follows_while_the_last_one_still_logs_in(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    assert (await world.login_after_flip(account, b"two")).in_place
    assert world.logins == [b"one", b"one", b"two"]
    assert world.target_takes(b"two")


@pytest.mark.hazard("T22")
@pytest.mark.parametrize("thief", [b"one", b"set by a thief at the source"])
async def test_a_change_at_the_target_is_found_out_by_a_login(world: World, thief: bytes) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.change_at_target(b"changed")
    for _ in range(2):
        assert refused(await world.login_after_flip(account, thief))
        assert world.target_takes(b"changed")
    assert world.record(account).target_wins


async def test_a_target_that_cannot_be_asked_is_not_judged(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.target_up = False
    trust = await world.login_after_flip(account, b"two")
    assert (trust.in_place, trust.answer) == (False, Answer.TEMPORARY)
    world.target_up = True
    assert (await world.login_after_flip(account, b"two")).in_place


@pytest.mark.hazard("D23")
async def test_an_unproved_push_is_repeated_and_not_taken_for_a_change(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    world.target_up = False
    await world.login_before_flip(account, b"one")
    await world.settled()
    assert world.record(account).proved_at is None
    world.target_up = True
    assert (await world.login_after_flip(account, b"two")).in_place
    assert world.target_takes(b"two")
    assert not world.record(account).target_wins


@pytest.mark.hazard("D23")
async def test_a_login_proves_a_push_that_nobody_lived_to_note(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.keeper.accepted_at_source(account, world.domain, Secret(b"one"), witness())
    world.change_at_target(b"one")  # as the program did, before the power went
    world.keeper.accepted_at_target(account, world.domain, Secret(b"one"))
    await world.settled()
    record = world.record(account)
    assert record.proved_at is not None
    assert (await world.login_after_flip(account, b"two")).in_place
    world.change_at_target(b"changed")
    assert refused(await world.login_after_flip(account, b"three"))


@pytest.mark.hazard("T22")
async def test_the_copier_does_not_set_it_again_over_a_change(world: World) -> None:
    account = world.account()
    await world.login_before_flip(account, b"one")
    await world.settled()
    account = world.moved(account, Event.EARLY_SWITCH)
    world.change_at_target(b"changed")
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert (trust.in_place, trust.cause) == (False, Cause.TARGET_REFUSED)
    assert world.target_takes(b"changed")
    assert world.record(account).target_wins


@pytest.mark.hazard("T22")
async def test_a_password_chosen_there_first_stays(world: World) -> None:
    account = world.account(Phase.IDLE)
    world.change_at_target(b"chosen")
    await world.login_at_target(account, b"chosen")
    account = world.moved(account, Event.TARGET_ONLY)
    account = world.moved(account, Event.OLD_PASSWORD_ENTERED)
    assert refused(await world.login_after_flip(account, b"old"))
    assert world.target_takes(b"chosen")
