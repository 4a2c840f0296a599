"""A password judged without a session: who is asked, what it begins, and for how long the source's yes holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailferry.app.gate_building import make_checker
from mailferry.gate.checking import LATELY_SECONDS, CheckAttempt, Checker, Verdict
from mailferry.model.access import Protocol, Secret, Side
from mailferry.model.account import Phase, Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from tests.gate.conftest import MakeMove
from tests.gate.test_blocked_domains import block
from tests.kit.move import CLIENT, OLD, USER, Move

pytestmark = [
    pytest.mark.deadline(30),
    pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True),
]

HOUR = 3600.0


def attempt(password: bytes = OLD, *, name: str = USER, trigger: Trigger = Trigger.SMTP) -> CheckAttempt:
    return CheckAttempt(name, Secret(password), CLIENT, trigger)


def checker_of(move: Move) -> Checker:
    return make_checker(move.parts, move.gate.admit)


async def check(move: Move, password: bytes = OLD, **more: Any) -> Verdict:
    """Judge one password and wait until nothing of it is left."""
    checker = checker_of(move)
    verdict = await move.done(checker.check(attempt(password, **more)))
    await move.done(checker.settled())
    await move.done(move.book.settled())
    await move.done(move.penalty.settled())
    await move.done(move.parts.keeper.settled())
    return verdict


@pytest.mark.parametrize("trigger", [Trigger.SMTP, Trigger.WEBMAIL])
async def test_the_first_yes_begins_the_move_and_leaves_no_session(begin: MakeMove, trigger: Trigger) -> None:
    move = await begin()
    verdict = await check(move, trigger=trigger)
    assert (verdict.accepted, verdict.address, verdict.side) == (True, USER, Side.SOURCE)
    assert (move.phase(), move.known().trigger) == (Phase.PRECOPY, trigger)
    assert len(move.book) == 0


async def test_the_name_is_one_account_however_it_is_spelled(begin: MakeMove) -> None:
    move = await begin()
    assert (await check(move, name=USER.upper() + " ")).address == USER


async def test_a_good_password_is_right_for_a_day_without_asking_the_source(begin: MakeMove) -> None:
    move = await begin(relayed=True)
    await move.logout(await move.admitted())
    move.stall_the_source()
    assert (await check(move)).accepted
    assert (await check(move, b"another")).answer is Answer.TEMPORARY
    await move.time.advance(LATELY_SECONDS + HOUR, step=HOUR)
    assert (await check(move)).answer is Answer.TEMPORARY


async def test_a_pop3_maildrop_in_use_does_not_keep_mail_from_being_sent(begin: MakeMove) -> None:
    move = await begin(source_protocols=("pop3",), source_quirks=frozenset({"pop3_lock"}))
    program = await move.program(Protocol.POP3)
    assert (await check(move)).accepted
    program.close()
    await program.gone()


@pytest.mark.hazard("T22")
async def test_a_password_that_the_source_refused_since_is_asked_again(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    object.__setattr__(move.source.premises.accounts[USER], "password", b"changed there")
    await move.rejected()
    refused = await check(move)
    assert (refused.answer, refused.cause) == (Answer.REFUSED, Cause.BAD_CREDENTIALS)


async def test_a_copy_that_the_source_refused_has_the_next_check_ask_it(begin: MakeMove) -> None:
    move = await begin(relayed=True)
    await move.logout(await move.admitted())
    account = move.known()
    move.database.run_now("cause", lambda conn: accounts.note(conn, account.id, cause=Cause.BAD_CREDENTIALS))
    move.stall_the_source()
    assert (await check(move)).answer is Answer.TEMPORARY


async def test_a_wrong_password_and_an_unknown_user_read_the_same(begin: MakeMove) -> None:
    move = await begin()
    wrong = await check(move, b"wrong")
    stranger = await check(move, name="stranger@old.test")
    elsewhere = await check(move, name="li@elsewhere.test")
    nonsense = await check(move, name="no address")
    assert {v.answer for v in (wrong, stranger, elsewhere, nonsense)} == {Answer.REFUSED}
    assert wrong.text == stranger.text == elsewhere.text
    assert wrong.english.isascii()
    assert move.phase() is None


async def test_after_the_flip_the_target_judges(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    verdict = await check(move)
    assert (verdict.accepted, verdict.side) == (True, Side.TARGET)
    assert (await check(move, b"wrong")).answer is Answer.REFUSED


@pytest.mark.hazard("T21")
async def test_a_source_that_takes_any_password_is_no_judge_of_yesterday_either(begin: MakeMove) -> None:
    move = await begin(relayed=True)
    await move.logout(await move.admitted())
    block(move)
    move.stall_the_source()
    assert (await check(move)).answer is Answer.TEMPORARY


async def test_a_check_that_is_cancelled_leaves_nothing_open(begin: MakeMove) -> None:
    move = await begin(relayed=True)
    move.stall_the_source()
    checker = checker_of(move)
    checking = checker.check(attempt())
    checking.cancel()
    assert (await move.done(checking)).answer is Answer.TEMPORARY
    await move.done(checker.settled())
    await move.done(move.penalty.settled())


class Broken:
    """A store that is down."""

    def read(self, name: str, work: Callable[..., Any]) -> Any:
        raise StoreUnavailable("the database does not answer")


async def test_a_store_that_is_down_is_a_temporary_answer(begin: MakeMove) -> None:
    move = await begin()
    broken: Database = Broken()  # type: ignore[assignment]
    checker = Checker(
        admit=move.gate.admit, database=broken, keeper=move.parts.keeper, restored=None, log=move.parts.log
    )
    assert (await checker.check(attempt())).answer is Answer.TEMPORARY
