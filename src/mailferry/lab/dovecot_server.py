"""One real Dovecot 2.3 from a directory of its own, for a rehearsal on real servers: no root, no system service.

Every session's octets are kept in files (rawlog), so that afterwards it can be told who served it.
"""

from __future__ import annotations

import grp
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
    """A Dovecot in a new temporary directory, started; `settings` are lines of configuration of its own."""

    tls: Path
    separator: str
    master: tuple[str, str]
    settings: str = ""
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
        self.ports = dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))
        config = self.folder / "dovecot.conf"
        config.write_text(self._configuration(program))
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

    def _configuration(self, program: Path) -> str:
        home, owner = self.folder, self._owner
        group = grp.getgrgid(owner.pw_gid).gr_name
        lines = [
            *_library_lines(program),
            f"base_dir = {home}/run",
            f"state_dir = {home}/run",
            f"log_path = {home}/log",
            *(f"default_{kind}_user = {owner.pw_name}" for kind in ("internal", "login")),
            f"default_internal_group = {group}",
            "first_valid_uid = 1",
            "first_valid_gid = 0",
            f"mail_uid = {owner.pw_uid}",
            f"mail_gid = {owner.pw_gid}",
            f"mail_location = maildir:{home}/mail/%u",
            "mail_fsync = never",
            "mail_max_userip_connections = 100",
            f"rawlog_dir = {home}/raw",
            "protocols = imap pop3",
            "listen = 127.0.0.1",
            "auth_mechanisms = plain login",
            "auth_failure_delay = 0",
            "disable_plaintext_auth = no",
            "auth_master_user_separator = *",
            "ssl = yes",
            f"ssl_cert = <{home}/certificate.pem",
            f"ssl_key = <{home}/key.pem",
            "ssl_dh =",
            *("passdb {", "  driver = passwd-file", f"  args = {home}/masters", "  master = yes"),
            *("  result_success = continue", "}"),
            *("passdb {", "  driver = passwd-file", f"  args = username_format=%u {self.users}", "}"),
            *(
                "userdb {",
                "  driver = static",
                f"  args = uid={owner.pw_uid} gid={owner.pw_gid} home={home}/mail/%u",
                "}",
            ),
            *_service_lines(self.ports, owner.pw_name),
            *("namespace inbox {", "  inbox = yes", f"  separator = {self.separator}", self.settings, "}"),
        ]
        return "\n".join(lines) + "\n"


def role_lines(roles: Mapping[str, str]) -> str:
    """Return the settings that give mailboxes their roles."""
    return "\n".join(f'  mailbox "{name}" {{\n    special_use = {role}\n  }}' for name, role in roles.items())


def _library_lines(program: Path) -> list[str]:
    """Return where a Dovecot that was not installed by the system has its other programs."""
    if PROGRAM_VARIABLE not in os.environ:
        return []
    inner = program.parent
    return [
        f"libexec_dir = {inner}",
        f"mail_plugin_dir = {inner}/modules",
        f"login_plugin_dir = {inner}/modules/login",
    ]


def _service_lines(ports: Mapping[str, int], owner: str) -> list[str]:
    lines = [
        "service anvil {",
        "  chroot =",
        "  unix_listener anvil-auth-penalty {",
        "    mode = 0",
        "  }",
        "}",
    ]
    lines += ["service stats {", "  chroot =", "}"]
    lines += [
        "service auth {",
        "  unix_listener auth-userdb {",
        "    mode = 0600",
        f"    user = {owner}",
        "  }",
        "}",
    ]
    for protocol in ("imap", "pop3"):
        lines += [f"service {protocol}-login {{", "  chroot ="]
        lines += [f"  inet_listener {protocol} {{", f"    port = {ports[protocol]}", "  }"]
        lines += [
            f"  inet_listener {protocol}s {{",
            f"    port = {ports[protocol + 's']}",
            "    ssl = yes",
            "  }",
            "}",
        ]
    return lines


def _mail_user() -> pwd.struct_passwd:
    """Return who Dovecot runs as: ourselves, or nobody where we are root."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
