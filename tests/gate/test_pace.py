"""The pace at which sources are copied from, in a whole move."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mailferry.lab.premises import LabAccount
from mailferry.model.account import Phase
from mailferry.model.hours import Hours
from mailferry.observe.system_clock import minute_of_day
from mailferry.store import accounts
from tests.gate.conftest import MakeMove
from tests.kit.clocked import BEGINNING
from tests.kit.move import OLD, USER, Move

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
    await move.until(lambda: move.phase() is Phase.SWITCHED, within=3 * 3600)
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


ADDRESSES = [f"u{number}@old.test" for number in range(6)]


async def test_one_account_that_comes_to_no_end_does_not_hold_the_others(begin: MakeMove) -> None:
    own = {address: LabAccount(password=OLD) for address in (USER, *ADDRESSES)}
    move = await begin(source_accounts=own, copy={"accounts_at_once": 1}, source_protocols=("pop3",))
    for address in own:
        move.source.mailstore(address).deliver(b"Subject: x\r\n\r\n")
    for address in own:
        await move.logout(await move.admitted(name=address))
    slow = _Trickle(move)
    await move.copy()
    await move.time.advance(1200)
    slow.stop()

    def passed(address: str) -> Any:
        account = move.database.read_now("account", lambda conn: accounts.find(conn, address))
        assert account is not None
        return account.last_result

    assert [passed(address) for address in ADDRESSES].count("done") == len(ADDRESSES)


class _Trickle:
    """Lets the first maildrop that is opened send an octet a minute, for ever."""

    def __init__(self, move: Move) -> None:
        self.stopped = Deferred[None]()
        self._move = move

    def stop(self) -> None:
        """Let it be."""
