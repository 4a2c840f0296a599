"""A real Cyrus IMAP 3.6 from a temporary directory, on loopback: another make of target than Dovecot.

It asks a saslauthd for passwords; the one here is a thread that knows the users of the test. Mailboxes
of users are made by its administrator, as on a real machine.
"""

from __future__ import annotations

import contextlib
import grp
import imaplib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kit.daemon import Daemon
from tests.kit.peer_process import PeerProcess

ADMIN, ADMIN_PASSWORD = "cyrusadmin", "only-here"


@dataclass(frozen=True)
class Options:
    """How a Cyrus is set up; the keyword arguments of `peers.start("cyrus", ...)`."""

    users: Mapping[str, str | bytes]
    """User name to password; each gets an INBOX."""
    inbox_prefix: bool = False
    """Whether mailboxes stand below `INBOX.`, with a dot between the levels, as Cyrus did before 3.0."""
    settings: str = ""
    """Lines added to the end of imapd.conf, such as `maxmessagesize: 1024`."""


class Cyrus(PeerProcess):
    """A running Cyrus. `ports` has `imap` and `pop3`."""

    name = "cyrus"

    def __init__(self, tmp_path: Path, options: Options) -> None:
        self.options = options
        super().__init__(tmp_path)
        for part in ("conf", "conf/db", "conf/proc", "conf/lock", "conf/socket", "spool"):
            (self.directory / part).mkdir(mode=0o755)
        self.passwords = {name: _octets(password) for name, password in options.users.items()}
        self.passwords[ADMIN] = ADMIN_PASSWORD.encode()
        self._passwords_server = _serve_passwords(self.directory / "mux", self.passwords)
        self._give_away()
        self.start()
        for name in options.users:
            self.create_account(name)

    def stop(self, *, keep: bool = False) -> None:
        """End Cyrus: at once, directory and all, or in good order when `keep` says it will start again."""
        super().stop(keep=keep)
        if not keep:
            self._passwords_server.shutdown()
            self._passwords_server.server_close()

    def create_account(self, user: str) -> None:
        """Make the user's INBOX."""
        with self._admin() as session:
            said = session.create(self._root(user))
            assert said[0] == "OK", said

    def set_quota(self, user: str, kilobytes: int | None) -> None:
        """Let the user's mail take so much and no more; None lifts it."""
        limit = "()" if kilobytes is None else f"(STORAGE {kilobytes})"
        with self._admin() as session:
            said = session.setquota(self._root(user), limit)
            assert said[0] == "OK", said

    @contextlib.contextmanager
    def _admin(self) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4("127.0.0.1", self.ports["imap"]) as session:
            session.login(ADMIN, ADMIN_PASSWORD)
            yield session

    def _root(self, user: str) -> str:
        return f"user.{user}" if self.options.inbox_prefix else f"user/{user}"

    def _services(self) -> Sequence[str]:
        return ("imap", "pop3")

    def _port_was_taken(self) -> bool:
        return True  # it tells why it could not start to syslog alone

    def _spawn(self, ports: Mapping[str, int]) -> Daemon:
        self._configure(ports)
        home = self.directory
        command = [str(self._found.program), "-D", "-C", f"{home}/imapd.conf", "-M", f"{home}/cyrus.conf"]
        command += ["-p", f"{home}/master.pid"]
        return Daemon(command, log=self.log, env=self._found.env, cwd=home, user=self._user)

    def _configure(self, ports: Mapping[str, int]) -> None:
        home, programs = self.directory, self._found.program.parent
        group = grp.getgrgid(self._user.pw_gid).gr_name
        dotted = self.options.inbox_prefix
        settings = [
            f"configdirectory: {home}/conf",
            f"partition-default: {home}/spool",
            "defaultpartition: default",
            f"proc_path: {home}/conf/proc",
            f"mboxname_lockpath: {home}/conf/lock",
            f"lmtpsocket: {home}/conf/socket/lmtp",
            f"idlesocket: {home}/conf/socket/idle",
            f"notifysocket: {home}/conf/socket/notify",
            f"cyrus_user: {self._user.pw_name}",
            f"cyrus_group: {group}",
            f"admins: {ADMIN}",
            "allowplaintext: yes",
            "sasl_mech_list: PLAIN LOGIN",
            "sasl_pwcheck_method: saslauthd",
            f"sasl_saslauthd_path: {home}/mux",
            f"unixhierarchysep: {'no' if dotted else 'yes'}",
            f"altnamespace: {'no' if dotted else 'yes'}",
            "virtdomains: userid",
            "defaultdomain: localhost",
            "duplicatesuppression: no",
            "autocreate_quota: 0",
            "servername: cyrus.test",
            self.options.settings,
        ]
        (home / "imapd.conf").write_text("\n".join(settings) + "\n")
        services = [
            f'  {name} cmd="{programs}/{name}d -C {home}/imapd.conf" listen="127.0.0.1:{port}" prefork=1'
            for name, port in ports.items()
        ]
        recover = f'  recover cmd="{programs}/ctl_cyrusdb -C {home}/imapd.conf -r"'
        (home / "cyrus.conf").write_text(
            "\n".join(["START {", recover, "}", "SERVICES {", *services, "}", "EVENTS {", "}", ""])
        )


def _octets(password: str | bytes) -> bytes:
    return password.encode() if isinstance(password, str) else password


class _PasswordServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    known: Mapping[str, bytes]


class _Question(socketserver.BaseRequestHandler):
    """One question of saslauthd's protocol: user, password, service and realm, each behind its length."""

    def handle(self) -> None:
        parts = []
        for _ in range(4):
            head = self._read(2)
            if len(head) < 2:
                return
            parts.append(self._read(struct.unpack("!H", head)[0]))
        server = self.server
        assert isinstance(server, _PasswordServer)
        user, password, _, realm = parts
        names = {user.decode(), f"{user.decode()}@{realm.decode()}"}
        good = any(server.known.get(name) == password for name in names)
        answer = b"OK" if good else b"NO"
        self.request.sendall(struct.pack("!H", len(answer)) + answer)

    def _read(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            more = self.request.recv(count - len(octets))
            if not more:
                break
            octets += more
        return octets


def _serve_passwords(path: Path, known: Mapping[str, bytes]) -> _PasswordServer:
    server = _PasswordServer(str(path), _Question)
    server.known = known
    path.chmod(0o666)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
