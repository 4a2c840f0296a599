"""A stop of the service: what its sessions get, and what it leaves behind."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from twisted.internet.defer import Deferred

from mailferry.store.schema import nodes, sessions
from tests.kit.clocked import WorldTime
from tests.life.conftest import Service

pytestmark = pytest.mark.deadline(60)


@pytest.mark.parametrize("seconds", [5, 45])
async def test_a_session_inside_a_command_gets_the_seconds_that_were_set(
    service: Service, time: WorldTime, seconds: int
) -> None:
    move = await service(drain_seconds=seconds)
    user = await move.program()
    user.send(b"a APPEND INBOX {10}\r\n")  # begun and never ended
    await time.settle()
    stopping = Deferred.fromCoroutine(move.proxy.drain())
    await time.advance(seconds - 0.1)
    assert user.lost is None
    await time.advance(0.2)
    await user.gone()
    await time.until(lambda: stopping.called, within=1)
    rows = move.database.read_now("left", lambda c: [*c.execute(select(sessions)), *c.execute(select(nodes))])
    assert not rows, "who stops in order leaves nothing that others must wait for"
