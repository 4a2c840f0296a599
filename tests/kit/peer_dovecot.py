"""A real Dovecot 2.3 from a temporary directory: IMAP, POP3 and LMTP on loopback, started in 50 ms."""

from __future__ import annotations

import base64
import grp
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.kit import debian
from tests.kit.daemon import Daemon, DaemonDied, answers, free_port, plain_user, run_as

LOCATIONS = {"maildir": "maildir:~/Maildir", "sdbox": "sdbox:~/sdbox", "mdbox": "mdbox:~/mdbox"}
SPECIAL_USE = {
    "Sent": r"\Sent",
    "Drafts": r"\Drafts",
    "Trash": r"\Trash",
    "Junk": r"\Junk",
    "Archive": r"\Archive",
}


@dataclass(frozen=True)
class Options:
    """How a Dovecot is set up; the keyword arguments of `peers.start("dovecot", ...)`."""

    users: Mapping[str, str | bytes]
    """User name to password; written to `users_path` unless that exists already."""
    location: str = "maildir"
    """`maildir`, `sdbox` or `mdbox`."""
    protocols: tuple[str, ...] = ("imap", "pop3", "lmtp")
    certificate: Path | None = None
    """With `key`: STARTTLS/STLS on the plain ports and `imaps`, `pop3s` ports besides."""
    key: Path | None = None
    plaintext_login: bool = True
    """Whether LOGIN and PASS are taken outside TLS. Dovecot always takes them from its own address, so
    that False shows only to clients that dial from another loopback address, such as 127.0.0.2."""
    master: tuple[str, str] | None = None
    """Master user and its password: `user*master`, or SASL PLAIN with the user as authzid."""
    users_path: Path | None = None
    """passwd-file, read again at each login; in the peer's own directory by default."""
    mail_fsync: str = "never"
    uidl_format: str = "%08Xu%08Xv"
    special_use: Mapping[str, str] | None = None
    """Mailbox name to role (`\\Sent`, ...); names as in Debian's sample by default."""
    separator: str | None = None
    settings: str = ""
    """Lines added to the end of the configuration."""


class Dovecot:
    """A running Dovecot. `ports` has `imap`, `pop3`, `lmtp` and, with a certificate, `imaps`, `pop3s`."""

    name = "dovecot"

    def __init__(self, tmp_path: Path, options: Options) -> None:
        self.options = options
        self._found = debian.find("dovecot")
        if self._found.version.startswith("2.4"):
            raise debian.PeerMissing(f"Dovecot {self._found.version} is not understood yet: 2.3 is")
        self._user = plain_user()
        self.directory = Path(
            tempfile.mkdtemp(prefix="dovecot-", dir="/tmp" if os.getuid() == 0 else tmp_path)
        )
        self._remove = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        for part in ("run", "mail"):
            (self.directory / part).mkdir(mode=0o755)
        self.config = self.directory / "dovecot.conf"
        self.users_path = options.users_path or self.directory / "users"
        self._master_path = self.directory / "masters"
        if not self.users_path.exists():
            self.users_path.write_bytes(b"")
            self.users_path.chmod(0o644)
        for user, password in options.users.items():
            self.set_password(user, password)
        if options.master is not None:
            self._master_path.write_bytes(_line(*options.master))
        self._give_away()
        self._daemon: Daemon | None = None
        self.ports: dict[str, int] = {}
        self.start()

    @property
    def version(self) -> str:
        """Dovecot's version number."""
        return self._found.version

    @property
    def log(self) -> Path:
        """The file that all of Dovecot's processes log to."""
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """The process id of Dovecot's master process."""
        assert self._daemon is not None
        return self._daemon.pid

    def log_text(self) -> str:
        """Return the whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        """Start, or start again after `stop(keep=True)` or `kill()`, on the same ports and mail."""
        for attempt in range(5):
            ports = self.ports or {service: free_port() for service in self._services()}
            self.config.write_text(self._configuration(ports))
            self._daemon = self._spawn()
            try:
                self._daemon.wait_ready(partial(_greets, ports))
            except DaemonDied:
                if attempt == 4 or self.ports or "Address already in use" not in self.log_text():
                    raise
                continue
            self.ports = ports
            return

    def stop(self, *, keep: bool = False) -> None:
        """End Dovecot: at once, directory and all, or in good order when `keep` says it will start again.

        An orderly stop takes Dovecot a second.
        """
        if self._daemon is not None:
            (self._daemon.stop if keep else self._daemon.kill)()
        if not keep:
            self._remove()

    def kill(self) -> None:
        """End Dovecot as a power cut would; `start()` brings it back."""
        assert self._daemon is not None
        self._daemon.kill()
        (self.directory / "run" / "master.pid").unlink(missing_ok=True)

    def set_password(self, user: str, password: str | bytes) -> None:
        """Add the user to the passwd-file, or give the user another password; the next login sees it."""
        name = user.encode() + b":"
        lines = [x for x in self.users_path.read_bytes().splitlines(keepends=True) if not x.startswith(name)]
        self._replace_users(b"".join([*lines, _line(user, password)]))

    def remove_user(self, user: str) -> None:
        """Take the user out of the passwd-file; the mail stays."""
        name = user.encode() + b":"
        lines = self.users_path.read_bytes().splitlines(keepends=True)
        self._replace_users(b"".join(x for x in lines if not x.startswith(name)))

    def home(self, user: str) -> Path:
        """Return the folder on disk that holds the user's mail."""
        return self.directory / "mail" / user

    def doveadm(self, *arguments: str, input: bytes = b"") -> bytes:  # noqa: A002 - as subprocess calls it
        """Run doveadm and return its output; raises CalledProcessError with what it said."""
        command: list[str | Path] = [self._found.beside("usr/bin/doveadm"), "-c", self.config, *arguments]
        return run_as(self._user, command, cwd=self.directory, octets=input)

    def doveadm_json(self, *arguments: str) -> list[dict[str, str]]:
        """Run doveadm with JSON output. Not for message text: octets that are not UTF-8 get lost in it."""
        rows: list[dict[str, str]] = json.loads(self.doveadm("-f", "json", *arguments) or b"[]")
        return rows

    def create_mailbox(self, user: str, *names: str, subscribe: bool = True) -> None:
        """Create mailboxes by their names in Unicode."""
        self.doveadm("mailbox", "create", *(["-s"] if subscribe else []), "-u", user, *names)

    def save(self, user: str, message: bytes, mailbox: str = "INBOX") -> None:
        """Put one message into a mailbox, as a delivery without LMTP."""
        self.doveadm("save", "-u", user, "-m", mailbox, input=message)

    def _services(self) -> list[str]:
        plain = [p for p in ("imap", "pop3", "lmtp") if p in self.options.protocols]
        secure = [f"{p}s" for p in plain if p != "lmtp"] if self.options.certificate else []
        return plain + secure

    def _spawn(self) -> Daemon:
        command = [str(self._found.program), "-F", "-c", str(self.config)]
        return Daemon(command, log=self.log, cwd=self.directory, user=self._user)

    def _give_away(self) -> None:
        """As root: let the user that Dovecot runs as own its directory, and anybody enter it."""
        self.directory.chmod(0o755)
        if os.getuid() != 0:
            return
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _replace_users(self, content: bytes) -> None:
        fresh = self.users_path.with_name(self.users_path.name + ".new")
        fresh.write_bytes(content)
        fresh.chmod(0o644)
        if os.getuid() == 0:
            os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        fresh.replace(self.users_path)

    def _configuration(self, ports: Mapping[str, int]) -> str:
        o, home, user = self.options, self.directory, self._user.pw_name
        group = grp.getgrgid(self._user.pw_gid).gr_name
        lines = [
            f"base_dir = {home}/run",
            f"state_dir = {home}/run",
            f"log_path = {home}/log",
            f"libexec_dir = {self._found.libexec}",
            f"mail_plugin_dir = {self._found.libexec}/modules",
            f"login_plugin_dir = {self._found.libexec}/modules/login",
            f"default_internal_user = {user}",
            f"default_internal_group = {group}",
            f"default_login_user = {user}",
            f"mail_uid = {user}",
            f"mail_gid = {group}",
            "first_valid_uid = 1",
            "first_valid_gid = 0",
            f"mail_home = {home}/mail/%u",
            f"mail_location = {LOCATIONS[o.location]}",
            f"mail_fsync = {o.mail_fsync}",
            "mail_max_userip_connections = 200",
            f"pop3_uidl_format = {o.uidl_format}",
            "listen = 127.0.0.1",
            f"protocols = {' '.join(o.protocols)}",
            "auth_mechanisms = plain login",
            "auth_failure_delay = 0",
            f"disable_plaintext_auth = {'no' if o.plaintext_login else 'yes'}",
            *self._tls_lines(),
            *self._passdb_lines(),
            *self._namespace_lines(),
            *_service_lines(ports, o.protocols, user),
            o.settings,
        ]
        return "\n".join(lines) + "\n"

    def _tls_lines(self) -> list[str]:
        if self.options.certificate is None:
            return ["ssl = no"]
        private = self.directory / "key.pem"
        if not private.exists():
            assert self.options.key is not None
            shutil.copyfile(self.options.key, private)
            shutil.copyfile(self.options.certificate, self.directory / "certificate.pem")
            self._give_away()
        return [
            "ssl = yes",
            f"ssl_cert = <{self.directory}/certificate.pem",
            f"ssl_key = <{private}",
            "ssl_dh =",
        ]

    def _passdb_lines(self) -> list[str]:
        lines = []
        if self.options.master is not None:
            lines = [
                "auth_master_user_separator = *",
                "passdb {",
                "  driver = passwd-file",
                f"  args = {self._master_path}",
                "  master = yes",
                "  result_success = continue",
                "}",
            ]
        return [
            *lines,
            "passdb {",
            "  driver = passwd-file",
            f"  args = username_format=%u {self.users_path}",
            "}",
            "userdb {",
            "  driver = static",
            f"  args = uid={self._user.pw_uid} gid={self._user.pw_gid} home={self.directory}/mail/%u",
            "}",
        ]

    def _namespace_lines(self) -> list[str]:
        lines = ["namespace inbox {", "  inbox = yes"]
        if self.options.separator is not None:
            lines.append(f"  separator = {self.options.separator}")
        roles = SPECIAL_USE if self.options.special_use is None else self.options.special_use
        for mailbox, role in roles.items():
            lines += [f'  mailbox "{mailbox}" {{', f"    special_use = {role}", "  }"]
        return [*lines, "}"]


def _greets(ports: Mapping[str, int]) -> bool:
    """Whether every listener is up; those that wait for a TLS hello stay silent."""
    return all(answers(port, greeting=not name.endswith("s")) for name, port in ports.items())


def _service_lines(ports: Mapping[str, int], protocols: Sequence[str], user: str) -> list[str]:
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
        f"    user = {user}",
        "  }",
        "}",
    ]
    for protocol in ("imap", "pop3"):
        if protocol not in protocols:
            continue
        lines += [f"service {protocol}-login {{", "  chroot ="]
        for name in (protocol, f"{protocol}s"):
            lines += [f"  inet_listener {name} {{", f"    port = {ports.get(name, 0)}"]
            lines += (["    ssl = yes"] if name.endswith("s") and name in ports else []) + ["  }"]
        lines.append("}")
    if "lmtp" in protocols:
        lines += ["service lmtp {", "  inet_listener lmtp {", f"    port = {ports['lmtp']}", "  }", "}"]
    return lines


def _line(user: str, password: str | bytes) -> bytes:
    """Return a passwd-file line; base64 lets a password hold any octet, colons and line ends too."""
    octets = password.encode() if isinstance(password, str) else password
    return user.encode() + b":{PLAIN.b64}" + base64.b64encode(octets) + b"::::::\n"
