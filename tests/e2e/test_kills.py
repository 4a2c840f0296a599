"""Workers are killed with SIGKILL while the copy runs: nothing is lost, twice or altered."""

from __future__ import annotations

import poplib
import random
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import OLD, USER, Stage
from tests.kit.service import until

pytestmark = [pytest.mark.peer("dovecot"), pytest.mark.timeout(600)]

PHASES_BEFORE_END = {"PRECOPY", "FREEZE"}


@pytest.fixture(params=["maildir", "sdbox"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(tmp_path, location=request.param, messages=2000, copy={"batch_messages": 10})
    yield opened
    opened.close()


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D18")
@pytest.mark.parametrize("victim", ["copier", "proxy", "web", "parent"])
def test_a_move_during_which_a_process_is_killed_again_and_again_is_exact(stage: Stage, victim: str) -> None:
    service = stage.service
    service.start()
    stage.pop3().quit()
    dice = random.Random(victim)
    for _ in range(6):
        if service.show(USER)["phase"] not in PHASES_BEFORE_END:
            break
        _pause(dice.uniform(0.05, 0.6))
        if victim == "parent":
            service.kill_parent()
            service.start()
        else:
            service.kill(victim)
            until(lambda: service.workers(victim), 20, f"a new {victim}")
    stage.wait_until_done(180)
    stage.assert_same_mail()
    before = poplib.POP3("127.0.0.1", stage.source.ports["pop3"])
    before.encoding = "utf-8"
    _login(before)
    known = [line.split()[1] for line in before.uidl()[1]]
    before.quit()
    after = stage.pop3()
    assert [line.split()[1] for line in after.uidl()[1]] == known
    after.quit()


def _login(client: poplib.POP3) -> None:
    client.user(USER)
    client.pass_(OLD)


def _pause(seconds: float) -> None:
    """Let the copy go on for a moment that nobody can foresee."""
    select.select([], [], [], seconds)
