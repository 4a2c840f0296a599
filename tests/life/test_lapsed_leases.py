"""A proxy that cannot renew its row ends what it serves at the source, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from twisted.internet import defer
from twisted.internet.defer import Deferred

from mailferry.app.node import SILENT_SECONDS
from mailferry.gate.live_sessions import LAPSED_SECONDS
from mailferry.model.account import Phase
from mailferry.store.schema import sessions
from tests.kit.clocked import WorldTime
from tests.kit.move import Move
from tests.kit.scripted import hang_up
from tests.life.conftest import Service
from tests.life.steps import fill

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D15")]


class Renewals:
    """The proxy's renewals: they hang from `stop` to `go_on`, when all that hang are answered."""

    def __init__(self, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
        database = move.parts.database
        self._run = database.run
        self._waiting: list[Deferred[None]] = []
        self._stopped = False
        monkeypatch.setattr(database, "run", self._asked)

    def stop(self) -> None:
        self._stopped = True

    def go_on(self) -> None:
        self._stopped = False
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _asked(self, name: str, *rest: Any, **more: Any) -> Deferred[Any]:
        if name == "renew node" and self._stopped:
            self._waiting.append(defer.Deferred())
            return self._waiting[-1]
        return self._run(name, *rest, **more)


def rows(move: Move) -> int:
    return len(move.database.read_now("rows", lambda conn: conn.execute(select(sessions)).all()))


async def test_sessions_at_the_source_end_after_a_minute_and_inside_a_command_a_little_later(
    service: Service, time: WorldTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = await service()
    idle, busy = await move.program(), await move.program()
    busy.send(b"a APPEND INBOX {10}\r\n")  # begun and never ended
    renewals = Renewals(move, monkeypatch)
    await time.advance(20)
    renewals.stop()
    await time.advance(SILENT_SECONDS - 11)
    assert (idle.lost, busy.lost) == (None, None)
    await time.advance(11)
    await idle.expect(b"* BYE")
    await idle.gone()
    assert busy.lost is None
    await time.advance(LAPSED_SECONDS)
    await busy.gone()
    await time.until(lambda: rows(move) == 0, within=10)
    renewals.go_on()
    again = await move.program()
    await time.advance(2 * SILENT_SECONDS)
    assert again.lost is None, "who renews again serves again"
    await hang_up(again)


async def test_sessions_at_the_target_go_on(
    service: Service, time: WorldTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = await service()
    fill(move)
    await hang_up(await move.program())
    await move.copy()
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=600)
    program = await move.program()
    renewals = Renewals(move, monkeypatch)
    renewals.stop()
    await time.advance(SILENT_SECONDS + LAPSED_SECONDS + 30)
    assert program.lost is None
    program.send(b"a NOOP\r\n")
    await program.expect(b"a OK")
    assert not len(move.book), "nobody waits for the end of a session at the target"
    renewals.go_on()
    await hang_up(program)
