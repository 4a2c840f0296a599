"""Programs that run and end: in an async test without stopping the reactor, in a plain test at once."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """All it said, both streams, for a message."""
        return (self.out + self.err).decode(errors="replace")


@dataclass(frozen=True)
class Command:
    """A command ready to run."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's environment."""
    input: bytes = b""
    cwd: Path | None = None

    def run(self, seconds: float = 60) -> Deferred[Ran]:
        """Run it without stopping the reactor; it is killed after `seconds` and then has code -9."""
        return deferToThread(self.run_now, seconds)

    def run_now(self, seconds: float = 60) -> Ran:
        """Run it and wait; it is killed after `seconds` and then has code -9."""
        with subprocess.Popen(
            self.argv,
            env={**os.environ, **self.env},
            cwd=self.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(self.input, seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                err += f"\n(killed after {seconds} s)".encode()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Ran(process.returncode, out, err)
