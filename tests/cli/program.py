"""`Program` runs mailferry commands, each a process of its own, and keeps what they said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOR_COMMANDS = tuple(
    f"mailferry.{name}"
    for name in (
        "app.checking",
        "app.listeners",
        "app.preflight",
        "app.probing",
        "app.verifying",
        "cli.in_reactor",
        "lab.story",
    )
)
FOR_SERVE = (
    "mailferry.app.listeners",
    "mailferry.app.worker",
    "alembic.command",
    "fastapi",
    "uvicorn",
    "jinja2",
    "passlib.hash",
)
"""Without what counts: that must be loaded after `serve` has named the folder of its numbers."""


@dataclass(frozen=True)
class Said:
    """What one command did."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def faults(self) -> list[str]:
        """The lines on standard error, without the program's name; fails when it is not one line a fault."""
        assert "Traceback" not in self.err, self
        lines = self.err.splitlines()
        assert all(line.startswith("mailferry: ") for line in lines), self
        return [line.removeprefix("mailferry: ") for line in lines]

    @property
    def fault(self) -> str:
        """The only line on standard error."""
        assert len(self.faults) == 1, self
        return self.faults[0]

    def __str__(self) -> str:
        return f"mailferry {' '.join(self.words)}: {self.status}\n{self.out}\n{self.err}"


class Program:
    """The program with some modules loaded; each command forks from it."""

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm", *modules],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *words: str | Path,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        ordinary: bool = False,
        largest_file: int | None = None,
        out: Path | None = None,
    ) -> Said:
        """Run one command to its end; of our own variables only `environment` reaches it.

        With `largest_file` no file of its may grow beyond so many octets: a full disk in miniature.
        With `ordinary` it has no privileges, whoever runs the tests.
        """
        assert self._process.stdin
        assert self._process.stdout
        paths = {name: self._folder / name for name in ("stdin", "stdout", "stderr")}
        for path in paths.values():
            path.write_bytes(b"")
        paths["stdin"].write_bytes(stdin if isinstance(stdin, bytes) else stdin.encode())
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MAILFERRY_")}
        request = {
            **{name: str(path) for name, path in paths.items()},
            **({"stdout": str(out)} if out else {}),
            "words": [str(word) for word in words],
            "folder": str(self._folder),
            "environment": {**plain, "COLUMNS": "300", "NO_COLOR": "1", **(environment or {})},
            "ordinary": ordinary,
            "largest_file": largest_file,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        said = [paths[name].read_text() for name in ("stdout", "stderr")]
        return Said(tuple(request["words"]), status, said[0], said[1])

    @property
    def alive(self) -> bool:
        """Whether it can still run commands."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
