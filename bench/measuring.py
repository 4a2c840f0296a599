"""What a run costs: seconds, CPU seconds and peak memory of a program; CPU seconds of a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.daemon import descendants, plain_user

LAUNCHER = Path(__file__).with_name("launch.py")
LONGEST_SECONDS = 3600.0
TICKS = os.sysconf("SC_CLK_TCK")


class RunFailed(RuntimeError):
    """A measured program did not end well; the message holds what it said last."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    seconds: float
    cpu: float
    """CPU seconds of the tool, user and system."""
    peak: int
    """Most octets of memory that the tool had at once."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command that is to be measured."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's environment."""
    as_server: bool = False
    """Whether it runs as the user that the servers run as, because it writes into their folders."""
    good: tuple[int, ...] = (0,)


def measured(program: Program, *, seconds: float = LONGEST_SECONDS) -> Cost:
    """Run the program to its end and return its cost; raises RunFailed."""
    user = plain_user()
    as_other = program.as_server and os.getuid() == 0
    ids = (str(user.pw_uid), str(user.pw_gid)) if as_other else ("-1", "-1")
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder, tempfile.TemporaryFile() as said:
        result = Path(folder) / "cost"
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(result), *ids, *program.argv],
            env={**os.environ, **program.env},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        said.seek(0)
        text = said.read().decode(errors="replace")[-2000:]
        if process.returncode != 0:
            raise RunFailed(f"{program.argv[0]} could not be started\n{text}")
        code, wall, cpu, peak = result.read_text().split()
    if int(code) not in program.good:
        raise RunFailed(f"{' '.join(program.argv)} ended with {code}\n{text}")
    return Cost(float(wall), float(cpu), int(peak) * 1024)


def server_cpu(pid: int) -> float:
    """Return the CPU seconds that a server and everything it started have used so far.

    Processes that ended are in their parent's sum: Dovecot's master waits for all of its own.
    """
    ticks = 0
    for process in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(number) for number in fields[11:15])
    return ticks / TICKS
