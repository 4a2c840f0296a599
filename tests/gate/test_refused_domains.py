"""A source that refuses a whole domain, in whatever words: everybody reads "later", and no copy fails for good."""

from __future__ import annotations

import pytest

from mailferry.gate.judges import Judgement
from mailferry.lab.premises import LabAccount
from mailferry.model.account import Phase
from mailferry.model.causes import Answer, Cause
from mailferry.plan.routing import Outcome
from tests.gate.conftest import MakeMove
from tests.gate.test_penalty import ask
from tests.gate.test_refusal_context import HOUR, known_good, said
from tests.kit.move import OLD, USER, Move

pytestmark = pytest.mark.deadline(30)

TEN = [f"user{number}@old.test" for number in range(10)]
LAST = "late@old.test"


async def refused(move: Move, names: list[str]) -> list[Judgement]:
    return [await ask(move, OLD, name=name) for name in names]


@pytest.mark.hazard("T29")
@pytest.mark.parametrize(
    ("quirk", "cause"),
    [("netease_domain_expired", Cause.EXPIRED), ("gmail_domain_off", Cause.PROTOCOL_DISABLED)],
)
async def test_ten_accounts_refused_in_words_about_something_else_are_the_domain_too(
    begin: MakeMove, quirk: str, cause: Cause
) -> None:
    accounts = {name: LabAccount(password=OLD) for name in [*TEN, LAST]}
    move = await begin(
        source_accounts=accounts, provider="gmail" if quirk.startswith("gmail") else "netease_qiye"
    )
    await known_good(move, *TEN)
    move.source.premises.quirks.add(quirk)
    answers = await refused(move, TEN)
    assert [said(one) for one in answers[:9]] == [(Outcome.REFUSED, answers[0].cause)] * 9
    assert answers[0].cause is cause
    assert said(answers[9]) == (Outcome.UNAVAILABLE, cause)
    assert said(await ask(move, OLD, name=LAST)) == (Outcome.UNAVAILABLE, cause)  # its first login
    rejection = await move.rejected(name=TEN[0])
    assert (rejection.answer, rejection.cause) == (Answer.TEMPORARY, cause)
    move.source.premises.quirks.discard(quirk)
    assert (await ask(move, OLD, name=LAST)).outcome is Outcome.ACCEPTED


@pytest.mark.hazard("D20")
@pytest.mark.parametrize("shut_out", [True, False], ids=["the domain", "the account alone"])
async def test_no_copy_fails_for_good_while_its_domain_is_shut_out(begin: MakeMove, shut_out: bool) -> None:
    names = [USER, *TEN[:5]]
    move = await begin(source_accounts={name: LabAccount(password=OLD) for name in names})
    await known_good(move, *names)
    await move.time.advance(25 * HOUR, step=HOUR)
    move.source.premises.quirks.add("post_cutover_block")
    if shut_out:
        await refused(move, TEN[:5])
    await move.copy()
    await move.until(lambda: move.known().cause is not None)
    known = (move.known().cause, move.known().phase)
    if shut_out:
        assert known == (Cause.SOURCE_REFUSES_DOMAIN, Phase.PRECOPY)
    else:
        assert known == (Cause.AMBIGUOUS_REFUSAL, Phase.BLOCKED)
