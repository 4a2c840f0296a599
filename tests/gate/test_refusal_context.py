"""A good password that is refused with words that mean anything: slowed down, or the whole domain shut out."""

from __future__ import annotations

import pytest

from mailferry.gate.judges import Judgement
from mailferry.lab.premises import LabAccount
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.plan.routing import Outcome
from tests.gate.conftest import MakeMove
from tests.gate.test_penalty import ask
from tests.kit.move import OLD, USER, Move

pytestmark = pytest.mark.deadline(30)

HOUR = 3600.0
USERS = [f"user{number}@old.test" for number in range(6)]


async def known_good(move: Move, *names: str) -> None:
    for name in names:
        await move.logout(await move.admitted(name=name))
    await move.parts.keeper.settled()
    await move.penalty.settled()


def said(judged: Judgement) -> tuple[Outcome, Cause | None]:
    return judged.outcome, judged.cause


@pytest.mark.hazard("T29")
async def test_a_password_that_worked_yesterday_is_slowed_down_and_not_refused(begin: MakeMove) -> None:
    move = await begin()
    await known_good(move, USER)
    move.source.premises.quirks.add("post_cutover_block")
    assert said(await ask(move, OLD)) == (Outcome.UNAVAILABLE, Cause.RATE_LIMITED)
    assert said(await ask(move, b"another")) == (Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)
    await move.time.advance(25 * HOUR, step=HOUR)
    assert said(await ask(move, OLD)) == (Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)


async def test_a_copy_waits_where_its_password_worked_yesterday(begin: MakeMove) -> None:
    move = await begin()
    await known_good(move, USER)
    move.source.premises.quirks.add("post_cutover_block")
    await move.copy()
    await move.until(lambda: move.known().cause is not None)
    assert (move.known().cause, move.known().phase) == (Cause.RATE_LIMITED, Phase.PRECOPY)


async def test_a_domain_whose_good_passwords_all_fail_at_once_has_been_shut_out(begin: MakeMove) -> None:
    accounts = {name: LabAccount(password=OLD) for name in USERS}
    move = await begin(source_accounts=accounts)
    await known_good(move, *USERS[:5])
    await move.time.advance(25 * HOUR, step=HOUR)
    quirks = move.source.premises.quirks
    quirks.add("post_cutover_block")
    alone = [said(await ask(move, OLD, name=name)) for name in USERS[:4]]
    assert alone == [(Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)] * 4
    shut_out = (Outcome.UNAVAILABLE, Cause.SOURCE_REFUSES_DOMAIN)
    assert said(await ask(move, OLD, name=USERS[4])) == shut_out
    assert said(await ask(move, OLD, name=USERS[0])) == shut_out
    assert said(await ask(move, OLD, name=USERS[5])) == shut_out  # its first login
    quirks.discard("post_cutover_block")
    assert (await ask(move, OLD, name=USERS[5])).outcome is Outcome.ACCEPTED
    assert said(await ask(move, b"wrong", name=USERS[0])) == (Outcome.REFUSED, Cause.BAD_CREDENTIALS)


@pytest.mark.parametrize(
    ("refused", "last"),
    [
        ("xx.xx.xx.x", (Outcome.UNAVAILABLE, Cause.SOURCE_REFUSES_DOMAIN)),
        ("x.x.x.x.xx", (Outcome.UNAVAILABLE, Cause.SOURCE_REFUSES_DOMAIN)),
        ("x.x.x.x..x", (Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)),
        ("xx.xx.xx.", (Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)),
    ],
    ids=["most", "six-of-ten", "five-of-ten", "nine"],
)
async def test_a_domain_of_whose_good_passwords_over_half_fail_has_been_shut_out(
    begin: MakeMove, refused: str, last: tuple[Outcome, Cause]
) -> None:
    names = [f"user{number}@old.test" for number in range(len(refused) + 1)]
    move = await begin(source_accounts={name: LabAccount(password=OLD) for name in names})
    await known_good(move, *names[:-1])
    await move.time.advance(25 * HOUR, step=HOUR)
    quirks = move.source.premises.quirks
    answers = []
    for name, sign in zip(names, refused, strict=False):
        (quirks.add if sign == "x" else quirks.discard)("post_cutover_block")
        answers.append(await ask(move, OLD, name=name))
    assert "".join("." if one.outcome is Outcome.ACCEPTED else "x" for one in answers) == refused
    quirks.add("post_cutover_block")
    assert said(await ask(move, OLD, name=names[-1])) == last  # its first login


@pytest.mark.hazard("T29")
async def test_guesses_shut_nobody_out_and_count_while_somebody_else_does(begin: MakeMove) -> None:
    accounts = {name: LabAccount(password=OLD) for name in USERS}
    move = await begin(source_accounts=accounts)
    for name in USERS:
        assert said(await ask(move, b"guess", name=name)) == (Outcome.REFUSED, Cause.BAD_CREDENTIALS)
    await known_good(move, *USERS[:5])
    move.source.premises.quirks.add("post_cutover_block")
    for name in USERS[:5]:
        await ask(move, OLD, name=name)
    guessed = [said(await ask(move, b"guess %d" % number, name=USERS[5])) for number in range(6)]
    shut_out = (Outcome.UNAVAILABLE, Cause.SOURCE_REFUSES_DOMAIN)
    assert guessed == [shut_out] * 4 + [(Outcome.UNAVAILABLE, Cause.RATE_LIMITED)] * 2


async def test_refusals_that_are_far_apart_are_not_at_once(begin: MakeMove) -> None:
    accounts = {name: LabAccount(password=OLD) for name in USERS}
    move = await begin(source_accounts=accounts)
    await known_good(move, *USERS[:5])
    await move.time.advance(25 * HOUR, step=HOUR)
    move.source.premises.quirks.add("post_cutover_block")
    for name in USERS[:5]:
        assert said(await ask(move, OLD, name=name)) == (Outcome.REFUSED, Cause.AMBIGUOUS_REFUSAL)
        await move.time.advance(600.0, step=60.0)
