"""An account from its first login to the end of its domain's window, and after."""

from __future__ import annotations

import pytest

from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase, State
from mailferry.model.causes import Answer, Cause
from mailferry.store import domains
from tests.kit.clocked import WorldTime
from tests.kit.move import DOMAIN, OLD, OTHER, USER, Move
from tests.life.conftest import Service
from tests.life.steps import (
    DAY,
    HOUR,
    MINUTE,
    choose_password,
    fill,
    letter,
    logged_in_once,
    password_record,
    source_logins,
    switched,
    without_account,
)

pytestmark = pytest.mark.deadline(60)


async def first_day(move: Move, time: WorldTime) -> None:
    """A mail program that stays, a copy, a quiet moment, the flip."""
    fill(move)
    program = await move.program()
    await move.copy()
    passed = await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)
    assert 60 <= passed <= 62, "the session had been silent for a minute"
    await program.expect(b"* BYE")
    await program.gone()
    assert not move.unlike()
    program = await move.program()
    program.send(b"a LOGOUT\r\n")
    await program.expect(b"a OK")
    await program.gone()
    assert move.target.premises.logins(USER)


async def password_changes_at_the_source(move: Move, time: WorldTime) -> None:
    choose_password(move.source, OTHER)
    letter(move.source, "while the kept password is old")
    await time.advance(6 * HOUR, step=HOUR)
    assert move.unlike(), "the source refuses the password that is kept"
    admission = await move.admitted(OTHER)
    assert admission.side is Side.TARGET
    await move.logout(admission)
    await time.until(lambda: not move.unlike(), within=2)
    assert (await move.rejected(OLD)).answer is Answer.REFUSED
    await logged_in_once(move, OTHER)


@pytest.mark.hazard("T32")
async def test_an_account_lives_its_thirty_days(service: Service, time: WorldTime) -> None:
    move = await service()
    await first_day(move, time)
    await time.advance(10 * DAY - time.seconds, step=DAY)
    await password_changes_at_the_source(move, time)
    await time.advance(30 * DAY - time.seconds - MINUTE, step=DAY)
    window = move.domain().window_number
    assert move.phase() is Phase.SWITCHED
    assert password_record(move).sealed is not None

    await time.advance(MINUTE)
    asked = source_logins(move)
    letter(move.source, "too late")
    closed = await time.until(lambda: move.phase() is Phase.CLOSED, within=2 * HOUR, step=MINUTE)
    assert closed >= HOUR - MINUTE, "no wall clock that jumps ends a window"
    assert password_record(move).sealed is None
    assert not move.copier.parts.keyring.holds(DOMAIN, window)
    assert move.known().state is State.DONE

    await time.advance(10 * DAY, step=DAY)
    await logged_in_once(move, OTHER)
    assert (await move.rejected(OLD)).answer is Answer.REFUSED
    await logged_in_once(move, OTHER)
    assert source_logins(move) == asked, "the source is never asked again"


async def closed_by_time(move: Move, time: WorldTime) -> None:
    """Move the account and let its window pass."""
    await switched(move)
    await time.advance(30 * DAY, step=10 * DAY)
    await time.until(lambda: move.phase() is Phase.CLOSED, within=2 * HOUR, step=MINUTE)


async def test_a_window_that_is_opened_again_makes_the_account_follow_again(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await closed_by_time(move, time)
    closed = move.domain().window_number
    move.database.run_now("again", lambda conn: domains.extend(conn, DOMAIN, 30))
    await time.advance(HOUR, step=5 * MINUTE)
    assert move.phase() is Phase.CLOSED, "it begins with the user's next login"
    admission = await move.admitted(protocol=Protocol.POP3)
    assert (admission.side, move.phase()) == (Side.TARGET, Phase.SWITCHED)
    await move.logout(admission)
    choose_password(move.source, OTHER)
    letter(move.source)
    await logged_in_once(move, OTHER)
    await time.until(lambda: not move.unlike(), within=2)
    record = password_record(move)
    assert record.sealed_window == move.domain().window_number
    assert record.sealed_window != closed


async def test_late_mail_comes_again_with_the_next_login_after_a_window_was_opened_again(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await closed_by_time(move, time)
    before = password_record(move)
    assert before.sealed is None
    move.database.run_now("again", lambda conn: domains.extend(conn, DOMAIN, 30))
    letter(move.source, "while it was closed")
    await logged_in_once(move)
    await time.until(lambda: not move.unlike(), within=5)
    record = password_record(move)
    assert record.sealed_window == move.domain().window_number
    assert (record.password_epoch, record.verified_at) == (before.password_epoch, before.verified_at)
    letter(move.source, "later")
    await time.until(lambda: not move.unlike(), within=6 * HOUR + MINUTE, step=10 * MINUTE)
    sealed = password_record(move).sealed
    await logged_in_once(move)
    await time.advance(5)
    assert password_record(move).sealed == sealed, "it is sealed once"


@pytest.mark.hazard("T32")
async def test_a_password_that_only_the_target_knows_is_not_sealed_in_a_new_window(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await closed_by_time(move, time)
    move.users.write_text(f"{USER}:{{PLAIN}}{OTHER.decode()}:::::: \n")
    move.database.run_now("again", lambda conn: domains.extend(conn, DOMAIN, 30))
    await logged_in_once(move, OTHER)
    await time.advance(MINUTE)
    assert move.phase() is Phase.SWITCHED
    assert password_record(move).sealed is None


async def test_a_copy_that_was_given_up_at_its_windows_end_goes_on_in_a_new_one(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    move.set_rules(switch="at-once")
    await logged_in_once(move)
    await time.advance(60 * DAY, step=10 * DAY)
    await move.copy()
    await time.until(lambda: move.known().cause is Cause.WINDOW_OVER, within=3 * HOUR, step=MINUTE)
    assert move.phase() is Phase.STALLED
    assert password_record(move).sealed is None
    move.database.run_now("again", lambda conn: domains.extend(conn, DOMAIN, 30))
    await logged_in_once(move)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE)
    assert not move.unlike()


async def test_a_window_that_is_extended_in_time_ends_later(service: Service, time: WorldTime) -> None:
    move = await service()
    await switched(move)
    await time.advance(29 * DAY, step=10 * DAY)
    move.database.run_now("extend", lambda conn: domains.extend(conn, DOMAIN, 30))
    await time.advance(30 * DAY, step=10 * DAY)
    assert move.phase() is Phase.SWITCHED
    letter(move.source)
    await time.until(lambda: not move.unlike(), within=6 * HOUR + 1, step=HOUR)
    await time.advance(DAY, step=6 * HOUR)
    await time.until(lambda: move.phase() is Phase.CLOSED, within=2 * HOUR, step=MINUTE)


# --- a copy that is not done when the window ends


async def test_a_copy_that_began_in_the_window_goes_on_after_it_and_closes_when_it_is_done(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    line = without_account(move)
    await time.advance(29 * DAY, step=10 * DAY)
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await time.until(lambda: not move.unlike(), within=MINUTE)
    await time.advance(10 * DAY, step=5 * DAY)
    assert move.phase() is Phase.PRECOPY
    letter(move.source, "the copy still follows")
    await time.until(lambda: not move.unlike(), within=5 * MINUTE + 1)
    served = await move.admitted()
    assert served.side is Side.SOURCE, "the source still judges and serves it"
    await move.logout(served)
    move.users.write_text(line)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE + 1)
    window = move.domain().window_number
    await time.until(lambda: move.phase() is Phase.CLOSED, within=2 * HOUR, step=MINUTE)
    assert not move.copier.parts.keyring.holds(DOMAIN, window)


async def test_thirty_days_after_the_window_an_unfinished_copy_waits_for_the_administrator(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    without_account(move)
    fill(move)
    await logged_in_once(move)
    await move.copy()
    await time.until(lambda: not move.unlike(), within=MINUTE)
    await time.advance(60 * DAY - time.seconds - HOUR, step=10 * DAY)
    await time.advance(HOUR - 1, step=MINUTE)
    window = move.domain().window_number
    assert password_record(move).sealed is not None
    await time.advance(2 * MINUTE, step=MINUTE)
    assert password_record(move).sealed is None
    assert not move.copier.parts.keyring.holds(DOMAIN, window)
    asked = source_logins(move)
    await time.advance(DAY, step=6 * HOUR)
    assert (source_logins(move), move.phase()) == (asked, Phase.BLOCKED)
    assert move.known().cause is Cause.WINDOW_OVER
