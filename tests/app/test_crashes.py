"""A process of ours that crashes leaves no core file, where another one does."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import canary

pytestmark = [pytest.mark.hazard("T31"), pytest.mark.skipif(sys.platform != "linux", reason="Linux's cores")]

CRASHES = """
import os, resource, subprocess, sys
from mailferry.app import crashes
word = sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
if "nothing" in sys.argv:
    crashes.refuse_core_dumps = lambda: None
elif "limit" in sys.argv:
    import ctypes
    ctypes.CDLL = lambda _: type("", (), {"prctl": lambda *_: None})
elif "dumpable" in sys.argv:
    resource.setrlimit = lambda *_: None
crashes.refuse_core_dumps()
if "program" in sys.argv:
    os.execv(sys.executable, [sys.executable, "-c", "import os, sys; word = sys.stdin.read(); os.abort()"])
if os.fork() == 0:
    os.abort()
os.wait()
"""


def cores_are_files() -> bool:
    """Whether the kernel writes a core beside the process, so that a test finds it."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    unlimited = resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
    return unlimited and bool(pattern) and pattern[0] not in "|/"


def crash(folder: Path, how: str, word: str) -> list[canary.Sighting]:
    """Crash a process that holds `word`; return where it stands in the files that are left."""
    subprocess.run(
        [sys.executable, "-c", CRASHES, how], cwd=folder, input=word, text=True, check=False, timeout=60
    )
    return canary.search_files(folder, [word])


@pytest.mark.skipif(not cores_are_files(), reason="this machine puts core files elsewhere")
def test_a_core_file_would_hold_the_password_and_each_of_the_two_locks_keeps_it_from_being_written(
    tmp_path: Path,
) -> None:
    word = canary.canary()
    left = {}
    for how in ("nothing", "limit", "dumpable", "both", "program"):
        (tmp_path / how).mkdir()
        left[how] = crash(tmp_path / how, how, word)
        if how != "nothing":
            assert list((tmp_path / how).iterdir()) == [], how
    assert left.pop("nothing"), "without the locks the search finds it"
    assert set(map(len, left.values())) == {0}


def test_the_program_takes_both_locks_whatever_its_command(tmp_path: Path) -> None:
    """`serve` forks its workers, so what holds for it holds for them."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, ctypes, resource\n"
        "atexit.register(lambda: print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mailferry", "--version"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "(0, 0) 0"
