"""Gate and copier together in one reactor: a login starts the copy, the copy ends in a flip."""

from __future__ import annotations

import math

import pytest

from mailferry.copying.housekeeping import Housekeeping
from mailferry.lab.mail_generator import MailGenerator
from mailferry.model.access import Protocol, Secret, Side
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Cause
from mailferry.observe.log import get_log
from mailferry.roster import account_changes
from mailferry.store import accounts, domains, passwords
from mailferry.store.database import db_now
from tests.gate.conftest import MakeMove
from tests.kit.move import DOMAIN, OLD, USER, Move

pytestmark = pytest.mark.deadline(30)


def fill(move: Move, count: int = 60) -> None:
    MailGenerator(3).fill(move.source.mailstore(USER), count)


async def test_a_login_is_copied_and_flipped_and_the_next_one_goes_to_the_target(begin: MakeMove) -> None:
    move = await begin()
    fill(move)
    await move.logout(await move.admitted())
    move.queue.begin()
    await move.wait_for(Phase.SWITCHED)
    assert move.target.mailstore(USER).fingerprint() == move.source.mailstore(USER).fingerprint()
    admission = await move.admitted()
    assert admission.side is Side.TARGET
    await move.logout(admission)
    assert (move.users.parent / "flips.log").read_text().count(USER) == 1


@pytest.mark.hazard("D15")
async def test_nothing_is_flipped_while_a_pop3_session_is_open(begin: MakeMove) -> None:
    from twisted.internet import reactor, task

    move = await begin()
    fill(move, 5)
    session = await move.admitted(protocol=Protocol.POP3)
    move.queue.begin()
    await task.deferLater(reactor, 4, lambda: None)  # the copy is long complete by then
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

    def stop() -> None:
        if not asked:
            asked.append(move.phase())
            ensureDeferred(move.logout(session))

    session.session.attach(stop, lambda: math.inf)
    move.queue.begin()
    await move.wait_for(Phase.SWITCHED)
    assert asked == [Phase.PRECOPY], "the session was ended before the account was frozen"


async def test_an_account_whose_password_the_target_does_not_take_stays_at_the_source(
    begin: MakeMove,
) -> None:
    from twisted.internet import reactor, task

    move = await begin()
    fill(move, 5)
    move.users.write_text("somebody@else.test:{PLAIN}x::::::\n")
    await move.logout(await move.admitted())
    move.queue.begin()
    while (account := move.account()) is None or account.cause is None:
        await task.deferLater(reactor, 0.1, lambda: None)
    assert account.cause is Cause.TARGET_PASSWORD_POLICY
    assert account.phase is Phase.PRECOPY
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    await move.logout(admission)


@pytest.mark.hazard("D20")
async def test_a_source_that_goes_away_during_the_copy_is_waited_for(begin: MakeMove) -> None:
    from twisted.internet import reactor, task

    move = await begin()
    fill(move)
    await move.logout(await move.admitted())
    await move.parts.keeper.settled()
    await move.source.switch_off("imap")
    move.queue.begin()
    while (account := move.account()) is None or account.cause is None:
        await task.deferLater(reactor, 0.1, lambda: None)
    assert account.cause is Cause.SERVER_DOWN
    assert account.phase is Phase.PRECOPY
    move.source.switch_on("imap")
    move.database.run_now("well", lambda c: accounts.note(c, account.id, failed_runs=0))
    move.database.run_now("now", lambda c: accounts.wake(c, account.id))
    await move.wait_for(Phase.SWITCHED)
    assert move.target.mailstore(USER).fingerprint() == move.source.mailstore(USER).fingerprint()


async def test_late_mail_is_fetched_at_the_next_login(begin: MakeMove) -> None:
    from twisted.internet import reactor, task

    move = await begin()
    fill(move, 5)
    await move.logout(await move.admitted())
    move.queue.begin()
    await move.wait_for(Phase.SWITCHED)
    move.source.mailstore(USER).deliver(b"Subject: late\r\n\r\nmail\r\n")
    await move.logout(await move.admitted())
    while move.target.mailstore(USER).fingerprint() != move.source.mailstore(USER).fingerprint():
        await task.deferLater(reactor, 0.1, lambda: None)


async def test_an_imported_account_is_copied_and_waits_for_its_user(begin: MakeMove) -> None:
    from twisted.internet import reactor, task

    move = await begin()
    fill(move, 10)
    move.database.run_now("import", lambda c: accounts.ensure(c, USER, DOMAIN))
    account_changes.password(move.database, move.parts.keyring, USER, Secret(OLD), who="test")
    before = move.users.read_bytes()
    move.queue.begin()
    while (account := move.account()) is None or account.copied < 10:
        await task.deferLater(reactor, 0.1, lambda: None)
    assert (account.phase, account.trigger) == (Phase.PRECOPY, Trigger.IMPORT)
    assert move.users.read_bytes() == before, "an import alone never sets a password"
    admission = await move.admitted()
    assert admission.side is Side.SOURCE
    await move.logout(admission)
    await move.wait_for(Phase.SWITCHED)


@pytest.mark.hazard("T32")
async def test_when_the_window_is_over_the_account_is_closed_and_its_password_cannot_be_opened(
    begin: MakeMove,
) -> None:
    from twisted.internet import reactor

    move = await begin()
    fill(move, 3)
    await move.logout(await move.admitted())
    move.queue.begin()
    await move.wait_for(Phase.SWITCHED)
    ended = move.domain().window_number

    def end_window(conn: object) -> None:
        from sqlalchemy import update

        from mailferry.store.schema import domains as table

        conn.execute(  # type: ignore[attr-defined]
            update(table).values(window_ends_at=db_now(conn) - 1, window_over_for=7200.0)  # type: ignore[arg-type]
        )

    move.database.run_now("end", end_window)
    keeping = Housekeeping(
        move.database,
        keyring=move.parts.keyring,
        flips_file=move.users.parent / "flips.log",
        reactor=reactor,
        log=get_log("test"),
    )
    await keeping.round()
    assert move.phase() is Phase.CLOSED
    account = move.account()
    assert account is not None
    assert move.database.read_now("row", lambda c: passwords.get(c, account.id)).sealed is None
    assert not move.parts.keyring.holds(DOMAIN, ended)
    closed = await move.admitted()
    assert closed.side is Side.TARGET
    await move.logout(closed)
    move.database.run_now("again", lambda c: domains.extend(c, DOMAIN, 30))
    reopened = await move.admitted()
    assert move.phase() is Phase.SWITCHED
    await move.logout(reopened)
