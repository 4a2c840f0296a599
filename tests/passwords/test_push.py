"""The password follows the source until the target has the last word (design A4)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList

from mailferry.model.access import Secret
from mailferry.model.account import Event, Phase
from mailferry.model.causes import Answer, Cause
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.passwd_file import PasswdFile
from mailferry.passwords.push import PasswordKeeper
from mailferry.passwords.sealing import KeyDestroyed, KeyRing, Purpose
from mailferry.store import passwords
from mailferry.store.faults import Conflict
from tests.kit.canary import canary, search_files
from tests.passwords.world import World, witness

pytestmark = pytest.mark.deadline(60)


# --- before the flip


async def test_a_good_password_is_sealed_pushed_and_proved(world: World) -> None:
    account = world.account()
    await world.login_before_flip(account, b"good")
    await world.settled()
    record = world.record(account)
    assert world.target_takes(b"good")
    assert record.pushed_hash == world.stored()
    assert record.proved_at is not None
    assert world.logins == [b"good"]
    assert await world.keeper.sealed_password(account, world.domain) == Secret(b"good")
    await world.settled()


async def test_the_source_is_the_authority_and_each_new_password_replaces_the_last(world: World) -> None:
    account = world.account()
    for octets in (b"one", b"two", "三".encode("gb18030")):
        await world.login_before_flip(account, octets)
        await world.settled()
        assert world.target_takes(octets)
    assert world.record(account).password_epoch == 3
    world.change_at_target(b"own")
    await world.login_before_flip(account, b"four")
    await world.settled()
    assert world.target_takes(b"four")


async def test_the_same_password_again_costs_neither_a_hash_nor_a_push(world: World) -> None:
    account = world.account()
    for _ in range(3):
        await world.login_before_flip(account, b"good")
        await world.settled()
    assert world.record(account).password_epoch == 1
    assert world.logins == [b"good"]


async def test_the_slow_hashes_of_others_do_not_hold_up_a_password_that_is_known(world: World) -> None:
    account = world.account()
    await world.login_before_flip(account, b"good")
    await world.settled()
    over = threading.Event()
    hashing = [world.threads.run(over.wait) for _ in range(world.threads._pool.max)]
    try:
        await world.login_before_flip(account, b"good")
        assert await world.keeper.sealed_password(account, world.domain) == Secret(b"good")
    finally:
        over.set()
        await DeferredList(hashing)
        await world.settled()


@pytest.mark.hazard("T6")
async def test_a_link_that_others_can_read_permits_no_push(world: World) -> None:
    account = world.account()
    await world.login_before_flip(account, b"good", confidential=False)
    await world.settled()
    assert world.target_takes(b"first")
    assert world.record(account).verified_at is not None
    assert await world.keeper.sealed_password(account, world.domain) == Secret(b"good")
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert (trust.in_place, trust.answer) == (False, Answer.TEMPORARY)
    assert world.target_takes(b"first")
    await world.login_before_flip(account, b"good")  # the same, over a link that nobody reads
    await world.settled()
    assert world.target_takes(b"good")


async def test_pushing_from_plaintext_can_be_said_for_a_domain(world: World) -> None:
    account = world.account()
    world.store.run_now(
        "say", lambda conn: conn.exec_driver_sql("UPDATE domains SET push_from_plaintext = true")
    )
    await world.login_before_flip(account, b"good", confidential=False)
    await world.settled()
    assert world.target_takes(b"good")


async def test_a_domain_whose_link_without_tls_is_accepted_takes_logins_and_pushes_nothing(
    world: World,
) -> None:
    account = world.account()
    world.store.run_now(
        "say", lambda conn: conn.exec_driver_sql("UPDATE domains SET accept_plaintext = true")
    )
    await world.login_before_flip(account, b"good", confidential=False)
    await world.settled()
    assert await world.keeper.sealed_password(account, world.domain) == Secret(b"good")
    assert not (await world.keeper.push_and_prove(account, world.domain)).in_place
    assert world.target_takes(b"first")


@pytest.mark.parametrize("purpose", Purpose)
async def test_an_imported_password_is_used_for_the_copy_and_never_pushed(
    world: World, keyring: KeyRing, purpose: Purpose
) -> None:
    account = world.account(Phase.IDLE)
    sealed = keyring.seal("a.test", 1, account.id, purpose, Secret(b"imported"))
    world.store.run_now(
        "import",
        lambda conn: passwords.imported(conn, account.id, password_epoch=0, sealed=sealed, window_number=1),
    )
    world.keeper.push_soon(account.id)
    await world.settled()
    assert not (await world.keeper.push_and_prove(account, world.domain)).in_place
    assert world.target_takes(b"first")
    assert not await world.keeper.is_ours(account, world.domain, Secret(b"imported"))
    await world.login_before_flip(account, b"imported")  # now the user says it himself
    await world.settled()
    assert world.target_takes(b"imported")


async def test_a_target_that_is_down_gets_the_password_later(world: World) -> None:
    account = world.account()
    world.target_up = False
    await world.login_before_flip(account, b"good")
    await world.settled()
    assert world.record(account).proved_at is None
    trust = await world.keeper.push_and_prove(account, world.domain)
    assert (trust.in_place, trust.cause) == (False, Cause.TARGET_DOWN)
    world.target_up = True
    assert (await world.keeper.push_and_prove(account, world.domain)).in_place
    assert world.record(account).proved_at is not None
    await world.settled()


async def test_a_backend_that_cannot_be_asked_puts_the_push_off(world: World) -> None:
    account = world.account()
    kept = world.users.read_bytes()
    world.users.unlink()
    await world.login_before_flip(account, b"good")
    await world.settled()
    world.users.write_bytes(kept)
    assert (await world.keeper.push_and_prove(account, world.domain)).in_place
    assert world.target_takes(b"good")
    await world.settled()


async def test_what_the_target_already_holds_is_noted_and_not_written_again(world: World) -> None:
    account = world.account()
    world.change_at_target(b"same")
    stored = world.stored()
    await world.login_before_flip(account, b"same")
    await world.settled()
    assert world.stored() == stored
    assert world.record(account).pushed_hash == stored


async def test_a_scheme_that_cannot_hold_the_password_is_a_matter_of_policy(world: World) -> None:
    account = world.account()
    world.scheme = "BLF-CRYPT"
    world.keeper = world.fresh_keeper()
    trust = await world.login_after_flip(account, b"x" * 73)
    assert (trust.in_place, trust.cause) == (False, Cause.TARGET_PASSWORD_POLICY)
    assert world.target_takes(b"first")


async def test_whose_password_it_is_is_known_before_and_after_the_next_one(world: World) -> None:
    account = world.account()
    assert not await world.keeper.is_ours(account, world.domain, Secret(b"first"))
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.users.chmod(0o600)
    assert await world.keeper.is_ours(account, world.domain, Secret(b"one"))
    await world.keeper.accepted_at_source(account, world.domain, Secret(b"two"), witness())
    assert await world.keeper.is_ours(account, world.domain, Secret(b"one"))  # it still stands there
    assert await world.keeper.is_ours(account, world.domain, Secret(b"two"))
    assert not await world.keeper.is_ours(account, world.domain, Secret(b"three"))


# --- after the flip


async def test_a_password_changed_at_the_source_follows_after_the_flip(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    trust = await world.login_after_flip(account, b"two")
    assert trust.in_place
    assert world.target_takes(b"two")
    assert world.record(account).proved_at is not None


@pytest.mark.hazard("T22")
@pytest.mark.parametrize("thief", [b"one", b"set by a thief at the source"])
async def test_a_password_changed_at_the_target_is_never_rolled_back(world: World, thief: bytes) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.change_at_target(b"changed")
    for _ in range(2):
        trust = await world.login_after_flip(account, thief)
        assert (trust.in_place, trust.answer) == (False, Answer.REFUSED)
        assert world.target_takes(b"changed")
    assert world.record(account).target_wins
    world.keeper.push_soon(account.id)
    await world.settled()
    assert world.target_takes(b"changed")
    assert not (await world.keeper.push_and_prove(account, world.domain)).in_place
    assert world.target_takes(b"changed")
    await world.settled()


async def test_an_administrators_reset_lets_the_source_speak_again(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.change_at_target(b"changed")
    assert not (await world.login_after_flip(account, b"two")).in_place
    world.store.run_now("reset", lambda conn: passwords.target_wins(conn, account.id, wins=False))
    assert (await world.login_after_flip(account, b"two")).in_place
    assert world.target_takes(b"two")


@pytest.mark.hazard("T22")
async def test_a_password_that_was_good_once_and_then_refused_is_never_pushed_again(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"stolen")
    await world.settled()
    await world.keeper.refused_at_source(account, world.domain, Secret(b"stolen"))
    await world.keeper.refused_at_source(account, world.domain, Secret(b"just a guess"))
    assert (await world.login_after_flip(account, b"new")).in_place
    trust = await world.login_after_flip(account, b"stolen")  # the thief has set it at the source again
    assert (trust.in_place, trust.answer) == (False, Answer.REFUSED)
    assert world.target_takes(b"new")
    assert len(world.store.read_now("refused", lambda conn: passwords.refused(conn, account.id))) == 1


async def test_nothing_is_pushed_after_the_flip_over_a_link_that_others_can_read(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    trust = await world.login_after_flip(account, b"two", confidential=False)
    assert not trust.in_place
    assert world.target_takes(b"one")


async def test_what_the_target_holds_cannot_be_read_so_nothing_is_judged(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.users.rename(world.users.with_name("away"))
    trust = await world.login_after_flip(account, b"two")
    assert (trust.in_place, trust.answer) == (False, Answer.TEMPORARY)
    assert not world.record(account).target_wins


async def test_a_login_at_the_target_proves_a_push_that_nobody_saw_arrive(world: World) -> None:
    account = world.account(Phase.SWITCHED)
    world.target_up = False
    await world.login_before_flip(account, b"one")
    await world.settled()
    world.target_up = True
    world.keeper.accepted_at_target(account, world.domain, Secret(b"another"))
    await world.settled()
    assert world.record(account).proved_at is None
    world.keeper.accepted_at_target(account, world.domain, Secret(b"one"))
    await world.settled()
    assert world.record(account).proved_at is not None


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.PRECOPY, Phase.BACKFILL])
async def test_an_account_that_goes_to_the_target_at_once_has_its_password_there_first(
    world: World, phase: Phase
) -> None:
    account = world.account(phase)
    assert (await world.login_after_flip(account, b"good")).in_place
    assert world.target_takes(b"good")
    assert world.record(account).proved_at is not None


async def test_a_missing_account_at_the_target_is_told_and_nothing_is_refused(world: World) -> None:
    account = world.account()
    world.users.write_text("other@a.test:{PLAIN}other\n")
    trust = await world.login_after_flip(account, b"good")
    assert (trust.in_place, trust.answer, trust.cause) == (False, Answer.TEMPORARY, Cause.TARGET_REFUSED)


# --- secrets


async def test_a_destroyed_key_keeps_the_login_and_loses_the_secret(world: World, keyring: KeyRing) -> None:
    account = world.account()
    await world.login_before_flip(account, b"good")
    await world.settled()
    keyring.destroy("a.test", 1)
    with pytest.raises(KeyDestroyed):
        await world.keeper.sealed_password(account, world.domain)
    await world.login_before_flip(account, b"next")
    assert not (await world.keeper.push_and_prove(account, world.domain)).in_place
    await world.settled()


@pytest.mark.hazard("T31")
async def test_no_password_is_left_in_any_file(world: World, tmp_path: Path) -> None:
    words = [canary() for _ in range(3)]
    account = world.account(Phase.SWITCHED)
    await world.login_before_flip(account, words[0].encode())
    await world.settled()
    assert (await world.login_after_flip(account, words[1].encode())).in_place
    await world.keeper.refused_at_source(account, world.domain, Secret(words[1].encode()))
    world.change_at_target(b"x")
    assert not (await world.login_after_flip(account, words[2].encode())).in_place
    world.store.close()
    assert not search_files(tmp_path, [*words, *(word.split()[1] for word in words)])


async def test_a_push_goes_on_after_the_flip_only_over_what_is_ours(world: World) -> None:
    account = world.account(Phase.PRECOPY)
    await world.keeper.accepted_at_source(account, world.domain, Secret(b"one"), witness())
    account = world.moved(account, Event.EARLY_SWITCH)
    world.store.run_now(
        "noted", lambda conn: passwords.pushed(conn, account.id, password_epoch=1, pushed_hash="{X}ours")
    )
    world.keeper.push_soon(account.id)
    await world.settled()
    assert world.target_takes(b"first")
    assert world.record(account).target_wins


class Overtaken(PasswdFile):
    """The users file, where another process records a newer password right behind the first push."""

    def __init__(self, world: World, newer: Callable[[], None]) -> None:
        super().__init__(world.users, threads=world.threads)
        self._newer: Callable[[], None] | None = newer

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        result = await super().push(address, new, expected=expected)
        newer, self._newer = self._newer, None
        if newer is not None:
            newer()
        return result


@pytest.mark.hazard("T23")
async def test_a_push_that_came_late_repairs_what_it_overwrote(world: World) -> None:
    account = world.account(Phase.SWITCHED)

    def newer() -> None:
        sealed = world.keyring.seal("a.test", 1, account.id, Purpose.PUSH, Secret(b"newer"))
        world.store.run_now(
            "newer",
            lambda conn: passwords.verified(
                conn, account.id, password_epoch=1, verifier="x", sealed=sealed, window_number=1
            ),
        )

    keeper = PasswordKeeper(
        database=world.store,
        keyring=world.keyring,
        backend=Overtaken(world, newer),
        scheme=world.scheme,
        prove=world.prove,
        threads=world.threads,
    )
    with pytest.raises(Conflict):
        await keeper.bring_to_target(account, world.domain, Secret(b"late"), witness())
    assert world.target_takes(b"newer")
    assert world.record(account).pushed_hash == world.stored()
    assert world.logins == []  # whoever recorded the newer one proves it
