"""A real PostgreSQL from a temporary directory, on a loopback port, without any promise of durability."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kit.daemon import Daemon, answers, run_as
from tests.kit.peer_process import PeerProcess


class PostgreSQL(PeerProcess):
    """A running PostgreSQL; `url(database)` is how to reach one of its databases."""

    name = "postgresql"
    ready_seconds = 30.0

    def __init__(self, tmp_path: Path, *, durable: bool = False) -> None:
        """Make a cluster and start it; `durable` keeps fsync on, for tests that kill the server."""
        super().__init__(tmp_path)
        self._durable = durable
        self._databases = 0
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        self.start()

    def kill(self) -> None:
        """End the server as a power cut would; `start()` brings it back."""
        super().kill()
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as `[service] database` takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.ports['postgresql']}/{database}"

    def fresh_database(self) -> str:
        """Create an empty database and return its address."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.ports["postgresql"]), "-U", "postgres", name)
        return self.url(name)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _services(self) -> Sequence[str]:
        return ("postgresql",)

    def _ready(self, ports: Mapping[str, int]) -> bool:
        pidfile = self._data / "postmaster.pid"
        try:
            return pidfile.read_text().splitlines()[7].strip() == "ready" and answers(
                ports["postgresql"], greeting=False
            )
        except (FileNotFoundError, IndexError):
            return False

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": ports["postgresql"],
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "16MB",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "jit": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Daemon(
            [str(self._found.program), "-D", str(self._data), *options],
            log=self.log,
            env=self._found.env,
            cwd=self.directory,
            user=self._user,
            stop_signal=signal.SIGINT,
        )

    def _run(self, program: str, *arguments: str) -> None:
        path = self._found.program.with_name(program)
        if not path.exists():
            path = Path(f"/usr/bin/{program}")
        run_as(self._user, [path, *arguments], cwd=self.directory, env={**self._found.env, "LC_ALL": "C"})
