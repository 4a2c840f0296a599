"""An account whose user keeps a POP3 session open: it waits, says so, costs nothing, and goes on at once."""

from __future__ import annotations

import pytest

from mailferry.model.access import Protocol
from mailferry.model.account import Phase
from mailferry.roster import accounts as roster
from mailferry.store import accounts, maildrops
from tests.kit.clocked import WorldTime
from tests.kit.move import USER, Move
from tests.kit.scripted import Talk
from tests.life.conftest import Service
from tests.life.steps import MINUTE, fill, letter, source_logins

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D15")]


async def quit_pop3(program: Talk) -> None:
    program.send(b"QUIT\r\n")
    await program.gone()


@pytest.mark.parametrize("protocols", [("imap", "pop3"), ("pop3",)])
async def test_an_account_whose_maildrop_is_in_use_says_so_and_costs_the_source_nothing(
    service: Service, time: WorldTime, protocols: tuple[str, ...]
) -> None:
    move = await service(source_protocols=protocols)
    fill(move)
    program = await move.program(Protocol.POP3)
    await move.copy()
    await time.advance(10)
    asked = source_logins(move)
    reached = len(move.target.premises.records)
    await time.advance(4 * MINUTE, step=5)
    shown = roster.show(move.database, USER)
    assert "POP3 session" in shown["last_run"]["cause_text"]
    assert shown["last_run"]["result"] == "waits"
    assert shown["last_run"]["cause"] is None
    assert move.known().next_retry_at is not None
    assert source_logins(move) == asked
    assert len(move.target.premises.records) == reached
    await quit_pop3(program)
    passed = await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE)
    assert passed <= 6, "one short look at the store after QUIT"
    assert move.known().cause_text is None


async def test_new_mail_follows_while_the_user_has_the_maildrop(service: Service, time: WorldTime) -> None:
    move = await service()
    fill(move)
    program = await move.program(Protocol.POP3)
    await move.copy()
    await time.until(lambda: not move.unlike(), within=10)
    letter(move.source, "during the session")
    await time.until(lambda: not move.unlike(), within=5 * MINUTE + 6, step=5)
    await quit_pop3(program)


async def copied_over_pop3(move: Move) -> Talk:
    """Have everything copied and its UIDLs learnt, and open a POP3 session behind that."""
    fill(move)
    imap = await move.program()
    pop3 = await move.program(Protocol.POP3)
    await move.copy()
    await move.time.until(lambda: not move.unlike(), within=10)
    await quit_pop3(pop3)
    await move.time.advance(10)
    pop3 = await move.program(Protocol.POP3)
    imap.send(b"x LOGOUT\r\n")
    await imap.gone()
    return pop3


async def test_a_cutover_that_only_a_pop3_session_holds_up_comes_seconds_after_it(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    program = await copied_over_pop3(move)
    await time.advance(5 * MINUTE, step=4)
    assert move.phase() is Phase.PRECOPY
    asked = source_logins(move)
    await time.advance(3 * MINUTE, step=4)
    assert source_logins(move) - asked <= 4, "no pass for every look"
    assert move.known().cause_text is not None
    await quit_pop3(program)
    assert await time.until(lambda: move.phase() is Phase.SWITCHED, within=MINUTE) <= 6


@pytest.mark.hazard("D17")
@pytest.mark.hazard("D25")
@pytest.mark.parametrize("in_freeze", [False, True], ids=["before a freeze", "inside of it"])
async def test_no_account_is_switched_while_pop3_is_still_to_say_what_left_the_inbox(
    service: Service, time: WorldTime, in_freeze: bool
) -> None:
    """Else copies of what was deleted past us would stay at the target for ever."""
    move = await service()
    for number in range(12):
        letter(move.source, str(number))
    program = await move.program()
    await move.copy()
    await time.until(lambda: not move.unlike(), within=10)
    await time.advance(10)
    opens_again = time.now() + 15 * MINUTE
    move.database.run_now(
        "the source wants a pause",
        lambda conn: maildrops.note(conn, move.known().id, next_login_at=opens_again),
    )
    inbox = move.source.mailstore(USER).inbox
    if in_freeze:
        inbox.remove([5])
    else:
        program.send(b"s SELECT INBOX\r\n")
        for _ in range(6):  # it is at work: no quiet moment, and passes meanwhile
            await time.advance(MINUTE, step=5)
            inbox.remove([5])
            program.send(b"n NOOP\r\n")
        assert "pause between two logins" in (move.known().cause_text or "")
    program.send(b"x LOGOUT\r\n")
    while time.now() < opens_again - MINUTE:
        await time.advance(MINUTE, step=2)
        assert move.phase() is Phase.PRECOPY
    assert len(move.target.mailstore(USER).inbox.messages) == 12
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=10 * MINUTE)
    assert not move.unlike()
    told = [row.event for row in move.database.read_now("log", lambda c: accounts.log(c, move.known().id))]
    assert ("backed_out" in told) is in_freeze
