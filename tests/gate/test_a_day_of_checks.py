"""For how long the source's yes answers checks without it: 24 hours from the last login that it took."""

from __future__ import annotations

import pytest

from mailferry.model.causes import Answer
from tests.gate.conftest import MakeMove
from tests.gate.test_checking import HOUR, check

pytestmark = pytest.mark.deadline(30)


async def test_a_yes_holds_for_a_day_and_each_login_at_the_source_renews_it(begin: MakeMove) -> None:
    move = await begin(relayed=True)
    await move.logout(await move.admitted())
    await move.time.advance(20 * HOUR, step=HOUR)
    await move.logout(await move.admitted())
    move.stall_the_source()
    await move.time.advance(23 * HOUR, step=HOUR)
    assert (await check(move)).accepted
    await move.time.advance(HOUR + 1.0, step=600.0)
    assert (await check(move)).answer is Answer.TEMPORARY
