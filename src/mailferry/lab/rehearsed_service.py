"""mailferry itself inside a rehearsal: a generated configuration and the real commands as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_SECONDS = 30.0
STOP_SECONDS = 40.0
COMMAND_SECONDS = 60.0
DOORS = ("imap", "imaps", "pop3", "pop3s", "web", "metrics")
_LOCAL = "interface=127.0.0.1"


class ServiceBroke(Exception):
    """A command failed or the service did not come up; the message holds its own words."""


@dataclass(frozen=True, slots=True)
class TargetAccess:
    """How the new host is reached: server addresses as in the configuration, and the master login."""

    imap: str
    pop3: str
    master_user: str
    master_password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far all accounts are: how many stand in which state, and messages copied so far."""

    states: Mapping[str, int]
    copied: int


@dataclass(slots=True)
class RehearsedService:
    """One mailferry with its state below `folder`, on free loopback ports."""

    folder: Path
    target: TargetAccess
    certificate: Path
    key: Path
    passwd_file: Path
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.ports = dict(zip(DOORS, _free_ports(len(DOORS)), strict=True))
        (self.folder / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self.folder / "master.secret"
        secret.touch(mode=0o600)
        secret.write_text(self.target.master_password)
        self.config.write_text(self._configuration(secret), "utf-8")

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "mailferry.toml"

    @property
    def log(self) -> Path:
        """What the service writes."""
        return self.folder / "serve.log"

    @property
    def database(self) -> Path:
        """The SQLite file of the store."""
        return self.folder / "state" / "mailferry.db"

    def run(self, *words: str) -> str:
        """Run one command and return its output. Raises ServiceBroke when it fails."""
        done = subprocess.run(
            [*_program(), "--config", str(self.config), *words],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            told = (done.stderr or done.stdout).strip()
            raise ServiceBroke(f"mailferry {' '.join(words)}: exit status {done.returncode}: {told}")
        return done.stdout

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return `account list --json` by address."""
        return {account["address"]: account for account in json.loads(self.run("account", "list", "--json"))}

    def progress(self) -> Progress:
        """Return what the metrics say now; far cheaper than a command."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("mailferry_"))
        states = {
            name.partition('state="')[2].partition('"')[0]: int(float(value))
            for name, value in values.items()
            if name.startswith("mailferry_accounts{")
        }
        return Progress(states, int(float(values.get("mailferry_copied_messages_total", "0"))))

    def start(self) -> None:
        """Run `mailferry serve` until it says that every worker serves. Raises ServiceBroke."""
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self.log.open("ab") as log:
            ready.bind(str(path))
            self._process = subprocess.Popen(
                [*_program(), "--config", str(self.config), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NOTIFY_SOCKET": str(path)},
                start_new_session=True,  # Ctrl-C on the terminal is for who started us
            )
            self._await_ready(ready)

    def stop(self) -> None:
        """End the service as systemd would; kill it when it does not end."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of the service's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _await_ready(self, ready: socket.socket) -> None:
        assert self._process is not None
        ready.settimeout(0.2)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServiceBroke(f"mailferry serve ended:\n{self.last_words()}")
            try:
                if b"READY=1" in ready.recv(4096):
                    return
            except TimeoutError:
                continue
        raise ServiceBroke(f"mailferry serve is not ready after {READY_SECONDS:g} s:\n{self.last_words()}")

    def _configuration(self, secret: Path) -> str:
        lines = [
            "[service]",
            f"state_dir = {_text(self.folder / 'state')}",
            'allow_networks = ["127.0.0.0/8", "::1/128"]',
            "drain_seconds = 3",
        ]
        for door in DOORS:
            name = door.removesuffix("s") if door in {"imaps", "pop3s"} else door
            tls = {
                "imap": "starttls",
                "pop3": "starttls",
                "imaps": "implicit",
                "pop3s": "implicit",
                "web": "none",
            }
            lines += ["[[listen]]", f'service = "{name}"', f'endpoint = "tcp:{self.ports[door]}:{_LOCAL}"']
            lines += [f'tls = "{tls[door]}"'] if door in tls else []
        lines += ["[tls]", f"certificate = {_text(self.certificate)}", f"key = {_text(self.key)}"]
        lines += [
            "[target]",
            f"imap = {_text(self.target.imap)}",
            f"pop3 = {_text(self.target.pop3)}",
            'login = "dovecot-master"',
            f"master_user = {_text(self.target.master_user)}",
            f"master_password = {{file = {_text(secret)}}}",
            "[passwords]",
            'backend = "passwd-file"',
            "[passwords.passwd-file]",
            f"path = {_text(self.passwd_file)}",
            "[copy]",
            "quiet_seconds = 1",
            "pass_interval_seconds = 2",
        ]
        return "\n".join(lines) + "\n"


def _program() -> Sequence[str]:
    return (sys.executable, "-m", "mailferry")


def _text(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
