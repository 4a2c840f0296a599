"""A real Courier 5.0 on loopback: a target with UIDPLUS, without MULTIAPPEND, LITERAL+ and CONDSTORE.

Its POP3 wants ten seconds between two logins and counts messages without a last line end too short.
Courier's own front wants a daemon and a database of users. Here a thread of ours takes the login and
hands the connection to Courier's `imapd` or `courierpop3d`, as its front does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.lab.free_ports import free_port
from tests.kit import debian
from tests.kit.daemon import plain_user, run_as

CAPABILITY = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"
_LOGIN = re.compile(rb'(\S+) LOGIN ("(?:[^"\\]|\\.)*"|\S+) ("(?:[^"\\]|\\.)*"|\S+)\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """How a Courier is set up; the keyword arguments of `peers.start("courier", ...)`."""

    users: Mapping[str, str | bytes]
    """User name to password; each gets a Maildir."""
    capability: str = CAPABILITY
    settings: Mapping[str, str] = field(default_factory=dict)
    """More environment for `imapd`, such as `MAILDIRQUOTA`; it may be changed between sessions."""


class Courier:
    """A running Courier. `ports` has `imap` and `pop3`."""

    name = "courier"

    def __init__(self, tmp_path: Path, options: Options) -> None:
        self.options = options
        self.settings = dict(options.settings)
        self._found = debian.find("courier")
        self._user = plain_user()
        self.directory = Path(
            tempfile.mkdtemp(prefix="courier-", dir="/tmp" if os.getuid() == 0 else tmp_path)
        )
        self._remove = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        self.directory.chmod(0o755)
        self.passwords: dict[bytes, bytes] = {}
        for user, password in options.users.items():
            self.passwords[user.encode()] = password.encode() if isinstance(password, str) else password
            home = self.home(user)
            home.mkdir()
            if os.getuid() == 0:
                os.chown(home, self._user.pw_uid, self._user.pw_gid)
            make = self._found.root / "usr/bin/maildirmake.courier"
            run_as(self._user, [make, "Maildir"], cwd=home, env=self._found.env)
        self._sessions: set[subprocess.Popen[bytes]] = set()
        self._listening: list[socket.socket] = []
        self.ports: dict[str, int] = {}
        self.start()

    @property
    def version(self) -> str:
        """Courier's version number."""
        return self._found.version

    @property
    def pid(self) -> int:
        """Our own process id: each session is a process, and the front is a thread of ours."""
        return os.getpid()

    def home(self, user: str) -> Path:
        """Return the folder that holds the user's Maildir."""
        return self.directory / user

    def log_text(self) -> str:
        """Return what the sessions complained of."""
        log = self.directory / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def start(self) -> None:
        """Listen, or listen again after `stop(keep=True)` or `kill()`, on the same port and mail."""
        for protocol, front in (("imap", self._imap_front), ("pop3", self._pop3_front)):
            port = self.ports.get(protocol) or free_port()
            listening = socket.create_server(("127.0.0.1", port))
            self.ports[protocol] = port
            self._listening.append(listening)
            threading.Thread(target=self._accept, args=(listening, front), daemon=True).start()

    def stop(self, *, keep: bool = False) -> None:
        """End all sessions and listen no more; without `keep` the mail goes as well."""
        while self._listening:
            listening = self._listening.pop()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for session in list(self._sessions):
            session.kill()
            session.wait()
        self._sessions.clear()
        if not keep:
            self._remove()

    def kill(self) -> None:
        """End it as a power cut would; `start()` brings it back."""
        self.stop(keep=True)

    def _accept(self, listening: socket.socket, front: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=front, args=(connection,), daemon=True).start()

    def _pop3_front(self, connection: socket.socket) -> None:
        """Greet, take USER and PASS, and hand the connection over."""
        user = b""
        with connection, connection.makefile("rb", buffering=0) as lines:
            connection.sendall(b"+OK Hello there.\r\n")
            while line := lines.readline():
                verb, _, argument = line.rstrip().partition(b" ")
                if verb.upper() == b"USER":
                    user = argument
                    connection.sendall(b"+OK Password required.\r\n")
                elif verb.upper() == b"PASS" and self.passwords.get(user) == argument:
                    program = self._found.beside("usr/lib/courier/courier/courierpop3d")
                    self._hand_over(connection, program, user.decode(), {})
                    return
                elif verb.upper() == b"QUIT":
                    connection.sendall(b"+OK Better luck next time.\r\n")
                    return
                else:
                    connection.sendall(b"-ERR Login failed.\r\n")

    def _imap_front(self, connection: socket.socket) -> None:
        """Greet, take a LOGIN, and hand the connection over."""
        with connection, connection.makefile("rb", buffering=0) as lines:
            capability = self.options.capability.encode()
            connection.sendall(b"* OK [CAPABILITY %s] Courier-IMAP ready.\r\n" % capability)
            while line := lines.readline():
                tag, _, command = line.rstrip().partition(b" ")
                login = _LOGIN.fullmatch(line)
                if login and self.passwords.get(_plain(login[2])) == _plain(login[3]):
                    about = {"IMAPLOGINTAG": tag.decode(), "PROTOCOL": "IMAP4REV1"}
                    self._hand_over(connection, self._found.program, _plain(login[2]).decode(), about)
                    return
                if login:
                    connection.sendall(b"%s NO Login failed.\r\n" % tag)
                elif command.upper() == b"CAPABILITY":
                    connection.sendall(b"* CAPABILITY %s\r\n%s OK done\r\n" % (capability, tag))
                elif command.upper() == b"LOGOUT":
                    connection.sendall(b"* BYE see you\r\n%s OK done\r\n" % tag)
                    return
                else:
                    connection.sendall(b"%s BAD Invalid command\r\n" % tag)

    def _hand_over(
        self, connection: socket.socket, program: Path, user: str, about: Mapping[str, str]
    ) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            **self._found.env,
            "AUTHENTICATED": user,
            "AUTHADDR": user,
            **about,
            "TCPREMOTEIP": "127.0.0.1",  # without it imapd ends without a word
            "TCPREMOTEPORT": "1",
            "IMAP_CAPABILITY": self.options.capability,
            "IMAP_KEYWORDS": "1",
            "IMAP_EMPTYTRASH": "",
            "IMAP_USELOCKS": "0",  # its locks wait for a file alteration monitor that is not there
            **self.settings,
        }
        with (self.directory / "log").open("ab") as log:
            session = subprocess.Popen(
                [str(program), "Maildir"],
                cwd=self.home(user),
                env=environment,
                stdin=connection,
                stdout=connection,
                stderr=log,
                user=self._user.pw_uid if os.getuid() == 0 else None,
                group=self._user.pw_gid if os.getuid() == 0 else None,
                extra_groups=[] if os.getuid() == 0 else None,
            )
        self._sessions.add(session)
        connection.close()
        session.wait()
        self._sessions.discard(session)


def _plain(word: bytes) -> bytes:
    """Return what a quoted string says."""
    return re.sub(rb"\\(.)", rb"\1", word[1:-1]) if word.startswith(b'"') else word
