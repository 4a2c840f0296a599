"""The service as an administrator runs it: a configuration, real processes, the command line.

`Service` writes a configuration into a temporary directory, runs `mailferry` commands against it and
`mailferry serve` as real processes, so that any of them can be killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_SECONDS = 30.0


def free_port() -> int:
    """Return a loopback port that nobody listens on now, below the range of outgoing connections."""
    for _ in range(200):
        with socket.socket() as probe:
            port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`, asked ten times a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}")


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
        self._process: subprocess.Popen[bytes] | None = None
        (self.directory / "master").write_text(self.master_password)
        self.config.write_text(self._toml())

    def _toml(self) -> str:
        tls = "starttls" if self.certificate else "none"
        lines = [
            "[service]",
            f'state_dir = "{self.state_dir}"',
            f'database = "{self.database}"',
            f"proxy_processes = {self.processes}",
            'allow_networks = ["127.0.0.0/8"]',
            *self._listener("imap", self.imap_port, tls),
            *self._listener("pop3", self.pop3_port, tls),
            *self._listener("web", self.web_port, "none"),
            *self._listener("metrics", self.metrics_port, None),
        ]
        if self.certificate:
            lines += ["[tls]", f'certificate = "{self.certificate[0]}"', f'key = "{self.certificate[1]}"']
        lines += [
            "[target]",
            f'imap = "{self.target_imap}"',
            f'pop3 = "{self.target_pop3}"',
            f'login = "{self.target_login}"',
            f'master_user = "{self.master_user}"',
            f'master_password = {{file = "{self.directory / "master"}"}}',
            "[passwords]",
            f'backend = "{"passwd-file" if self.passwd_file else "none"}"',
            'scheme = "SHA512-CRYPT"',
        ]
        if self.passwd_file:
            lines += ["[passwords.passwd-file]", f'path = "{self.passwd_file}"']
        lines += ["[copy]", *(f"{key} = {json.dumps(value)}" for key, value in self.copy.items())]
        return "\n".join(lines) + "\n" + self.extra

    @staticmethod
    def _listener(service: str, port: int, tls: str | None) -> list[str]:
        lines = [
            "[[listen]]",
            f'service = "{service}"',
            f'endpoint = "tcp:{port}:interface=127.0.0.1"',
        ]
        return [*lines, f'tls = "{tls}"'] if tls else lines

    def run(
        self, *words: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one mailferry command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "mailferry", "--config", str(self.config), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **self.environment},
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def show(self, address: str) -> dict[str, Any]:
        """Return `account show --json`."""
        return json.loads(self.run("account", "show", address, "--json").stdout)

    def start(self, roles: Sequence[str] = ()) -> None:
        """Run `mailferry serve` until it says that all workers serve."""
        words = [sys.executable, "-m", "mailferry", "--config", str(self.config), "serve", *roles]
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.directory / f"notify-{os.urandom(3).hex()}"
        ready.bind(str(path))
        ready.settimeout(0.2)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(path)},
            )
        deadline = time.monotonic() + READY_SECONDS
        try:
            while time.monotonic() < deadline:
                try:
                    if b"READY=1" in ready.recv(4096):
                        return
                except TimeoutError:
                    pass
                assert self._process.poll() is None, f"serve ended: {self.log.read_text()}"
            raise AssertionError(f"serve is not ready: {self.log.read_text()}")
        finally:
            ready.close()
            path.unlink()

    def workers(self, role: str) -> list[int]:
        """Return the process ids of the living workers of `role`, as the log named them."""
        found = []
        for line in self.log.read_text().splitlines():
            if "worker started" in line and f"worker={role}" in line:
                pid = int(next(word for word in line.split() if word.startswith("pid=")).removeprefix("pid="))
                if _is_child_of(pid, self._process.pid if self._process else -1):
                    found.append(pid)
        return found

    def kill(self, role: str) -> None:
        """Kill all workers of a role with SIGKILL."""
        for pid in self.workers(role):
            os.kill(pid, signal.SIGKILL)

    def kill_parent(self) -> None:
        """Kill the parent with SIGKILL; its workers end with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(15)
        self._process = None

    def stop(self) -> int:
        """End the service as systemd does; return its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(45)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(15)
            raise AssertionError(f"serve did not stop: {self.log.read_text()[-4000:]}") from None
        finally:
            self._process = None


def _is_child_of(pid: int, parent: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] != "Z" and int(fields[1]) == parent
