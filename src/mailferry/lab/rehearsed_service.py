"""mailferry itself inside a rehearsal: a generated configuration and the real commands as real processes."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailferry.config.toml_text import Table, toml_tables
from mailferry.lab.free_ports import free_port
from mailferry.lab.service_process import ServiceProcess

DOORS = ("imap", "imaps", "pop3", "pop3s", "web", "metrics")


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
    _processes: ServiceProcess = field(init=False)

    def __post_init__(self) -> None:
        self.ports = {door: free_port() for door in DOORS}
        (self.folder / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = self.folder / "master.secret"
        secret.touch(mode=0o600)
        secret.write_text(self.target.master_password)
        self._processes = ServiceProcess(self.folder / "mailferry.toml", self.folder / "serve.log")
        self.config.write_text(self._configuration(secret), "utf-8")

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self._processes.config

    @property
    def database(self) -> Path:
        """The SQLite file of the store."""
        return self.folder / "state" / "mailferry.db"

    def run(self, *words: str) -> str:
        """Run one command and return its output. Raises ServiceBroke when it fails."""
        return self._processes.run(*words).stdout

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
        self._processes.start()

    def stop(self) -> None:
        """End the service as systemd would; kill it when it does not end."""
        self._processes.stop()

    def last_words(self) -> str:
        """Return the end of the service's log."""
        return self._processes.last_words()

    def _configuration(self, secret: Path) -> str:
        return toml_tables(
            {
                "service": {
                    "state_dir": self.folder / "state",
                    "allow_networks": ["127.0.0.0/8", "::1/128"],
                    "drain_seconds": 3,
                },
                "listen": [self._listener(door) for door in DOORS],
                "tls": {"certificate": self.certificate, "key": self.key},
                "target": {
                    "imap": self.target.imap,
                    "pop3": self.target.pop3,
                    "login": "dovecot-master",
                    "master_user": self.target.master_user,
                    "master_password": {"file": secret},
                },
                "passwords": {"backend": "passwd-file"},
                "passwords.passwd-file": {"path": self.passwd_file},
                "copy": {"quiet_seconds": 1, "pass_interval_seconds": 2},
            }
        )

    def _listener(self, door: str) -> Table:
        if door in {"web", "metrics"}:
            return local_listener(door, self.ports[door], "none")
        if door.endswith("s"):
            return local_listener(door.removesuffix("s"), self.ports[door], "implicit")
        return local_listener(door, self.ports[door], "starttls")


def local_listener(service: str, port: int, tls: str) -> Table:
    """Return the settings of a listener on loopback."""
    return {"service": service, "endpoint": f"tcp:{port}:interface=127.0.0.1", "tls": tls}
