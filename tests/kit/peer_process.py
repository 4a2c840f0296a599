"""What every real server that runs as one daemon has: a directory of its own, ports, a log, and a certain end."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mailferry.lab.free_ports import free_port
from tests.kit import debian
from tests.kit.daemon import Daemon, DaemonDied, answers, plain_user

ATTEMPTS = 5
"""How often other ports are tried when somebody took one between its choice and the start."""
FOLDER = "MAILFERRY_PEER_FOLDER"
"""Environment variable: where servers keep their directories, for a bench on another file system. Keep it short."""


class PeerProcess(ABC):
    """A server from a Debian package in a temporary directory; a subclass says how it is set up.

    A subclass prepares its directory in `__init__` and calls `start` at its end.
    """

    name: str
    ready_seconds = 10.0

    def __init__(self, tmp_path: Path) -> None:
        """Make the directory; raises debian.PeerMissing when the server is not on this machine."""
        self._found = debian.find(self.name)
        self._user: pwd.struct_passwd = plain_user()
        # a socket's path may have 108 octets, and `nobody` cannot enter root's temporary folders
        folder = os.environ.get(FOLDER) or ("/tmp" if os.getuid() == 0 else tmp_path)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=folder))
        self._remove = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        self._daemon: Daemon | None = None
        self.ports: dict[str, int] = {}
        self._give_away()

    @property
    def version(self) -> str:
        """The server's version number."""
        return self._found.version

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def log(self) -> Path:
        """The file that all of the server's processes write to."""
        return self.directory / "log"

    def log_text(self) -> str:
        """Return the whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start, or start again after `stop(keep=True)` or `kill()`, on the same ports and data."""
        for attempt in range(ATTEMPTS):
            ports = self.ports or {service: free_port() for service in self._services()}
            self._daemon = self._spawn(ports)
            try:
                self._daemon.wait_ready(partial(self._ready, ports), self.ready_seconds)
            except DaemonDied:
                if attempt == ATTEMPTS - 1 or self.ports or not self._port_was_taken():
                    raise
                continue
            self.ports = ports
            return

    def stop(self, *, keep: bool = False) -> None:
        """End the server: at once, directory and all, or in good order when `keep` says it will start again."""
        if self._daemon is not None:
            (self._daemon.stop if keep else self._daemon.kill)()
        if not keep:
            self._remove()

    def kill(self) -> None:
        """End the server as a power cut would; `start()` brings it back."""
        assert self._daemon is not None
        self._daemon.kill()

    @abstractmethod
    def _services(self) -> Sequence[str]:
        """Name what the server listens for; each gets a port."""

    @abstractmethod
    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        """Write the configuration for these ports and start the process."""

    def _ready(self, ports: Mapping[str, int]) -> bool:
        """Whether every listener is up; those that wait for a TLS hello stay silent."""
        return all(answers(port, greeting=not name.endswith("s")) for name, port in ports.items())

    def _port_was_taken(self) -> bool:
        return "Address already in use" in self.log_text()

    def _give_away(self) -> None:
        """As root: let the user that the server runs as own its directory, and anybody enter it."""
        self.directory.chmod(0o755)
        if os.getuid() != 0:
            return
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)
