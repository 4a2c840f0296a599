"""The pace at which sources are copied from, in a whole move."""

from __future__ import annotations

import pytest

from mailferry.model.account import Phase
from mailferry.model.hours import Hours
from mailferry.observe.system_clock import minute_of_day
from tests.gate.conftest import MakeMove
from tests.kit.clocked import BEGINNING
from tests.kit.move import USER

pytestmark = pytest.mark.deadline(60)


async def test_a_copy_waits_for_its_hours_says_so_and_goes_on_by_itself(begin: MakeMove) -> None:
    now = int(minute_of_day(BEGINNING))
    hours = Hours((now + 120) % 1440, (now + 300) % 1440)
    move = await begin(copy={"hours": str(hours)})
    move.source.mailstore(USER).deliver(b"Subject: x\r\n\r\n")
    await move.logout(await move.admitted())
    await move.copy()
    await move.until(lambda: move.known().last_result == "waits")
    account = move.known()
    assert (account.cause, account.failed_runs) == (None, 0)
    assert str(hours) in (account.cause_text or "")
    assert account.next_retry_at is not None
    assert 115 * 60 < account.next_retry_at - move.time.now() <= 120 * 60
    assert not move.target.mailstore(USER).inbox.messages
    await move.time.advance(119 * 60, step=600)
    assert not move.target.mailstore(USER).inbox.messages
    await move.wait_for(Phase.SWITCHED)
    assert not move.unlike()
    assert move.known().cause_text is None


async def test_commands_to_a_source_keep_their_pace_and_the_copy_comes_to_its_end(begin: MakeMove) -> None:
    move = await begin(copy={"commands_per_minute": 30}, source_protocols=("pop3",))
    for number in range(40):
        move.source.mailstore(USER).deliver(b"Subject: %d\r\n\r\n" % number)
    await move.logout(await move.admitted())
    began = move.time.seconds
    await move.copy()
    await move.until(lambda: len(move.target.mailstore(USER).inbox.messages) == 40)
    assert 60 < move.time.seconds - began < 240
