"""A source that is gone: what the account shows meanwhile, and when the target serves without it."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.gate.admission import Admitted
from mailferry.lab.mailstore import Mailstore
from mailferry.lab.premises import LabAccount
from mailferry.model.access import Side
from mailferry.model.account import ON_TARGET, Phase, State
from mailferry.model.causes import Answer, Cause
from mailferry.store import accounts
from tests.kit.clocked import WorldTime
from tests.kit.move import OLD, OTHER, USER, Move
from tests.kit.scripted import hang_up
from tests.life.conftest import Service
from tests.life.steps import DAY, HOUR, MINUTE, choose_password, fill, letter, logged_in_once, without_account

pytestmark = pytest.mark.deadline(60)
PEER = "wang@old.test"
SOON = {"early_switch_after_hours": 1}


def events(move: Move, address: str = USER) -> list[str]:
    """Return what the history tells, oldest first."""
    account = move.known(address)
    rows = move.database.read_now("history", lambda conn: accounts.log(conn, account.id))
    return [row.event for row in reversed(rows)]


def wake(move: Move, address: str = USER) -> None:
    """Have it tried again at once, as a good login or an administrator does."""
    move.database.run_now("wake", lambda conn: accounts.wake(conn, move.known(address).id))


async def copied_and_gone(move: Move, *, program: bool = False) -> Any:
    """Copy the account while a session keeps it from its flip, then take the source away."""
    fill(move)
    talk = await move.program()
    await move.copy()
    await move.time.until(lambda: not move.unlike(), within=MINUTE)
    if not program:
        await hang_up(talk)
    return talk


# --- what is shown meanwhile


@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.BACKFILL])
async def test_a_source_that_is_gone_for_hours_is_one_line_of_the_history(
    service: Service, time: WorldTime, phase: Phase
) -> None:
    move = await service()
    if phase is Phase.BACKFILL:
        move.set_rules(switch="at-once")
    fill(move)
    await logged_in_once(move)
    await move.source.stop()
    await move.copy()
    await time.advance(HOUR + 5 * MINUTE, step=2 * MINUTE)
    begun, failed = events(move), move.known()
    assert begun[1:] == ["gave_up"]
    assert (failed.state, failed.cause) == (State.FAILED, Cause.SERVER_DOWN)
    for _ in range(10):
        await time.advance(3 * MINUTE, step=MINUTE)
        now = move.known()
        assert (now.phase, now.epoch, now.cause) == (failed.phase, failed.epoch, Cause.SERVER_DOWN)
        assert now.next_retry_at is not None
        assert time.now() - MINUTE <= now.next_retry_at <= time.now() + MINUTE
    assert events(move) == begun
    assert move.known().failed_runs > failed.failed_runs
    await move.source.start()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)
    assert events(move)[2] == "retried"
    assert not move.unlike()
    shown = move.known()
    assert (shown.cause, shown.next_retry_at, shown.failed_runs) == (None, None, 0)


async def test_another_cause_is_told_in_the_history_once(service: Service, time: WorldTime) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)
    await move.source.stop()
    await move.copy()
    await time.advance(2 * HOUR, step=3 * MINUTE)
    choose_password(move.source, OTHER)
    await move.source.start()
    await time.until(lambda: move.known().cause is Cause.BAD_CREDENTIALS, within=MINUTE)
    shown = move.known()
    assert (shown.phase, shown.next_retry_at) == (Phase.BLOCKED, None)
    assert events(move) == ["source_accepted", "gave_up", "retried", "gave_up"]
    for _ in range(3):
        wake(move)
        await time.advance(MINUTE)
    assert len(events(move)) == 4
    await logged_in_once(move, OTHER)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)


# --- the target serves without it


@pytest.mark.hazard("D20")
async def test_a_source_that_is_gone_for_a_day_leaves_its_accounts_to_the_target(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await copied_and_gone(move, program=True)
    last = move.known().last_run_ended_at
    assert last is not None
    letter(move.source, "not copied yet")
    await move.source.stop()
    await time.advance(2 * HOUR, step=10 * MINUTE)
    await time.advance(DAY - 130 * MINUTE, step=HOUR)
    assert move.phase() is Phase.BLOCKED
    assert (await move.rejected()).answer is Answer.TEMPORARY
    await time.until(lambda: move.phase() is not Phase.BLOCKED, within=20 * MINUTE, step=30)
    assert time.now() - last >= DAY
    assert move.phase() is Phase.BACKFILL
    admission = await move.admitted()
    assert admission.side is Side.TARGET
    await move.logout(admission)
    assert events(move) == ["source_accepted", "gave_up", "early_switch"]
    assert USER in (move.state_dir / "flips.log").read_text()
    letter(move.target, "arrived at the target")
    await time.advance(HOUR, step=5 * MINUTE)
    assert (move.phase(), move.known().cause) == (Phase.STALLED, Cause.SERVER_DOWN)
    await move.source.start()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)
    subjects = [
        bytes(m.octets).split(b"\r\n")[0] for m in move.target.mailstore(USER).inbox.messages.values()
    ]
    assert sorted(subjects) == [
        b"Subject: %s" % text
        for text in (b"arrived at the target", b"not copied yet", b"old 0", b"old 1", b"old 2")
    ]


@pytest.mark.parametrize("hours", [0, 1])
async def test_how_long_is_the_administrators_choice_and_0_is_never(
    service: Service, time: WorldTime, hours: int
) -> None:
    move = await service(copy={"early_switch_after_hours": hours})
    await copied_and_gone(move, program=True)
    await move.source.stop()
    await time.advance(HOUR - 2 * MINUTE, step=3 * MINUTE)
    assert move.phase() is Phase.PRECOPY
    await time.advance(20 * MINUTE if hours else 30 * HOUR, step=2 * MINUTE if hours else 2 * HOUR)
    assert (move.phase() in ON_TARGET) is bool(hours)


@pytest.mark.hazard("D20")
async def test_nobody_is_switched_to_a_target_that_does_not_take_the_password(
    service: Service, time: WorldTime
) -> None:
    move = await service(copy=SOON)
    await copied_and_gone(move, program=True)
    await move.source.stop()
    line = without_account(move)
    await time.advance(3 * HOUR, step=5 * MINUTE)
    assert move.phase() is Phase.BLOCKED
    assert (await move.rejected()).answer is Answer.TEMPORARY
    move.users.write_text(line)
    await time.until(lambda: move.phase() in ON_TARGET, within=2 * MINUTE)


@pytest.mark.hazard("D20")
async def test_a_source_that_refuses_is_not_gone_and_one_that_goes_then_is_counted_from_then(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    await logged_in_once(move)
    choose_password(move.source, OTHER)
    await move.copy()
    await time.advance(3 * DAY, step=HOUR)
    assert (move.phase(), move.known().cause) == (Phase.BLOCKED, Cause.BAD_CREDENTIALS)
    await move.source.stop()
    wake(move)
    await time.advance(22 * HOUR, step=HOUR)
    assert (move.phase(), move.known().cause) == (Phase.BLOCKED, Cause.SERVER_DOWN)
    await time.until(lambda: move.phase() is Phase.BACKFILL, within=2 * HOUR, step=10 * MINUTE)


async def test_a_session_that_the_source_still_serves_shows_that_it_is_not_gone(
    service: Service, time: WorldTime
) -> None:
    move = await service(relayed=True, copy=SOON)
    program = await copied_and_gone(move, program=True)
    move.stall_the_source()
    for _ in range(7):
        await time.advance(10 * MINUTE, step=40)
        program.send(b"a NOOP\r\n")
        await program.expect(b"a OK")
    assert move.phase() is Phase.BLOCKED
    await hang_up(program)
    await time.until(lambda: move.phase() is Phase.BACKFILL, within=3 * MINUTE, step=10)


async def test_logins_that_are_dialling_all_the_time_do_not_hold_the_switch_up(
    service: Service, time: WorldTime
) -> None:
    move = await service(relayed=True, copy=SOON)
    await hang_up(await copied_and_gone(move, program=True))
    move.stall_the_source()
    await time.advance(HOUR - 2 * MINUTE, step=40)
    waiting = move.admit()
    for _ in range(30):
        await time.advance(10)
        if waiting.called:
            admission = await waiting
            if isinstance(admission, Admitted):
                assert (admission.side, move.phase()) == (Side.TARGET, Phase.BACKFILL)
                await move.logout(admission)
                return
            waiting = move.admit()
    raise AssertionError(f"{move.phase()}: no login came through")


async def test_accounts_whose_turn_has_not_come_follow_the_first_one_of_their_domain(
    service: Service, time: WorldTime
) -> None:
    move = await service(copy=SOON)
    move.source.premises.accounts[PEER] = LabAccount(password=OLD)
    move.target.premises.accounts[PEER] = LabAccount(
        store=Mailstore(first_uidvalidity=7000, uidl_prefix=b"peer")
    )
    with move.users.open("a") as users:
        users.write(f"{PEER}:{{PLAIN}}not the old one:::::: \n")
    await copied_and_gone(move, program=True)
    await move.logout(await move.admitted(name=PEER))
    peer = move.known(PEER)
    far = time.now() + DAY
    move.database.run_now("later", lambda conn: accounts.note(conn, peer.id, next_due_at=far))
    await move.source.stop()
    await time.advance(HOUR - 2 * MINUTE, step=3 * MINUTE)
    assert {move.phase(), move.phase(PEER)} == {Phase.PRECOPY}
    await time.until(lambda: move.phase() is Phase.BACKFILL, within=10 * MINUTE, step=10)
    assert move.phase(PEER) is Phase.BACKFILL
    assert events(move, PEER) == ["source_accepted", "early_switch"]
