"""Mail that still reaches the old host after the flip: when it is looked for, and until when."""

from __future__ import annotations

import pytest

from mailferry.model.account import Phase
from tests.kit.clocked import WorldTime
from tests.life.conftest import Service
from tests.life.steps import DAY, HOUR, MINUTE, letter, logged_in_once, source_logins, switched

pytestmark = pytest.mark.deadline(60)

LOOK = 1.0
"""The copier looks for due work once a second."""


@pytest.mark.hazard("D16")
@pytest.mark.parametrize(
    ("after", "every"),
    [(0, 5 * MINUTE), (23 * HOUR, 5 * MINUTE), (25 * HOUR, HOUR), (7 * DAY, HOUR), (9 * DAY, 6 * HOUR)],
)
async def test_late_mail_is_looked_for_often_at_first_and_seldom_later(
    service: Service, time: WorldTime, after: float, every: float
) -> None:
    move = await service()
    await switched(move)
    await time.advance(after, step=6 * HOUR)
    letter(move.source, "arrives at any moment")
    await time.until(lambda: not move.unlike(), within=every + LOOK, step=every / 20)
    letter(move.source, "arrives just after a look")
    passed = await time.until(lambda: not move.unlike(), within=every + LOOK, step=every / 20)
    assert passed >= every * 0.9, "the source is not asked more often than it has to be"


async def test_a_login_has_late_mail_fetched_at_once(service: Service, time: WorldTime) -> None:
    move = await service()
    await switched(move)
    await time.advance(20 * DAY, step=5 * DAY)
    letter(move.source)
    await logged_in_once(move)
    await time.until(lambda: not move.unlike(), within=2 * LOOK)


async def test_a_flip_whose_copier_died_at_once_is_looked_after_all_the_same(
    service: Service, time: WorldTime
) -> None:
    from mailferry.store import cutovers

    move = await service()
    await logged_in_once(move)
    account = move.known()

    def flipped(conn: object) -> None:
        frozen = cutovers.freeze(conn, account.id, account.epoch, time.now() + 20)  # type: ignore[arg-type]
        cutovers.flip(conn, frozen.id, frozen.epoch)  # type: ignore[arg-type]

    move.database.run_now("by a copier that is gone", flipped)
    letter(move.source)
    await move.copy()
    await time.until(lambda: not move.unlike(), within=2 * LOOK)


async def test_a_source_that_is_gone_is_asked_no_more_often_and_turns_nothing_into_failed(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await switched(move)
    await time.advance(9 * DAY, step=DAY)
    await move.source.stop()
    await time.advance(2 * DAY, step=6 * HOUR)
    account = move.known()
    assert (account.phase, account.failed_runs, account.cause) == (Phase.SWITCHED, 0, None)
    await move.source.start()
    letter(move.source)
    await time.until(lambda: not move.unlike(), within=6 * HOUR + LOOK, step=10 * MINUTE)


async def test_no_late_mail_is_looked_for_once_the_window_has_ended(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await switched(move)
    await time.advance(30 * DAY - time.seconds, step=10 * DAY)
    asked = source_logins(move)
    await time.advance(7 * HOUR, step=7 * HOUR)  # a look is due by then
    assert move.phase() is Phase.SWITCHED, "it is closed after an hour of running time"
    assert source_logins(move) == asked
