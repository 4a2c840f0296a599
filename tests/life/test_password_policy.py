"""A real Dovecot whose password backend refuses by a rule of its own, and where we are no master."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mailferry.model.access import Side
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.roster import account_changes, accounts
from tests.kit.clocked import WorldTime
from tests.kit.move import OLD, USER, Move
from tests.kit.real_target import RealTarget
from tests.life.conftest import Service
from tests.life.steps import MINUTE, choose_password, fill, password_record

pytestmark = [pytest.mark.deadline(120), pytest.mark.peer("dovecot")]

LONGER = b"an old password that is longer"
POLICY = "at least 14 characters"
PROGRAM = """
import json, os, sqlite3, sys
told = json.load(sys.stdin)
if len(told["password"]) < 14:
    sys.exit(os.EX_DATAERR)
with sqlite3.connect(sys.argv[1]) as table:
    row = ("{PLAIN}" + told["password"], told["address"])
    table.execute("UPDATE mailbox SET password = ? WHERE username = ?", row)
"""

Begin = Callable[..., Awaitable[Move]]


@pytest.fixture
def begin(service: Service, time: WorldTime, start_peer: Callable[..., Any]) -> Begin:
    """A function that starts the service before a real Dovecot that opens with users' own passwords only."""

    async def start(backend: str) -> Move:
        target = RealTarget(start_peer)
        time.outside.append(target.outside)
        target.choose(b"handed out")
        passwords = target.settings
        if backend == "command":
            argv = [sys.executable, "-I", "-S", "-c", PROGRAM, target.url.removeprefix("sqlite:///")]
            passwords = {"backend": "command", "command": {"argv": argv}}
        else:
            target.refuse_changes(POLICY)
        move = await service(target=target, passwords=passwords, master=False)
        fill(move)
        return move

    return start


async def served_by(move: Move, password: bytes = OLD) -> Side:
    admission = await move.admitted(password)
    await move.logout(admission)
    return admission.side


@pytest.mark.parametrize("backend", ["command", "sql"])
async def test_the_account_is_blocked_within_a_minute_and_its_user_goes_on_at_the_source(
    begin: Begin, time: WorldTime, backend: str
) -> None:
    move = await begin(backend)
    assert await served_by(move) is Side.SOURCE
    await move.copy()
    await time.until(lambda: move.phase() is Phase.BLOCKED, within=MINUTE)
    account = move.known()
    assert account.cause is Cause.TARGET_PASSWORD_POLICY
    if backend == "sql":
        assert POLICY in (account.cause_text or ""), "the administrator reads the new host's own words"
    assert await move.target.opened_by({OLD, b"handed out"}) == {b"handed out"}
    assert await served_by(move) is Side.SOURCE
    assert move.phase() is Phase.BLOCKED
    assert password_record(move).proved_at is None
    shown = accounts.show(move.database, USER)
    assert shown["state"] == "failed"
    failure = shown["last_run"]
    assert (failure["cause"], failure["who_must_act"]) == ("target_password_policy", "user")


async def test_a_new_password_that_the_new_host_takes_lets_the_move_go_on_by_itself(
    begin: Begin, time: WorldTime
) -> None:
    move = await begin("command")
    await served_by(move)
    await move.copy()
    await time.until(lambda: move.phase() is Phase.BLOCKED, within=MINUTE)
    choose_password(move.source, LONGER)
    assert await served_by(move, LONGER) is Side.SOURCE
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE)
    assert await move.target.opened_by({OLD, LONGER, b"handed out"}) == {LONGER}
    assert await served_by(move, LONGER) is Side.TARGET


async def test_a_policy_that_was_relaxed_needs_a_retry_only(begin: Begin, time: WorldTime) -> None:
    move = await begin("sql")
    await served_by(move)
    await move.copy()
    await time.until(lambda: move.phase() is Phase.BLOCKED, within=MINUTE)
    move.target.relax()
    account_changes.retry(move.database, USER, who="anna")
    await time.until(lambda: move.phase() is Phase.SWITCHED, within=5 * MINUTE)
    assert await move.target.opened_by({OLD, b"handed out"}) == {OLD}
