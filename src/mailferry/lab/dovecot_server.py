"""One real Dovecot 2.3 from a directory of its own, for a rehearsal on real servers: no root, no system service.

Every session's octets are kept in files (rawlog), so that afterwards it can be told who served it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.lab.dovecot_configuration import DovecotTerms, dovecot_configuration
from mailferry.lab.free_ports import free_port
from mailferry.lab.rehearsal_hosts import HostsBroke

PROGRAM_VARIABLE = "MAILFERRY_DOVECOT"
"""Environment variable that names another program than the installed one."""
SERVICES = ("imap", "imaps", "pop3", "pop3s")
READY_SECONDS = 10.0


def find_dovecot() -> Path:
    """Return the program. Raises HostsBroke with the command that installs it."""
    named = os.environ.get(PROGRAM_VARIABLE)
    found = named or shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise HostsBroke("no Dovecot on this machine; apt-get install dovecot-imapd dovecot-pop3d")
    return Path(found)


@dataclass(slots=True)
class DovecotServer:
    """A Dovecot in a new temporary directory, started; `roles` is mailbox name to role."""

    tls: Path
    separator: str
    master: tuple[str, str]
    roles: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    folder: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mailferry-dovecot-"))
        self.folder.chmod(0o755)
        for name in ("run", "mail", "raw"):
            (self.folder / name).mkdir()
        for name in ("certificate.pem", "key.pem"):
            shutil.copyfile(self.tls / name, self.folder / name)
        self.users.touch(mode=0o644)
        (self.folder / "masters").write_text(f"{self.master[0]}:{{PLAIN}}{self.master[1]}::::::\n")
        self._owner = _mail_user()
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    _owner: pwd.struct_passwd = field(init=False)

    @property
    def users(self) -> Path:
        """The passwd-file, looked at anew at each login."""
        return self.folder / "users"

    def start(self) -> None:
        """Start and wait until all ports answer. Raises HostsBroke."""
        program = find_dovecot()
        self.ports = {service: free_port() for service in SERVICES}
        config = self.folder / "dovecot.conf"
        config.write_text(dovecot_configuration(self._terms(program)))
        root = os.getuid() == 0
        with (self.folder / "stdout").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-F", "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=log,  # a file: on a pipe its children would hold it open
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=self._owner.pw_uid if root else None,
                group=self._owner.pw_gid if root else None,
                extra_groups=[] if root else None,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not all(_answers(port) for port in self.ports.values()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise HostsBroke(f"Dovecot did not start: {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and remove its directory."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def heard(self, mark: str) -> bool:
        """Say whether a client sent this word in any session."""
        word = mark.encode()
        return any(
            word in path.read_bytes().replace(b'"', b" ").split() for path in self.folder.glob("raw/*.in")
        )

    def last_words(self) -> str:
        """Return the last line of its log."""
        text = "".join(
            path.read_text(errors="replace")
            for path in (self.folder / "stdout", self.folder / "log")
            if path.exists()
        )
        return text.strip().splitlines()[-1] if text.strip() else "it said nothing"

    def _terms(self, program: Path) -> DovecotTerms:
        return DovecotTerms(
            home=self.folder,
            owner=self._owner,
            ports=self.ports,
            users=self.users,
            masters=self.folder / "masters",
            tls=(self.folder / "certificate.pem", self.folder / "key.pem"),
            programs=program.parent if PROGRAM_VARIABLE in os.environ else None,
            separator=self.separator,
            roles=self.roles,
            raw_logs=self.folder / "raw",
        )


def _mail_user() -> pwd.struct_passwd:
    """Return who Dovecot runs as: ourselves, or nobody where we are root."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
