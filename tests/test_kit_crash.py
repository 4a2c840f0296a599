"""A crash point that a test asks for exists in the code, and a process that passes it is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.kit import crash, debian


def test_the_code_has_crash_points_around_each_step_of_a_copy() -> None:
    assert len(crash.labels()) >= 4


def test_a_label_that_no_code_passes_is_refused() -> None:
    with pytest.raises(ValueError, match="no crash point is called 'nowhere'"):
        crash.crash_at("nowhere")


def test_a_process_ends_at_the_passage_that_was_asked_for() -> None:
    label = min(crash.labels())
    program = (
        "from mailferry.observe.crash_points import crash_point\n"
        f"crash_point({label!r}); print('once', flush=True)\n"
        f"crash_point({label!r}); print('twice', flush=True)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(debian.ROOT / "src"), **crash.crash_at(label, passage=2)},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (crash.KILLED, b"once\n"), ran.stderr
