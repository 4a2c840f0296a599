"""A name typed without a domain: it is an account of the default domain at every door, and of none without one."""

from __future__ import annotations

import pytest

from mailferry.app.gate_building import make_checker
from mailferry.gate.checking import CheckAttempt
from mailferry.model.access import Protocol, Secret
from mailferry.model.account import Trigger
from mailferry.model.causes import Answer, Cause
from tests.gate.conftest import MakeMove
from tests.kit.move import CLIENT, DOMAIN, OLD, USER, Move

pytestmark = pytest.mark.deadline(30)

BARE = USER.partition("@")[0]


async def checked(move: Move, name: str) -> tuple[Answer | None, str]:
    checker = make_checker(move.parts, move.gate.admit)
    verdict = await move.done(checker.check(CheckAttempt(name, Secret(OLD), CLIENT, Trigger.SMTP)))
    await move.done(checker.settled())
    return verdict.answer, verdict.address


@pytest.mark.hazard("T26")
@pytest.mark.parametrize("protocol", list(Protocol))
async def test_a_name_without_a_domain_is_of_the_default_one(begin: MakeMove, protocol: Protocol) -> None:
    move = await begin(default_domain=DOMAIN)
    for typed in (BARE, f" {BARE.upper()} "):
        await move.logout(await move.admitted(name=typed, protocol=protocol))
    assert move.known().address == USER
    assert await checked(move, BARE) == (None, USER)
    assert (await move.rejected(name=f"{BARE}@", protocol=protocol)).answer is Answer.REFUSED


@pytest.mark.hazard("T26")
@pytest.mark.hazard("T29")
async def test_guesses_count_together_whether_the_domain_is_typed_or_not(begin: MakeMove) -> None:
    move = await begin(default_domain=DOMAIN)
    for number in range(5):
        name = BARE if number % 2 else USER
        assert (await move.rejected(b"guess %d" % number, name=name)).answer is Answer.REFUSED
    for name in (BARE, USER):
        held = await move.rejected(b"one more", name=name)
        assert (held.answer, held.cause) == (Answer.TEMPORARY, Cause.RATE_LIMITED)


async def test_without_a_default_domain_such_a_name_is_nobodys(begin: MakeMove) -> None:
    move = await begin()
    assert (await move.rejected(name=BARE)).answer is Answer.REFUSED
    assert await checked(move, BARE) == (Answer.REFUSED, "")
    assert move.account() is None
