"""A real Dovecot 2.3 from a temporary directory: IMAP, POP3 and LMTP on loopback, started in 50 ms."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailferry.lab.dovecot_configuration import DovecotTerms, dovecot_configuration
from tests.kit import debian
from tests.kit.daemon import Daemon, run_as
from tests.kit.peer_process import PeerProcess

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


class Dovecot(PeerProcess):
    """A running Dovecot. `ports` has `imap`, `pop3`, `lmtp` and, with a certificate, `imaps`, `pop3s`."""

    name = "dovecot"

    def __init__(self, tmp_path: Path, options: Options) -> None:
        self.options = options
        super().__init__(tmp_path)
        if self.version.startswith("2.4"):
            raise debian.PeerMissing(f"Dovecot {self.version} is not understood yet: 2.3 is")
        for part in ("run", "mail"):
            (self.directory / part).mkdir(mode=0o755)
        self.config = self.directory / "dovecot.conf"
        self.users_path = options.users_path or self.directory / "users"
        self._master_path = self.directory / "masters"
        there = self.users_path.read_bytes() if self.users_path.exists() else b""
        self._replace_users(_with_passwords(there, options.users))
        if options.master is not None:
            self._master_path.write_bytes(_line(*options.master))
        self._give_away()
        self.start()

    def kill(self) -> None:
        """End Dovecot as a power cut would; `start()` brings it back."""
        super().kill()
        (self.directory / "run" / "master.pid").unlink(missing_ok=True)

    def set_password(self, user: str, password: str | bytes) -> None:
        """Add the user to the passwd-file, or give the user another password; the next login sees it."""
        self._replace_users(_with_passwords(self.users_path.read_bytes(), {user: password}))
        time.sleep(1 - time.time() % 1)  # Dovecot looks at the file once in each second of the clock at most

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
        return run_as(self._user, self.doveadm_command(*arguments), cwd=self.directory, octets=input)

    def doveadm_command(self, *arguments: str) -> list[str | Path]:
        """Return the command that runs doveadm on this server's mail, for who runs it otherwise."""
        return [self._found.beside("usr/bin/doveadm"), "-c", self.config, *arguments]

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

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        self.config.write_text(dovecot_configuration(self._terms(ports)))
        command = [str(self._found.program), "-F", "-c", str(self.config)]
        return Daemon(command, log=self.log, cwd=self.directory, user=self._user)

    def _replace_users(self, content: bytes) -> None:
        fresh = self.users_path.with_name(self.users_path.name + ".new")
        fresh.write_bytes(content)
        fresh.chmod(0o644)
        if os.getuid() == 0:
            os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
        fresh.replace(self.users_path)

    def _terms(self, ports: Mapping[str, int]) -> DovecotTerms:
        o = self.options
        return DovecotTerms(
            home=self.directory,
            owner=self._user,
            ports=ports,
            users=self.users_path,
            masters=self._master_path if o.master else None,
            tls=self._tls_files(),
            programs=self._found.libexec,
            location=o.location,
            separator=o.separator,
            roles=SPECIAL_USE if o.special_use is None else o.special_use,
            plaintext_login=o.plaintext_login,
            mail_fsync=o.mail_fsync,
            uidl_format=o.uidl_format,
            settings=o.settings,
        )

    def _tls_files(self) -> tuple[Path, Path] | None:
        """Return copies of certificate and key that the user Dovecot runs as may read."""
        if self.options.certificate is None or self.options.key is None:
            return None
        files = self.directory / "certificate.pem", self.directory / "key.pem"
        if not files[1].exists():
            for given, copy in zip((self.options.certificate, self.options.key), files, strict=True):
                shutil.copyfile(given, copy)
            self._give_away()
        return files


def _with_passwords(content: bytes, passwords: Mapping[str, str | bytes]) -> bytes:
    """Return a passwd-file's content with these users' lines at its end, in place of those they had."""
    theirs = tuple(user.encode() + b":" for user in passwords)
    kept = [line for line in content.splitlines(keepends=True) if not line.startswith(theirs)]
    return b"".join([*kept, *(_line(*one) for one in passwords.items())])


def _line(user: str, password: str | bytes) -> bytes:
    """Return a passwd-file line; base64 lets a password hold any octet, colons and line ends too."""
    octets = password.encode() if isinstance(password, str) else password
    return user.encode() + b":{PLAIN.b64}" + base64.b64encode(octets) + b"::::::\n"
