"""A password that somebody chose at the target is never undone from the source (design A4.3, T22)."""

from __future__ import annotations

import pytest

from mailferry.model.account import Event, Phase
from mailferry.model.causes import Answer, Cause
from mailferry.passwords.trust import Trust
from mailferry.store import passwords
from tests.passwords.world import World

pytestmark = pytest.mark.deadline(60)


def refused(trust: Trust) -> bool:
    return (trust.in_place, trust.answer) == (False, Answer.REFUSED)


@pytest.mark.hazard("T22")
async def test_what_worked_at_the_target_and_is_refused_there_now_was_changed_there(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.target_up = True
    stored = world.stored()
    refuses = world.target_takes

    def takes(octets: bytes, address: str = "") -> bool:
        return False  # changed where the backend does not look: another passdb, a locked account

    world.target_takes = takes  # type: ignore[method-assign]
    assert refused(await world.login_after_flip(account, b"one"))
    assert world.record(account).target_wins
    world.target_takes = refuses  # type: ignore[method-assign]
    assert refused(await world.login_after_flip(account, b"two"))
    assert world.stored() == stored


@pytest.mark.hazard("T22")
@pytest.mark.parametrize("pushed", [True, False])
async def test_a_password_chosen_at_the_target_before_the_flip_is_not_overwritten_after_it(
    world: World, pushed: bool
) -> None:
    account = world.account()
    if pushed:
        await world.login_before_flip(account, b"stolen")
        await world.settled()
    world.change_at_target(b"chosen")
    await world.login_at_target(account, b"chosen")
    account = world.moved(account, Event.TARGET_ACCEPTED_FOREIGN)
    for octets in (b"stolen", b"set by a thief at the source"):
        assert refused(await world.login_after_flip(account, octets))
        assert world.target_takes(b"chosen")
    assert world.record(account).target_wins


@pytest.mark.hazard("T22")
async def test_a_move_that_began_on_the_user_page_leaves_the_password_at_the_target(world: World) -> None:
    account = world.account(Phase.IDLE)
    world.change_at_target(b"chosen")
    await world.login_at_target(account, b"chosen")
    account = world.moved(account, Event.TARGET_ONLY)
    account = world.moved(
        account, Event.OLD_PASSWORD_ENTERED
    )  # its old password was sealed for the copy alone
    assert refused(await world.login_after_flip(account, b"old"))
    assert world.target_takes(b"chosen")


async def test_a_local_account_moves_with_its_old_password_while_the_target_holds_what_it_held(
    world: World,
) -> None:
    account = world.account(Phase.IDLE)
    world.change_at_target(b"handed out by the administrator")
    await world.login_at_target(account, b"handed out by the administrator")
    account = world.moved(account, Event.TARGET_ONLY)
    assert (await world.login_after_flip(account, b"old")).in_place
    assert world.target_takes(b"old")
    account = world.moved(account, Event.OLD_PASSWORD_ENTERED)
    assert (await world.login_after_flip(account, b"new at the source")).in_place
    assert world.target_takes(b"new at the source")


@pytest.mark.hazard("T22")
@pytest.mark.parametrize("seen_again", [True, False])
async def test_a_local_account_whose_password_was_changed_since_is_the_targets(
    world: World, seen_again: bool
) -> None:
    account = world.account(Phase.IDLE)
    await world.login_at_target(account, b"first")
    account = world.moved(account, Event.TARGET_ONLY)
    world.change_at_target(b"changed, because the old one was stolen")
    if seen_again:
        await world.login_at_target(account, b"changed, because the old one was stolen")
    assert refused(await world.login_after_flip(account, b"stolen"))
    assert world.target_takes(b"changed, because the old one was stolen")
    assert world.record(account).target_wins


async def test_a_reset_forgets_what_was_seen_at_the_target(world: World) -> None:
    account = world.account(Phase.IDLE)
    await world.login_at_target(account, b"first")
    account = world.moved(account, Event.TARGET_ONLY)
    account = world.moved(account, Event.OLD_PASSWORD_ENTERED)
    assert refused(await world.login_after_flip(account, b"old"))
    world.store.run_now("reset", lambda conn: passwords.target_wins(conn, account.id, wins=False))
    record = world.record(account)
    assert (record.own_seen_at, record.own_hash, record.target_wins) == (None, None, False)
    assert (await world.login_after_flip(account, b"old")).in_place


async def test_a_password_of_ours_is_nobodys_own(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    await world.login_at_target(account, b"one")
    assert world.record(account).own_seen_at is None
    world.change_at_target(b"chosen")
    await world.login_at_target(account, b"chosen")
    first = world.record(account)
    assert first.own_hash == world.stored()
    world.change_at_target(b"chosen again")
    await world.login_at_target(account, b"chosen again")
    assert world.record(account) == first, "only the first note counts"


async def test_a_place_that_cannot_be_read_at_the_moment_is_noted_without_its_hash(world: World) -> None:
    account = world.account(Phase.IDLE)
    users = world.users.rename(world.users.with_name("away"))
    await world.keeper.own_at_target(account, world.domain, _secret(b"first"))
    record = world.record(account)
    assert (record.own_seen_at is not None, record.own_hash) == (True, None)
    users.rename(world.users)
    account = world.moved(account, Event.TARGET_ONLY)
    assert (await world.login_after_flip(account, b"old")).in_place


async def test_an_account_that_was_switched_by_force_gets_its_first_password_after_the_flip(
    world: World,
) -> None:
    account = world.moved(world.account(), Event.EARLY_SWITCH)
    assert (await world.login_after_flip(account, b"one")).in_place
    assert world.target_takes(b"one")


async def test_authorization_codes_are_pushed_only_where_the_domain_says_so(world: World) -> None:
    account = world.account()
    say = "UPDATE domains SET uses_codes = true, push_codes = {}"
    world.store.run_now("codes", lambda conn: conn.exec_driver_sql(say.format("false")))
    await world.login_before_flip(account, b"abcdefghijklmnop")
    await world.settled()
    assert world.target_takes(b"first")
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert (trust.in_place, trust.cause) == (False, Cause.TARGET_REFUSED)
    assert "authorization codes" in trust.text
    world.store.run_now("codes", lambda conn: conn.exec_driver_sql(say.format("true")))
    await world.login_before_flip(account, b"abcdefghijklmnop")
    await world.settled()
    assert world.target_takes(b"abcdefghijklmnop")


def _secret(octets: bytes):
    from mailferry.model.access import Secret

    return Secret(octets)
