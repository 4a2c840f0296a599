"""The minutes around a flip: the quiet moment, the drain, the freeze and its deadline, and who waits."""

from __future__ import annotations

import pytest

from mailferry.gate.admission import Admitted
from mailferry.model.access import Protocol, Side
from mailferry.model.account import Phase
from mailferry.model.causes import Answer
from mailferry.store import cutovers
from tests.kit.clocked import WorldTime
from tests.kit.move import OLD, USER
from tests.kit.scripted import dial, hang_up
from tests.life.conftest import Service
from tests.life.steps import (
    HOUR,
    MINUTE,
    a_login_meets_a_freeze_of_20_seconds,
    fill,
    frozen_by_a_copier_that_died,
    letter,
)

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D15")]

TRY = 30 + 15 + 1
"""A try looks for a quiet moment for 30 s, the next one comes 15 s later."""


async def test_a_session_in_idle_is_a_quiet_moment_at_once(service: Service, time: WorldTime) -> None:
    move = await service()
    fill(move)
    program = await move.program()
    program.send(b"a SELECT INBOX\r\nb IDLE\r\n")
    await program.expect(b"+ ")
    await move.copy()
    assert await time.until(lambda: move.phase() is Phase.SWITCHED, within=TRY) < 5
    await program.expect(b"* BYE")
    await program.gone()


async def test_a_session_that_works_is_waited_for_until_it_has_been_silent_for_a_minute(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    program = await move.program()
    await move.copy()
    for number in range(8):
        await time.advance(50)
        program.send(b"a%d NOOP\r\n" % number)
        await program.expect(b"a%d OK" % number)
    assert move.phase() is Phase.PRECOPY
    passed = await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE + TRY)
    assert passed >= 60
    await program.gone()


async def test_a_cutover_has_patience_for_more_than_a_day_and_new_mail_follows_meanwhile(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    program = await move.program(Protocol.POP3)
    await move.copy()
    for third in range(75):
        await time.advance(20 * MINUTE, step=20 * MINUTE)
        program.send(b"NOOP\r\n")
        await program.expect(b"+OK")
        if third % 15 == 0:
            letter(move.source, f"number {third}")
            await time.until(lambda: not move.unlike(), within=5 * MINUTE + TRY, step=30)
    assert time.seconds > 25 * HOUR
    assert move.phase() is Phase.PRECOPY
    program.send(b"QUIT\r\n")
    await program.gone()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE + TRY)
    assert not move.unlike()


async def test_a_drain_that_meets_a_command_under_way_is_dropped_after_ten_seconds(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    fill(move)
    program = await move.program()
    await move.copy()
    await time.until(lambda: move.known().drain_until is not None, within=MINUTE + 2)
    program.send(b"a APPEND INBOX {10}\r\n")
    await program.expect(b"+ ")
    assert move.phase() is Phase.PRECOPY
    login = move.admit()
    passed = await time.until(lambda: move.known().drain_until is None, within=11)
    assert 9 <= passed <= 11
    admission = await move.done(login, within=1)
    assert isinstance(admission, Admitted)
    assert admission.side is Side.SOURCE, "who came during the drain waited for its end"
    await move.logout(admission)
    program.send(b"0123456789\r\n")
    await program.expect(b"a OK")
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)
    assert not move.unlike(), "what was written meanwhile is there"
    await program.gone()


async def test_a_last_pass_that_overruns_is_cut_off_and_the_source_serves_again(
    service: Service, time: WorldTime
) -> None:
    move = await service(relayed=True)
    fill(move)
    program = await move.program()
    await move.copy()
    await time.advance(55)
    move.stall_the_source()
    await time.until(lambda: move.phase() is Phase.FREEZE, within=7)
    login = move.admit()
    await time.advance(10)
    move.let_the_source_answer()
    assert not login.called
    passed = await time.until(lambda: move.phase() is not Phase.FREEZE, within=11)
    assert 9 <= passed <= 11, "the freeze has 20 s"
    assert move.phase() is Phase.PRECOPY
    assert move.known().freeze_overruns == 1
    admission = await move.done(login, within=2)
    assert isinstance(admission, Admitted)
    assert admission.side is Side.SOURCE
    await move.logout(admission)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=TRY)
    await program.gone()


@pytest.mark.hazard("D20")
async def test_a_login_waits_25_seconds_for_a_freeze_and_reads_later_never_wrong(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await frozen_by_a_copier_that_died(move, 60)
    imap, pop3 = await dial(move.ports[Protocol.IMAP]), await dial(move.ports[Protocol.POP3])
    imap.send(b'l LOGIN "%s" "%s"\r\n' % (USER.encode(), OLD))
    pop3.send(b"USER %s\r\nPASS %s\r\n" % (USER.encode(), OLD))
    await time.advance(24.5)
    assert b"l " not in imap.received
    assert imap.received.count(b"\r\n") == 1
    await time.advance(0.75)
    await move.done(imap.expect(b"l NO [UNAVAILABLE]"), within=1)
    await move.done(pop3.expect(b"-ERR [SYS/TEMP]"), within=1)
    await hang_up(imap, pop3)


async def test_a_freeze_whose_deadline_passed_is_set_back_by_the_login_that_meets_it(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await a_login_meets_a_freeze_of_20_seconds(move)


async def test_a_freeze_whose_deadline_passed_is_set_back_by_a_copier(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await frozen_by_a_copier_that_died(move, 25)
    await move.copy()
    await time.advance(24)
    assert move.phase() is Phase.FREEZE
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=TRY)


async def test_logins_that_waited_for_a_freeze_go_to_the_target_after_the_flip(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    frozen = await frozen_by_a_copier_that_died(move, 25)
    logins = [move.admit(), move.admit(protocol=Protocol.POP3)]
    await time.advance(15)
    move.database.run_now("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch))
    for login in logins:
        admission = await move.done(login, within=1)
        assert isinstance(admission, Admitted)
        assert admission.side is Side.TARGET
        await move.logout(admission)
    assert (await move.rejected(b"wrong")).answer is Answer.REFUSED
