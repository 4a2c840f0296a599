"""A password's life at a real Dovecot: after each chapter its own logins say which password opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mailferry.model.access import Side
from mailferry.model.account import Phase
from mailferry.model.causes import Answer
from mailferry.store import accounts, domains
from tests.kit.clocked import WorldTime
from tests.kit.move import DOMAIN, Move
from tests.kit.real_target import RealTarget
from tests.life.conftest import Service
from tests.life.steps import (
    DAY,
    HOUR,
    MINUTE,
    choose_password,
    fill,
    logged_in_once,
    password_record,
    source_logins,
)

pytestmark = [pytest.mark.slow, pytest.mark.deadline(120), pytest.mark.peer("dovecot")]

HANDED_OUT = b"handed out with the new mailbox"
FIRST, SECOND, THIRD, FOURTH, FIFTH = (
    b"%s at the source" % n for n in (b"1st", b"2nd", b"3rd", b"4th", b"5th")
)
CHOSEN = b"chosen at the target"
THIEFS = b"set by a thief at the source"
LONG = b"x" * 80
EVERY = (HANDED_OUT, FIRST, SECOND, THIRD, FOURTH, FIFTH, CHOSEN, THIEFS, LONG)

Begin = Callable[..., Awaitable[Move]]


@pytest.fixture
def begin(service: Service, time: WorldTime, start_peer: Callable[..., Any]) -> Begin:
    """A function that starts the service before a real Dovecot."""

    async def start(scheme: str = "SSHA512", **sql: str) -> Move:
        target = RealTarget(start_peer, scheme)
        time.outside.append(target.outside)
        target.choose(HANDED_OUT)
        settings = {**target.settings, "sql": {"url": target.url, **sql}}
        move = await service(target=target, passwords=settings)
        choose_password(move.source, FIRST)
        return move

    return start


async def opens(move: Move) -> set[bytes]:
    """Return every password that opens the target, once all that goes on has come to its end."""
    await move.time.settle()
    return await move.target.opened_by(EVERY)


async def follows(move: Move, octets: bytes, side: Side) -> None:
    """The user has another password at the source, logs in with it, and it alone opens the target."""
    choose_password(move.source, octets)
    admission = await move.admitted(octets)
    assert admission.side is side
    await move.logout(admission)
    assert await opens(move) == {octets}


async def is_refused(move: Move, octets: bytes, *, open_stays: bytes) -> None:
    assert (await move.rejected(octets)).answer is Answer.REFUSED
    assert await opens(move) == {open_stays}


async def flipped(move: Move) -> None:
    await move.time.until(lambda: move.phase() is Phase.SWITCHED, within=2 * MINUTE)


async def closed(move: Move) -> None:
    await move.time.until(lambda: move.phase() is Phase.CLOSED, within=2 * HOUR, step=MINUTE)


@pytest.mark.hazard("T32")
async def test_the_target_opens_with_what_the_source_took_last_until_the_window_is_over(
    begin: Begin, time: WorldTime
) -> None:
    move = await begin()
    assert await opens(move) == {HANDED_OUT}
    fill(move)
    await follows(move, FIRST, Side.SOURCE)
    await follows(move, SECOND, Side.SOURCE)
    await is_refused(move, FIRST, open_stays=SECOND)
    await move.copy()
    await flipped(move)
    assert await move.target.messages("Projects") == 3

    await time.advance(10 * DAY, step=DAY)
    await follows(move, THIRD, Side.TARGET)
    await is_refused(move, SECOND, open_stays=THIRD)

    await time.advance(15 * DAY, step=5 * DAY)
    move.database.run_now("extend", lambda conn: domains.extend(conn, DOMAIN, 30))
    await time.advance(20 * DAY, step=5 * DAY)
    await follows(move, FOURTH, Side.TARGET)

    await time.advance(15 * DAY, step=5 * DAY)
    window = move.domain().window_number
    await closed(move)
    assert not move.copier.parts.keyring.holds(DOMAIN, window)
    asked = source_logins(move)
    choose_password(move.source, FIFTH)
    await is_refused(move, FIFTH, open_stays=FOURTH)
    assert source_logins(move) == asked

    move.database.run_now("again", lambda conn: domains.extend(conn, DOMAIN, 30))
    await logged_in_once(move, FOURTH)
    assert move.phase() is Phase.SWITCHED
    await follows(move, FIFTH, Side.TARGET)


@pytest.mark.hazard("T22")
async def test_a_password_chosen_at_the_target_outlives_the_stolen_one_and_the_thiefs(
    begin: Begin, time: WorldTime
) -> None:
    move = await begin()
    fill(move)
    await follows(move, FIRST, Side.SOURCE)
    await follows(move, SECOND, Side.SOURCE)
    await move.copy()
    await flipped(move)

    move.target.choose(CHOSEN)  # its owner knows that the old one was stolen; nobody tells us
    await is_refused(move, SECOND, open_stays=CHOSEN)
    choose_password(move.source, FIRST)  # set back there, to one that was good before
    await is_refused(move, FIRST, open_stays=CHOSEN)
    choose_password(move.source, THIEFS)
    await is_refused(move, THIEFS, open_stays=CHOSEN)
    await logged_in_once(move, CHOSEN)

    await time.advance(DAY, step=6 * HOUR)
    await is_refused(move, THIEFS, open_stays=CHOSEN)
    await time.advance(29 * DAY, step=5 * DAY)
    await closed(move)
    await is_refused(move, THIEFS, open_stays=CHOSEN)
    await logged_in_once(move, CHOSEN)


async def test_a_password_that_the_target_cannot_hold_stays_at_the_source_and_waits_for_another(
    begin: Begin, time: WorldTime
) -> None:
    move = await begin("BLF-CRYPT")
    fill(move)
    choose_password(move.source, LONG)
    served = await move.admitted(LONG)
    assert served.side is Side.SOURCE
    await move.logout(served)
    await move.copy()
    await time.advance(10 * MINUTE, step=MINUTE)
    assert move.phase() is Phase.PRECOPY, "it is proxied on"
    assert await opens(move) == {HANDED_OUT}

    await follows(move, FIRST, Side.SOURCE)
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=6 * MINUTE)
    choose_password(move.source, LONG)
    assert (await move.rejected(LONG)).answer is Answer.TEMPORARY
    assert await opens(move) == {FIRST}


async def test_the_first_login_makes_the_account_where_the_site_says_how(
    begin: Begin, time: WorldTime
) -> None:
    create = "INSERT INTO mailbox (username, password) VALUES (:address, :hash)"
    move = await begin(create=create)
    move.target.remove_user()
    fill(move)
    await move.rejected(b"somebody's guess")
    assert await opens(move) == set(), "a password that the source refuses makes nothing"
    await follows(move, FIRST, Side.SOURCE)
    await move.copy()
    await flipped(move)
    assert await move.target.messages("Projects") == 3
    await follows(move, SECOND, Side.TARGET)


async def test_a_copy_that_goes_on_after_the_window_still_sets_its_password(
    begin: Begin, time: WorldTime
) -> None:
    move = await begin()
    move.target.remove_user()
    fill(move)
    await logged_in_once(move, FIRST)
    await move.copy()
    await time.advance(40 * DAY, step=10 * DAY)
    assert move.phase() is Phase.BLOCKED, "the target has no such account"
    move.target.choose(HANDED_OUT)
    move.database.run_now("retry", lambda conn: accounts.wake(conn, move.known().id))
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=6 * MINUTE)
    assert await opens(move) == {FIRST}
    await closed(move)
    assert await opens(move) == {FIRST}


@pytest.mark.hazard("T32")
async def test_once_the_key_is_destroyed_nothing_is_set_any_more(begin: Begin, time: WorldTime) -> None:
    move = await begin()
    move.target.remove_user()
    fill(move)
    await logged_in_once(move, FIRST)
    await move.copy()
    await time.advance(60 * DAY, step=10 * DAY)
    await time.until(lambda: password_record(move).sealed is None, within=2 * HOUR, step=MINUTE)
    move.target.choose(HANDED_OUT)
    await time.advance(DAY, step=6 * HOUR)
    served = await move.admitted(FIRST)
    assert served.side is Side.SOURCE, "a copy that was not finished leaves its user there"
    await move.logout(served)
    assert await opens(move) == {HANDED_OUT}
