"""What the web process asks of mail servers, asked of real ones: a comparison of both sides, to its end and broken off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from mailferry.app.old_hosts import make_old_hosts
from mailferry.model.account import Phase
from tests.kit.move import USER
from tests.life.steps import fill
from tests.web.conftest import MakeUserSite

pytestmark = pytest.mark.deadline(60)


async def test_both_sides_of_a_moved_account_are_compared_and_whoever_gives_up_leaves_the_hosts(
    user_site: MakeUserSite,
) -> None:
    move, _site = await user_site()
    fill(move)
    await move.logout(await move.admitted())
    await move.copy()
    await move.wait_for(Phase.SWITCHED)
    hosts, told = make_old_hosts(move.parts), list[dict[str, Any]]()
    watched: list[Callable[[], dict[str, Any]]] = []
    sums = await hosts.verify(USER, 1.0, told.append, watched.append)
    assert watched[0]() == sums, "who looks on sees the sums grow to what they are at the end"
    assert sums["equal"]
    assert sums["bodies_compared"] == sums["messages"] > 0
    assert told == []
    broken_off = hosts.verify(USER, 1.0, told.append, watched.append)
    broken_off.cancel()
    with pytest.raises(CancelledError):
        await broken_off
    assert (await hosts.verify(USER, 0.01, told.append, watched.append))["equal"]
