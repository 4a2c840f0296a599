"""Logins through the gate against two lab hosts, phase by phase as the design's table states them."""

from __future__ import annotations

import pytest

from mailferry.gate.admission import Admitted
from mailferry.model.access import Protocol, Side
from mailferry.model.account import Event, Phase, Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.store import account_listing, accounts, cutovers, sessions
from mailferry.store.database import db_now
from tests.gate.conftest import MakeMove
from tests.kit.move import OLD, OTHER, USER, Move

pytestmark = pytest.mark.deadline(30)


def apply(move: Move, event: Event) -> None:
    account = move.account()
    assert account is not None
    move.database.run_now("apply", lambda c: accounts.apply(c, account.id, event, epoch=account.epoch))


def rows(move: Move) -> int:
    account = move.account()
    assert account is not None
    return len(move.database.read_now("rows", lambda c: sessions.of_account(c, account.id)))


async def test_the_first_login_is_served_by_the_source_and_starts_the_copy(begin: MakeMove) -> None:
    move = await begin()
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    account = move.account()
    assert account is not None
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.IMAP)
    assert rows(move) == 1
    await move.logout(admission)
    assert rows(move) == 0


async def test_the_session_that_proved_the_password_is_the_one_that_is_given(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    assert len(move.source.premises.logins(USER)) == 1


async def test_a_wrong_password_is_refused_leaves_no_account_and_no_session(begin: MakeMove) -> None:
    move = await begin()
    rejected = await move.rejected(b"wrong")
    assert rejected.answer is Answer.REFUSED
    assert move.account() is None


@pytest.mark.hazard("T30")
async def test_an_unknown_user_and_a_wrong_password_read_the_same(begin: MakeMove) -> None:
    move = await begin()
    wrong = await move.rejected(b"wrong")
    unknown = await move.rejected(b"wrong", name="nobody@old.test")
    elsewhere = await move.rejected(b"wrong", name="nobody@other.test")
    assert wrong == unknown
    assert wrong.answer is elsewhere.answer


@pytest.mark.hazard("D20")
async def test_a_source_that_is_down_is_a_temporary_answer(begin: MakeMove) -> None:
    move = await begin()
    await move.source.stop()
    assert (await move.rejected()).answer is Answer.TEMPORARY
    assert move.account() is None


async def test_source_down_and_target_accepting_serves_the_target_and_changes_nothing(
    begin: MakeMove,
) -> None:
    move = await begin(target_hash="{PLAIN}" + OTHER.decode())
    await move.source.stop()
    admission = await move.admitted(OTHER)
    assert admission.side is Side.TARGET
    assert move.phase() in {None, Phase.IDLE}
    await move.logout(admission)


async def test_a_password_that_only_the_target_knows_makes_the_account_local(begin: MakeMove) -> None:
    move = await begin(target_hash="{PLAIN}" + OTHER.decode())
    admission = await move.admitted(OTHER)
    assert admission.side is Side.TARGET
    assert move.phase() is Phase.LOCAL
    await move.logout(admission)


async def test_the_password_is_set_at_the_target_after_the_login(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    await move.parts.keeper.stop()
    assert b"{SSHA512}" in move.users.read_bytes()


@pytest.mark.hazard("T23")
async def test_a_wrong_password_is_never_set_at_the_target(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    before = move.users.read_bytes()
    await move.rejected(b"wrong")
    after = move.users.read_bytes()
    assert b"wrong" not in after
    assert after == before or b"{SSHA512}" in after


async def test_a_login_waits_for_a_freeze_and_then_goes_to_the_target(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    trust = await move.parts.keeper.push_and_prove(account, move.domain())
    assert trust.in_place
    frozen = move.database.run_now(
        "freeze", lambda c: cutovers.freeze(c, account.id, account.epoch, db_now(c) + 20)
    )
    login = move.admit()
    await move.time.advance(19)
    assert not login.called
    move.database.run_now("flip", lambda c: cutovers.flip(c, frozen.id, frozen.epoch))
    admission = await move.done(login)
    assert isinstance(admission, Admitted)
    assert admission.side is Side.TARGET
    assert move.phase() is Phase.SWITCHED
    await move.logout(admission)


async def test_an_expired_freeze_is_set_back_by_the_login_that_meets_it(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    move.database.run_now("freeze", lambda c: cutovers.freeze(c, account.id, account.epoch, db_now(c) + 20))
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    assert move.phase() is Phase.PRECOPY
    await move.logout(admission)


@pytest.mark.hazard("T22")
async def test_before_the_flip_a_password_we_pushed_does_not_open_the_target_when_the_source_refuses_it(
    begin: MakeMove,
) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    assert (await move.parts.keeper.push_and_prove(account, move.domain())).in_place
    object.__setattr__(move.source.premises.accounts[USER], "password", OTHER)
    assert (await move.rejected(OLD)).answer is Answer.REFUSED
    assert move.phase() is Phase.PRECOPY


async def test_a_source_without_imap_serves_imap_from_the_target_at_once(begin: MakeMove) -> None:
    move = await begin(source_protocols=("pop3",))
    admission = await move.admitted()
    assert admission.side is Side.TARGET
    assert move.phase() is Phase.BACKFILL
    await move.logout(admission)


async def test_a_source_without_imap_serves_pop3(begin: MakeMove) -> None:
    move = await begin(source_protocols=("pop3",))
    admission = await move.admitted(protocol=Protocol.POP3)
    assert admission.side is Side.SOURCE
    assert move.phase() is Phase.PRECOPY
    await move.logout(admission)


async def test_a_domain_that_switches_at_once_is_served_by_the_target_from_the_first_login(
    begin: MakeMove,
) -> None:
    move = await begin()
    move.set_rules(switch="at-once")
    admission = await move.admitted()
    assert admission.side is Side.TARGET
    assert move.phase() is Phase.BACKFILL
    await move.logout(admission)


@pytest.mark.hazard("T20")
@pytest.mark.parametrize(
    "name", ["li*mailferry@old.test", "li@old.test*mailferry", "li%x@old.test", "li\r\n@x"]
)
async def test_a_master_users_separator_in_a_login_name_is_refused_at_the_door(
    begin: MakeMove, name: str
) -> None:
    move = await begin()
    assert (await move.rejected(b"master secret", name=name)).answer is Answer.REFUSED
    assert move.database.read_now("count", account_listing.count) == 0, "no account is made of it"
    assert not move.source.premises.records
    assert not move.target.premises.records


async def test_after_the_flip_the_target_judges_and_a_changed_password_at_the_source_follows(
    begin: MakeMove,
) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    assert (await move.parts.keeper.push_and_prove(account, move.domain())).in_place
    apply(move, Event.FREEZE_SET)
    apply(move, Event.FLIPPED)
    first = await move.admitted(OLD)
    assert first.side is Side.TARGET
    await move.logout(first)
    object.__setattr__(move.source.premises.accounts[USER], "password", OTHER)
    second = await move.admitted(OTHER)
    assert second.side is Side.TARGET
    await move.logout(second)
    assert (await move.rejected(b"wrong")).answer is Answer.REFUSED


@pytest.mark.hazard("T22")
async def test_a_password_changed_at_the_target_is_not_undone_by_the_old_one(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    assert (await move.parts.keeper.push_and_prove(account, move.domain())).in_place
    apply(move, Event.FREEZE_SET)
    apply(move, Event.FLIPPED)
    move.users.write_text(f"{USER}:{{PLAIN}}chosen at the target::::::\n")
    assert (await move.rejected(OLD)).answer is Answer.REFUSED
    assert "chosen at the target" in move.users.read_text()
    admission = await move.admitted(b"chosen at the target")
    assert admission.side is Side.TARGET
    await move.logout(admission)


async def test_a_good_password_lets_a_copy_that_failed_for_want_of_one_go_on(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    account = move.account()
    assert account is not None
    move.database.run_now(
        "give up",
        lambda c: accounts.apply(
            c, account.id, Event.GAVE_UP, epoch=account.epoch, cause=Cause.BAD_CREDENTIALS
        ),
    )
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
