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
VICTIMS = ("copier", "proxy", "web", "parent")
QUICK = {("copier", "maildir"), ("proxy", "sdbox"), ("parent", "sdbox")}


def cases() -> Iterator[object]:
    """Each victim on each kind of mailbox; some of them, with less mail, in every run."""
    for victim in VICTIMS:
        for location in ("maildir", "sdbox"):
            yield pytest.param(victim, location, 2000, marks=pytest.mark.slow)
            if (victim, location) in QUICK:
                yield pytest.param(victim, location, 600)


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D18")
@pytest.mark.parametrize(("victim", "location", "messages"), [*cases()])
def test_a_move_during_which_a_process_is_killed_again_and_again_is_exact(
    tmp_path: Path, victim: str, location: str, messages: int
) -> None:
    stage = Stage(tmp_path, location=location, messages=messages, copy={"batch_messages": 10})
    try:
        _killed_again_and_again(stage, victim)
    finally:
        stage.close()


def _killed_again_and_again(stage: Stage, victim: str) -> None:
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
