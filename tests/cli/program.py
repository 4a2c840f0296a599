"""`Program` runs mailferry commands, each a process of its own, and keeps what they said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


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
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()

    def __str__(self) -> str:
        return f"mailferry {' '.join(self.words)}: {self.status}\n{self.out}\n{self.err}"


class Program:
    """The program, loaded once; `run` forks from it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm"],
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
        folder: Path | None = None,
    ) -> Said:
        """Run one command to its end. No variable of ours but `environment` reaches it."""
        assert self._process.stdin
        assert self._process.stdout
        paths = {name: self._folder / name for name in ("stdin", "stdout", "stderr")}
        for path in paths.values():
            path.write_bytes(b"")
        paths["stdin"].write_bytes(stdin if isinstance(stdin, bytes) else stdin.encode())
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MAILFERRY_")}
        request = {
            "words": [str(word) for word in words],
            "folder": str(folder or self._folder),
            "environment": {**plain, "COLUMNS": "200", "NO_COLOR": "1", **(environment or {})},
            **{name: str(path) for name, path in paths.items()},
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        return Said(tuple(request["words"]), status, paths["stdout"].read_text(), paths["stderr"].read_text())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
