"""Killed at each step of a push: the next login finds out from the target how far it went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailferry.model.account import Phase
from mailferry.passwords.work_threads import WorkThreads
from mailferry.store.database import Database
from tests.kit.crash import KILLED, crash_at
from tests.kit.peers import in_thread
from tests.kit.real_target import RealTarget
from tests.passwords.crash_program import REAL, make_world
from tests.passwords.world import USER, World

ROOT = Path(__file__).parents[2]
STEPS = ["password-sealed", "password-pushed", "password-proved"]

Login = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def login() -> Iterator[Login]:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.passwords.crash_program"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None

    def ask(folder: Path, password: str, label: str = "-") -> tuple[int, str]:
        if label != "-":
            crash_at(label)  # raises for a label that no code passes
        print(json.dumps([str(folder), password, label]), file=program.stdin, flush=True)
        status, said = json.loads(program.stdout.readline())
        return status, said

    yield ask
    program.stdin.close()
    program.wait(30)
    program.stdout.close()


@pytest.fixture
def world(tmp_path: Path, threads: WorkThreads) -> Iterator[World]:
    database = Database(f"sqlite:///{tmp_path}/mailferry.db")
    database.upgrade()
    database.close()
    world = make_world(tmp_path, threads)
    yield world
    world.store.close()


@pytest.mark.hazard("D23")
@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.SWITCHED])
@pytest.mark.parametrize("label", STEPS)
def test_a_push_killed_at_any_step_is_finished_by_the_next_login(
    tmp_path: Path, world: World, login: Login, label: str, phase: Phase
) -> None:
    account = world.account(phase)
    assert login(tmp_path, "one") == (0, "accepted")
    assert world.target_takes(b"one")
    assert login(tmp_path, "two", label)[0] == KILLED
    assert login(tmp_path, "two") == (0, "accepted")
    assert world.target_takes(b"two")
    record = world.record(account)
    assert record.pushed_hash == world.stored()
    assert record.proved_at is not None
    assert not record.target_wins


@pytest.mark.hazard("D23")
@pytest.mark.parametrize("label", STEPS)
def test_a_push_killed_at_any_step_does_not_lock_out_the_next_password(
    tmp_path: Path, world: World, login: Login, label: str
) -> None:
    account = world.account(Phase.SWITCHED)
    assert login(tmp_path, "one") == (0, "accepted")
    assert login(tmp_path, "two", label)[0] == KILLED
    assert login(tmp_path, "three") == (0, "accepted")  # changed at the source once more
    assert world.target_takes(b"three")
    assert not world.record(account).target_wins


@pytest.fixture
def dovecot(tmp_path: Path, start_peer: Callable[..., Any]) -> Iterator[RealTarget]:
    """The world's target as a real Dovecot."""
    target = RealTarget(start_peer, user=USER)
    target.choose(b"first")
    (tmp_path / REAL).write_text(json.dumps([target.peer.ports["imap"], target.url]))
    yield target
    target.close()


@pytest.mark.slow
@pytest.mark.hazard("D23")
@pytest.mark.deadline(60)
@pytest.mark.peer("dovecot")
@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.SWITCHED])
async def test_killed_at_any_step_one_password_opens_a_real_dovecot_and_in_the_end_the_sources(
    tmp_path: Path, dovecot: RealTarget, world: World, login: Login, phase: Phase
) -> None:
    every = [b"first", *(b"%d" % number for number in range(2 * len(STEPS) + 1))]
    account = world.account(phase)
    assert await in_thread(login, tmp_path, "0") == (0, "accepted")
    assert await dovecot.opened_by(every) == {b"0"}
    for number, label in enumerate(STEPS):
        before, killed, after = b"%d" % (2 * number), f"{2 * number + 1}", f"{2 * number + 2}"
        assert (await in_thread(login, tmp_path, killed, label))[0] == KILLED
        half = before if label == "password-sealed" else killed.encode()
        assert await dovecot.opened_by(every) == {half}
        if number % 2:
            assert await in_thread(login, tmp_path, killed) == (0, "accepted")
            assert await dovecot.opened_by(every) == {killed.encode()}
        assert await in_thread(login, tmp_path, after) == (0, "accepted")  # changed at the source once more
        assert await dovecot.opened_by(every) == {after.encode()}
    record = world.record(account)
    assert record.proved_at is not None
    assert not record.target_wins
