"""A machine whose own clock is wrong by weeks: the database's clock decides for every login, everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import update

from mailferry.gate.admission import Admitted
from mailferry.model.access import Side
from mailferry.store import cutovers
from mailferry.store.schema import domains
from tests.kit.clocked import WorldTime
from tests.kit.move import OTHER, Move
from tests.life.conftest import Service
from tests.life.steps import (
    DAY,
    a_login_meets_a_freeze_of_20_seconds,
    choose_password,
    logged_in_once,
    source_logins,
    switched,
)

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D22")]


@dataclass(frozen=True)
class WrongClock:
    """This machine's wall clock."""

    world: WorldTime
    seconds: float

    def now(self) -> float:
        return self.world.now() + self.seconds


@pytest.fixture(params=[-400 * DAY, 400 * DAY], ids=["behind", "ahead"])
def time(request: pytest.FixtureRequest) -> Iterator[WorldTime]:
    with WorldTime() as world:
        world.times = replace(world.times, wall=WrongClock(world, request.param))
        yield world


def set_window(move: Move, seconds_left: float) -> None:
    values = {"window_ends_at": move.time.now() + seconds_left, "window_over_for": max(-seconds_left, 0.0)}
    move.database.run_now("window", lambda conn: conn.execute(update(domains).values(values)))


async def test_a_freeze_holds_logins_until_its_own_deadline_and_no_longer(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await a_login_meets_a_freeze_of_20_seconds(move)


async def test_a_drain_holds_logins_until_its_own_end_and_no_longer(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await logged_in_once(move)
    account, until = move.known(), time.now() + 10
    move.database.run_now("drain", lambda conn: cutovers.start_drain(conn, account.id, account.epoch, until))
    login = move.admit()
    await time.advance(9)
    assert not login.called
    admission = await move.done(login, within=2)
    assert isinstance(admission, Admitted)
    assert admission.side is Side.SOURCE
    await move.logout(admission)


async def test_the_window_is_open_as_long_as_the_database_says(service: Service, time: WorldTime) -> None:
    move = await service()
    await switched(move)
    set_window(move, 60.0)
    choose_password(move.source, OTHER)
    await logged_in_once(move, OTHER)
    set_window(move, -2 * DAY)
    choose_password(move.source, b"a third one")
    asked = source_logins(move)
    await move.rejected(b"a third one")
    assert source_logins(move) == asked, "after the window the target alone is asked"
