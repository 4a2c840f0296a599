"""A real PostgreSQL from a temporary directory, on a loopback port, without any promise of durability."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import weakref
from functools import partial
from pathlib import Path

from mailferry.lab.free_ports import free_port
from tests.kit import debian
from tests.kit.daemon import Daemon, DaemonDied, answers, plain_user, run_as


class PostgreSQL:
    """A running PostgreSQL; `url(database)` is how to reach one of its databases."""

    name = "postgresql"

    def __init__(self, tmp_path: Path, *, durable: bool = False) -> None:
        """Make a cluster and start it; `durable` keeps fsync on, for tests that kill the server."""
        self._found = debian.find("postgresql")
        self._durable = durable
        self._user = plain_user()
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if os.getuid() == 0 else tmp_path))
        self._remove = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.chmod(0o755)
        if os.getuid() == 0:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        self.ports: dict[str, int] = {}
        self._daemon: Daemon | None = None
        self._databases = 0
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        self.start()

    @property
    def version(self) -> str:
        """PostgreSQL's version number."""
        return self._found.version

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.directory / "log"

    def log_text(self) -> str:
        """Return the whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start, or start again after `stop(keep=True)` or `kill()`, on the same port."""
        for attempt in range(5):
            port = self.ports.get("postgresql") or free_port()
            self._daemon = self._spawn(port)
            try:
                self._daemon.wait_ready(partial(self._ready, port), 30)
            except DaemonDied:
                if attempt == 4 or self.ports or "Address already in use" not in self.log_text():
                    raise
                continue
            self.ports = {"postgresql": port}
            return

    def stop(self, *, keep: bool = False) -> None:
        """End the server; its directory goes as well unless `keep`."""
        if self._daemon is not None:
            (self._daemon.stop if keep else self._daemon.kill)()
        if not keep:
            self._remove()

    def kill(self) -> None:
        """End the server as a power cut would; `start()` brings it back."""
        assert self._daemon is not None
        self._daemon.kill()
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

    def _ready(self, port: int) -> bool:
        pidfile = self._data / "postmaster.pid"
        try:
            return pidfile.read_text().splitlines()[7].strip() == "ready" and answers(port, greeting=False)
        except (FileNotFoundError, IndexError):
            return False

    def _spawn(self, port: int) -> Daemon:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
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
