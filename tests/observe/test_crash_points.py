from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mailferry.observe.crash_points import BadCrashPoint, Countdown, countdown

PROGRAM = """
from mailferry.observe.crash_points import crash_point
for number in range(4):
    crash_point("other")
    print(number, flush=True)
    crash_point("here")
"""


def run(value: str | None) -> subprocess.CompletedProcess[str]:
    environ = {name: text for name, text in os.environ.items() if name != "MAILFERRY_CRASH_AT"}
    if value is not None:
        environ["MAILFERRY_CRASH_AT"] = value
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("value", "lines"), [("here", 1), ("here:3", 3)])
def test_the_process_dies_at_the_passage_that_was_asked_for(value: str, lines: int) -> None:
    ended = run(value)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == [str(number) for number in range(lines)]


@pytest.mark.parametrize("value", [None, "", "elsewhere", "here:9"])
def test_without_its_label_nothing_happens(value: str | None) -> None:
    assert run(value).returncode == 0


@pytest.mark.parametrize("value", [":1", "a:", "a:0", "a:x", "a:-1", "a:1:2", "a:１"])
def test_a_value_that_means_nothing_is_refused(value: str) -> None:
    with pytest.raises(BadCrashPoint):
        countdown(value)


def test_a_label_and_its_number_are_understood() -> None:
    assert countdown("a-b:2") == Countdown("a-b", 2)
    assert countdown(None) is None
