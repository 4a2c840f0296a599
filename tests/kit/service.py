"""The service as an administrator runs it: a configuration, real processes, the command line.

`Service` writes a configuration into a temporary directory, runs `mailferry` commands against it and
`mailferry serve` as real processes, so that any of them can be killed. A command forks from a process that
has loaded the program (`tests/cli/warm.py`): tests ask for an account's state some times a second.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailferry.config.toml_text import Table, toml_tables
from mailferry.lab.free_ports import free_port
from mailferry.lab.rehearsed_service import local_listener
from mailferry.lab.service_process import ServiceProcess
from tests.cli.program import FOR_COMMANDS, Program

READY_SECONDS = 240.0
"""Tests share their machine with many others; who waits for nothing waits no longer for this."""


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`, asked ten times a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


_one_command = threading.Lock()
_loaded: list[Program] = []


def _program() -> Program:
    """Return the loaded program of this run, started when first asked for, and again if somebody ended it."""
    if not _loaded or not _loaded[-1].alive:
        folder = tempfile.TemporaryDirectory(prefix="commands-")
        program = Program(Path(folder.name), FOR_COMMANDS)
        atexit.register(folder.cleanup)
        atexit.register(program.close)  # before its folder
        _loaded.append(program)
    return _loaded[-1]


@dataclass
class Service:
    """One mailferry with a state directory of its own."""

    directory: Path
    target_imap: str
    target_pop3: str
    master_user: str = "mailferry"
    master_password: str = "master-secret"
    passwd_file: Path | None = None
    database: str = "sqlite"
    copy: Mapping[str, object] = field(default_factory=dict)
    certificate: tuple[Path, Path] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    target_login: str = "dovecot-master"
    extra: str = ""
    processes: int = 1
    imap_port: int = field(default_factory=free_port)
    pop3_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.state_dir = self.directory / "state"
        self.state_dir.mkdir(exist_ok=True, mode=0o700)
        self.config = self.directory / "mailferry.toml"
        self.log = self.directory / "serve.log"
        self._processes = ServiceProcess(
            self.config, self.log, self.environment, own_session=False, ready_seconds=READY_SECONDS
        )
        (self.directory / "master").write_text(self.master_password)
        self.config.write_text(self._toml())

    def _toml(self) -> str:
        tls = "starttls" if self.certificate else "none"
        tables: dict[str, Table | Sequence[Table]] = {
            "service": {
                "state_dir": self.state_dir,
                "database": self.database,
                "proxy_processes": self.processes,
                "allow_networks": ["127.0.0.0/8"],
            },
            "listen": [
                local_listener("imap", self.imap_port, tls),
                local_listener("pop3", self.pop3_port, tls),
                local_listener("web", self.web_port, "none"),
                local_listener("metrics", self.metrics_port, "none"),
            ],
            "target": {
                "imap": self.target_imap,
                "pop3": self.target_pop3,
                "login": self.target_login,
                "master_user": self.master_user,
                "master_password": {"file": self.directory / "master"},
            },
            "passwords": {
                "backend": "passwd-file" if self.passwd_file else "none",
                "scheme": "SHA512-CRYPT",
            },
            "copy": self.copy,
        }
        if self.certificate:
            tables["tls"] = {"certificate": self.certificate[0], "key": self.certificate[1]}
        if self.passwd_file:
            tables["passwords.passwd-file"] = {"path": self.passwd_file}
        return toml_tables(tables) + self.extra

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one mailferry command to its end."""
        if "serve" in words:  # loads some modules later than others
            return self._processes.run(*words, check=check)
        with _one_command:
            said = _program().run("--config", self.config, *words, environment=self.environment)
        assert not check or said.status == 0, said
        return subprocess.CompletedProcess(words, said.status, said.out, said.err)

    def show(self, address: str) -> dict[str, Any]:
        """Return `account show --json`."""
        return json.loads(self.run("account", "show", address, "--json").stdout)

    def start(self, roles: Sequence[str] = ()) -> None:
        """Run `mailferry serve` until it says that all workers serve."""
        self._processes.start(roles)

    @property
    def parent_pid(self) -> int:
        """The process id of `serve`'s parent."""
        assert self._processes.pid is not None, "serve was not started"
        return self._processes.pid

    def workers(self, role: str) -> list[int]:
        """Return the process ids of the living workers of `role`, as the log named them."""
        found = []
        for line in self.log.read_text().splitlines():
            if "worker started" in line and f"worker={role}" in line:
                pid = int(next(word for word in line.split() if word.startswith("pid=")).removeprefix("pid="))
                if _is_child_of(pid, self._processes.pid or -1):
                    found.append(pid)
        return found

    def kill(self, role: str) -> None:
        """Kill all workers of a role with SIGKILL."""
        for pid in self.workers(role):
            os.kill(pid, signal.SIGKILL)

    def kill_parent(self) -> None:
        """Kill the parent with SIGKILL; its workers end with it."""
        self._processes.kill()

    def stop(self) -> int:
        """End the service as systemd does; return its exit status."""
        status = self._processes.stop()
        assert status != -signal.SIGKILL, f"serve did not stop: {self.log.read_text()[-4000:]}"
        return status


def _is_child_of(pid: int, parent: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z" and int(fields[1]) == parent
