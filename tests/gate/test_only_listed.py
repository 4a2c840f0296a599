"""Domains that move listed accounts alone: every other address is the target's, and the old host never hears of it."""

from __future__ import annotations

import pytest

from mailferry.app.gate_building import make_checker
from mailferry.model.access import Protocol, Secret, Side
from mailferry.model.account import Phase, State, Trigger
from mailferry.model.causes import Answer, Cause
from mailferry.observe.log import get_log
from mailferry.roster import accounts as roster
from mailferry.roster.account_files import import_accounts
from mailferry.web.old_mailbox import OldMailbox
from tests.gate.conftest import MakeMove
from tests.kit.move import CLIENT, OLD, OTHER, USER, Move

pytestmark = pytest.mark.deadline(30)


def only_listed(move: Move, value: bool = True) -> None:
    move.set_rules(only_listed=value)


def dialled(move: Move) -> int:
    """How many connections the source has seen."""
    return len(move.source.premises.records)


def at_target(move: Move, password: bytes) -> None:
    """Let the target alone know this password."""
    move.users.write_text(f"{USER}:{{PLAIN}}{password.decode()}::::::\n")


def import_the_user(move: Move, source: str = "") -> None:
    file = f"target,source\n{USER},{source}\n".encode()
    import_accounts(move.database, move.parts.keyring, file, who="test")


@pytest.mark.parametrize("protocol", list(Protocol), ids=str)
async def test_an_address_that_is_not_listed_is_judged_by_the_target_alone(
    begin: MakeMove, protocol: Protocol
) -> None:
    move = await begin()
    only_listed(move)
    at_target(move, OTHER)
    old = await move.rejected(OLD, protocol=protocol)
    assert old.answer is Answer.REFUSED, "right at the source, which is not asked"
    admission = await move.admitted(OTHER, protocol=protocol)
    assert admission.side is Side.TARGET
    await move.logout(admission)
    assert dialled(move) == 0
    assert move.account() is None, "a login makes no account of it, or it would be listed"


async def test_a_target_that_is_down_is_no_wrong_password(begin: MakeMove) -> None:
    move = await begin()
    only_listed(move)
    await move.target.stop()
    assert (await move.rejected(OLD)).answer is Answer.TEMPORARY
    assert dialled(move) == 0


@pytest.mark.hazard("T30")
async def test_it_is_shown_as_not_migrating_and_reads_like_any_wrong_password(begin: MakeMove) -> None:
    move = await begin()
    wrong = await move.rejected(b"wrong")
    only_listed(move)
    assert (await move.rejected(b"wrong")).text == wrong.text
    shown = roster.show(move.database, USER)
    assert (shown["address"], shown["state"], shown["phase"]) == (USER, "not_migrating", "LOCAL")
    assert (shown["paused"], shown["messages"]["total"], shown["first_trigger_at"]) == (False, 0, None)


async def test_the_user_page_does_not_show_its_password_to_the_old_host_either(begin: MakeMove) -> None:
    move = await begin()
    only_listed(move)
    page = OldMailbox(
        checker=make_checker(move.parts, move.gate.admit),
        judges=move.penalty,
        database=move.database,
        keyring=move.parts.keyring,
        reactor=move.time.reactor,
        log=get_log("test"),
    )
    for name in ("", "somebody@else.test"):
        verdict = await move.done(page.begin_move(USER, name, Secret(OLD), CLIENT))
        assert verdict.answer is Answer.REFUSED
    assert dialled(move) == 0


async def test_an_account_that_an_import_lists_moves(begin: MakeMove) -> None:
    move = await begin()
    only_listed(move)
    import_the_user(move)
    admission = await move.admitted()
    assert (admission.side, move.known().phase, move.known().trigger) == (
        Side.SOURCE, Phase.PRECOPY, Trigger.IMAP,
    )  # fmt: skip
    await move.logout(admission)


async def test_an_account_that_began_before_goes_on(begin: MakeMove) -> None:
    move = await begin()
    await move.logout(await move.admitted())
    only_listed(move)
    admission = await move.admitted()
    assert (admission.side, move.known().state) == (Side.SOURCE, State.IN_PROGRESS)
    await move.logout(admission)


async def test_a_listed_account_that_chose_a_new_password_may_still_enter_the_old_one(
    begin: MakeMove,
) -> None:
    move = await begin()
    only_listed(move)
    import_the_user(move)
    at_target(move, OTHER)
    await move.logout(await move.admitted(OTHER))
    assert move.known().phase is Phase.LOCAL
    await move.logout(await move.admitted(OLD))
    assert move.known().phase is Phase.BACKFILL


async def test_every_address_may_move_again_once_the_domain_says_so(begin: MakeMove) -> None:
    move = await begin()
    only_listed(move)
    assert (await move.rejected()).cause is Cause.BAD_CREDENTIALS
    only_listed(move, False)
    await move.logout(await move.admitted())
    assert move.known().phase is Phase.PRECOPY
