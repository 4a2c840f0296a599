"""Logins that race: a wrong password is never set, and the one that the source accepted last stays (T23)."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.defer import DeferredList, ensureDeferred

from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.sealing import Purpose
from mailferry.store import passwords
from mailferry.store.faults import Conflict
from tests.passwords.world import World, witness

pytestmark = pytest.mark.deadline(60)


@pytest.mark.hazard("T23")
async def test_a_slower_login_does_not_undo_a_later_one(world: World) -> None:
    account = world.account()
    await world.keeper.accepted_at_source(account, world.domain, Secret(b"old"), witness(), seen_epoch=0)
    await world.keeper.accepted_at_source(account, world.domain, Secret(b"new"), witness(), seen_epoch=1)
    # asked before "new" was recorded, answered after it
    with pytest.raises(Conflict):
        await world.keeper.accepted_at_source(account, world.domain, Secret(b"old"), witness(), seen_epoch=1)
    assert await world.keeper.sealed_password(account, world.domain) == Secret(b"new")
    with pytest.raises(Conflict):
        await world.keeper.bring_to_target(account, world.domain, Secret(b"old"), witness(), seen_epoch=1)
    world.keeper.push_soon(account.id)
    await world.settled()
    assert world.target_takes(b"new")


@pytest.mark.hazard("T23")
async def test_logins_that_race_with_one_password_do_not_ask_again(world: World) -> None:
    account = world.account()
    for _ in range(2):
        await world.keeper.accepted_at_source(account, world.domain, Secret(b"one"), witness(), seen_epoch=0)
    assert world.record(account).password_epoch == 1


class LookedAtLate(PasswdFile):
    """The users file, at which another process sets a password just before it is looked at."""

    def __init__(self, world: World, other: Callable[[], Awaitable[object]]) -> None:
        super().__init__(world.users, threads=world.threads)
        self._other: Callable[[], Awaitable[object]] | None = other

    async def current(self, address: str) -> str | None:
        other, self._other = self._other, None
        if other is not None:
            await other()
        return await super().current(address)


@pytest.mark.hazard("T23")
async def test_what_another_process_set_meanwhile_is_no_change_at_the_target(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    first = world.keeper
    world.backend = LookedAtLate(
        world, lambda: first.bring_to_target(account, world.domain, Secret(b"two"), witness(), seen_epoch=1)
    )
    late = world.fresh_keeper()
    with pytest.raises(Conflict):
        await late.bring_to_target(account, world.domain, Secret(b"two"), witness(), seen_epoch=1)
    assert not world.record(account).target_wins
    assert world.target_takes(b"two")


@pytest.mark.hazard("T23")
async def test_a_refusal_from_before_a_push_is_no_change_at_the_target(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"two")
    await world.settled()
    # refused by the target before it was set there, taken by the source, and here only now
    assert (await world.login_after_flip(account, b"two")).in_place
    assert not world.record(account).target_wins


@pytest.mark.hazard("T23")
async def test_who_asked_before_another_password_was_recorded_asks_again(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    assert (await world.login_after_flip(account, b"two")).in_place
    with pytest.raises(Conflict):
        await world.keeper.bring_to_target(account, world.domain, Secret(b"one"), witness(), seen_epoch=1)
    assert world.target_takes(b"two")
    assert not world.record(account).target_wins


@pytest.mark.hazard("T23")
async def test_a_newer_password_recorded_during_a_push_is_the_one_that_stays(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    other = world.fresh_keeper()  # as in another process

    def meanwhile() -> None:
        world.before_prove = lambda: None
        world.store.run_now(
            "newer",
            lambda conn: passwords.verified(
                conn,
                account.id,
                password_epoch=2,
                verifier="x",
                sealed=world.keyring.seal("a.test", 1, account.id, Purpose.PUSH, Secret(b"three")),
                window_number=1,
            ),
        )

    world.before_prove = meanwhile
    with pytest.raises(Conflict):
        await world.login_after_flip(account, b"two")
    trust = await other.push_and_prove(account, world.domain)
    assert trust.in_place
    assert world.target_takes(b"three")
    assert not world.record(account).target_wins


@pytest.mark.hazard("T23")
async def test_many_logins_at_once_leave_the_password_that_the_source_accepted_last(world: World) -> None:
    account = world.account()
    keepers = [world.keeper, world.fresh_keeper(), world.fresh_keeper()]
    dice = random.Random(7)
    source = b"password 0"
    seen: set[bytes] = set()
    running = []
    for number in range(60):
        if number % 20 == 19:
            source = b"password %d" % number
        typed = source if dice.random() < 0.6 else b"wrong %d" % number
        if typed != source:
            continue  # the source refuses it, so nothing is asked of the keeper
        epoch = world.record(account).password_epoch
        keeper = dice.choice(keepers)
        running.append(
            ensureDeferred(
                keeper.accepted_at_source(account, world.domain, Secret(typed), witness(), seen_epoch=epoch)
            )
        )
        if number % 20 == 18 or number % 7 == 0:
            await DeferredList(running, consumeErrors=True)  # who came late asks the source again
        keeper.push_soon(account.id)
        seen.add(world.users.read_bytes())
    await DeferredList(running, consumeErrors=True)
    epoch = world.record(account).password_epoch
    await world.keeper.accepted_at_source(account, world.domain, Secret(source), witness(), seen_epoch=epoch)
    for keeper in keepers:
        keeper.push_soon(account.id)
        await keeper.settled()
    assert world.target_takes(source)
    assert world.record(account).pushed_hash == world.stored()
    assert not any(world.target_takes(b"wrong %d" % number) for number in range(60))
