"""Gate and copier together in one reactor: a login starts the copy, the copy ends in a flip."""

from __future__ import annotations

import math

import pytest

from mailferry.lab.mail_generator import MailGenerator
from mailferry.model.access import Protocol, Secret, Side
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.model.tap import Deletions
from mailferry.roster import account_changes
from mailferry.store import accounts, domains, passwords
from mailferry.store.domains import DAY
from tests.gate.conftest import MakeMove
from tests.kit.move import DOMAIN, OLD, USER, Move

pytestmark = pytest.mark.deadline(30)


def fill(move: Move, count: int = 60) -> None:
    MailGenerator(3).fill(move.source.mailstore(USER), count)


async def test_a_login_is_copied_and_flipped_and_the_next_one_goes_to_the_target(begin: MakeMove) -> None:
    move = await begin()
    fill(move)
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    assert move.target.mailstore(USER).fingerprint() == move.source.mailstore(USER).fingerprint()
    admission = await move.admitted()
    assert admission.side is Side.TARGET
    await move.logout(admission)
    assert (move.state_dir / "flips.log").read_text().count(USER) == 1


@pytest.mark.hazard("D15")
async def test_nothing_is_flipped_while_a_pop3_session_is_open(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 5)
    session = await move.admitted(protocol=Protocol.POP3)
    await move.copy()
    await move.time.advance(120, step=5)  # the copy is long complete by then
    assert move.phase() is Phase.PRECOPY
    await move.logout(session)
    await move.wait_for(Phase.SWITCHED)


@pytest.mark.hazard("D15")
async def test_an_imap_session_in_idle_is_ended_before_the_freeze(begin: MakeMove) -> None:
    from twisted.internet.defer import ensureDeferred

    move = await begin()
    fill(move, 5)
    session = await move.admitted()
    asked = []

    class Idle:
        def stop(self) -> None:
            if not asked:
                asked.append(move.phase())
                ensureDeferred(move.logout(session))

        def abort(self, reason: str) -> None:
            raise AssertionError(reason)

        def quiet_for(self) -> float:
            return math.inf

        def deletions(self) -> Deletions:
            return Deletions()

    session.session.attach(Idle())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    assert asked == [Phase.PRECOPY], "the session was ended before the account was frozen"


async def test_an_account_whose_password_the_target_does_not_take_stays_at_the_source(
    begin: MakeMove,
) -> None:
    move = await begin()
    fill(move, 5)
    move.users.write_text("somebody@else.test:{PLAIN}x::::::\n")
    await move.logout(await move.admitted())
    await move.copy()
    await move.until(lambda: move.known().cause is not None)
    account = move.known()
    assert (account.cause, account.phase) == (Cause.TARGET_REFUSED, Phase.PRECOPY)
    assert account.cause_text == "the target has no such account"
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    await move.logout(admission)


@pytest.mark.hazard("D20")
async def test_a_source_that_goes_away_during_the_copy_is_waited_for(begin: MakeMove) -> None:
    move = await begin()
    fill(move)
    await move.logout(await move.admitted())
    await move.parts.keeper.settled()
    await move.source.switch_off("imap")
    await move.copy()
    await move.time.advance(300, step=5)
    account = move.known()
    assert account.cause is Cause.SERVER_DOWN
    assert account.phase is Phase.PRECOPY
    move.source.switch_on("imap")
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=60)
    assert move.target.mailstore(USER).fingerprint() == move.source.mailstore(USER).fingerprint()


async def test_late_mail_is_fetched_at_the_next_login(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 5)
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    move.source.mailstore(USER).deliver(b"Subject: late\r\n\r\nmail\r\n")
    await move.logout(await move.admitted())
    await move.until(lambda: not move.unlike(), within=2)


async def test_an_imported_account_is_copied_and_waits_for_its_user(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 10)
    move.database.run_now("import", lambda c: accounts.ensure(c, USER, DOMAIN))
    account_changes.password(move.database, move.parts.keyring, USER, Secret(OLD), who="test")
    before = move.users.read_bytes()
    await move.copy()
    await move.until(lambda: move.known().copied == 10)
    account = move.known()
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.IMPORT)
    assert move.users.read_bytes() == before, "an import alone never sets a password"
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    await move.logout(admission)
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=305, step=5)


@pytest.mark.hazard("T32")
async def test_when_the_window_is_over_the_account_is_closed_and_its_password_cannot_be_opened(
    begin: MakeMove,
) -> None:
    move = await begin()
    fill(move, 3)
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    ended = move.domain().window_number

    await move.time.advance(30 * DAY, step=DAY)
    await move.time.advance(2 * 3600, step=60)  # a window is seen over for an hour before it ends
    assert move.phase() is Phase.CLOSED
    assert move.database.read_now("row", lambda c: passwords.get(c, move.known().id)).sealed is None
    assert not move.parts.keyring.holds(DOMAIN, ended)
    closed = await move.admitted()
    assert closed.side is Side.TARGET
    await move.logout(closed)
    move.database.run_now("again", lambda c: domains.extend(c, DOMAIN, 30))
    reopened = await move.admitted()
    assert move.phase() is Phase.SWITCHED
    await move.logout(reopened)
