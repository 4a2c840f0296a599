from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailferry.app.instance_lock import AlreadyRunning, take_instance_lock


def test_a_second_service_in_one_state_directory_is_refused(tmp_path: Path) -> None:
    held = take_instance_lock(tmp_path)
    with pytest.raises(AlreadyRunning, match="state_dir of its own"):
        take_instance_lock(tmp_path, patience=0)
    os.close(held)
    os.close(take_instance_lock(tmp_path, patience=0))


def test_the_lock_is_held_until_the_last_inheritor_closes_it(tmp_path: Path) -> None:
    held = take_instance_lock(tmp_path)
    inherited = os.dup(held)  # what a fork does
    os.close(held)
    with pytest.raises(AlreadyRunning):
        take_instance_lock(tmp_path, patience=0)
    os.close(inherited)
    os.close(take_instance_lock(tmp_path, patience=0))
