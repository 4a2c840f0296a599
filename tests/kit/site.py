"""A site as conf/ describes one: two Dovecots, the service with all its listeners, Postfix, and nginx on demand."""

from __future__ import annotations

import base64
import imaplib
import poplib
import re
import smtplib
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailferry.lab.free_ports import free_port
from tests.kit import peers
from tests.kit.peer_dovecot import Dovecot
from tests.kit.peer_nginx import Nginx
from tests.kit.peer_postfix import Postfix
from tests.kit.service import Service, until
from tests.kit.site_files import as_it_stands
from tests.kit.tls_files import TlsFiles

DOMAIN = "old.test"
NO_POP3 = "imap.test"
"""A domain whose old host speaks IMAP alone: no maildrop is renumbered."""
DOWN = "down.test"
"""A domain whose old host does not answer."""
MASTER = ("mailferry", "master-secret")
CLIENT = "127.0.0.7"
"""Where users' mail programs are."""
ANSWER_SECONDS = 70.0

_LISTENERS = """
[[listen]]
service = "auth_http"
endpoint = "tcp:{auth_http}:interface=127.0.0.1"
[[listen]]
service = "imap"
endpoint = "tcp:{imap}:interface=127.0.0.1"
tls = "none"
proxy_protocol_from = ["127.0.0.0/8"]
[[listen]]
service = "pop3"
endpoint = "tcp:{pop3}:interface=127.0.0.1"
tls = "none"
proxy_protocol_from = ["127.0.0.0/8"]
[[listen]]
service = "imap"
endpoint = "tcp:{webmail}:interface=127.0.0.1"
tls = "none"
webmail_from = ["127.0.0.1/32"]
[[listen]]
service = "sasl"
endpoint = "{sasl}"
"""


class ImapProgram(imaplib.IMAP4):
    """A mail program at CLIENT."""

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (CLIENT, 0))


class Pop3Program(poplib.POP3):
    """A mail program at CLIENT."""

    def _create_socket(self, timeout: float) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, (CLIENT, 0))


@dataclass
class Site:
    """Everything that stands between a user and two hosts; `users` have passwords at the old one."""

    folder: Path
    users: dict[str, str | bytes]
    postfix: bool = False
    nginx: bool = False
    messages: int = 3
    sasl_path: Path | None = None
    """A socket in the file system for Postfix, in place of a port."""
    ports: dict[str, int] = field(
        default_factory=lambda: {
            name: free_port() for name in ("auth_http", "imap", "pop3", "webmail", "sasl")
        }
    )

    def __post_init__(self) -> None:
        self._ends: list[Any] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        issued = TlsFiles(self.folder / "tls").issue("localhost", "127.0.0.1")
        self.source: Dovecot = self._kept(
            peers.dovecot(self.folder, users=self.users, protocols=("imap", "pop3"))
        )
        for user in self.users:
            self._fill(user)
        self.behind = {"imap": free_port(), "pop3": free_port()}
        self.target: Dovecot = self._kept(self._target())
        sasl = f"tcp:{self.ports['sasl']}:interface=127.0.0.1"
        if self.sasl_path is not None:
            sasl = f"unix:{self.sasl_path}:mode=666"
        extra = _LISTENERS.format(**{**self.ports, "sasl": sasl})
        if self.postfix:
            place = str(self.sasl_path or f"inet:127.0.0.1:{self.ports['sasl']}")
            self.smtp: Postfix = self._kept(Postfix(self.folder, sasl=place, issued=issued))
            extra += f'[auth_http]\nsubmission = "127.0.0.1:{self.smtp.ports["behind_nginx"]}"\n'
        self.service = Service(
            self.folder / "service",
            target_imap=f"imap://127.0.0.1:{self.behind['imap']}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{self.behind['pop3']}?tls=none",
            master_user=MASTER[0],
            master_password=MASTER[1],
            passwd_file=self.target.users_path,
            copy={"quiet_seconds": 1, "pass_interval_seconds": 1},
            environment={"MAILFERRY_TARGET__FORWARD_CLIENT_ADDRESS": "proxy"},
            extra=extra,
        )
        domains = self.folder / "domains.toml"
        here, nowhere = self.source.ports, dict.fromkeys(("imap", "pop3"), free_port())
        imap_alone = {"imap": here["imap"]}
        domains.write_text(_domain(DOMAIN, here) + _domain(NO_POP3, imap_alone) + _domain(DOWN, nowhere))
        self.service.run("domain", "apply", str(domains))
        self.service.start()
        self._ends.append(self.service.stop)
        if self.nginx:
            self.proxy: Nginx = self._kept(
                Nginx(self.folder, auth_http=self.ports["auth_http"], issued=issued)
            )

    def _fill(self, user: str) -> None:
        client = imaplib.IMAP4("127.0.0.1", self.source.ports["imap"])
        client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + _octets(self.users[user]))
        for number in range(self.messages):
            client.append("INBOX", "", "", message(f"old {number}"))
        client.logout()

    def _target(self) -> Dovecot:
        """The new host, by the sample of its configuration."""
        readable = tempfile.TemporaryDirectory(prefix="site-")  # by Dovecot's own user
        self._ends.append(readable.cleanup)
        masters = Path(readable.name) / "masters"
        masters.parent.chmod(0o755)
        masters.write_text(f"{MASTER[0]}:{{PLAIN.b64}}{base64.b64encode(MASTER[1].encode()).decode()}\n")
        settings = as_it_stands(
            "dovecot/mailferry.conf",
            {
                "/etc/dovecot/mailferry-master": str(masters),
                "port = 10143": f"port = {self.behind['imap']}",
                "port = 10110": f"port = {self.behind['pop3']}",
            },
        )
        users = dict.fromkeys((*self.users, f"nobody@{DOWN}"), "nobody knows")
        return peers.dovecot(
            self.folder,
            users=users,
            protocols=("imap", "pop3"),
            settings=settings + 'mail_log_prefix = "%%s(%%u)<%%r>: "\n',
        )

    def _kept(self, server: Any) -> Any:
        self._ends.append(server.stop)
        return server

    def close(self) -> None:
        """End everything."""
        while self._ends:
            self._ends.pop()()

    # --- users' mail programs

    def imap(self, user: str, password: str | bytes | None = None) -> ImapProgram:
        """Log in through nginx by IMAP; raises imaplib.IMAP4.error with the server's words."""
        client = ImapProgram("127.0.0.1", self.proxy.ports["imap"], timeout=ANSWER_SECONDS)
        try:
            client.starttls(_no_checks())
            given = _octets(self.users[user] if password is None else password)
            client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + given)
        except BaseException:
            client.shutdown()
            raise
        return client

    def pop3(self, user: str, password: str | None = None) -> Pop3Program:
        """Log in through nginx by POP3; raises poplib.error_proto with the server's words."""
        client = Pop3Program("127.0.0.1", self.proxy.ports["pop3"], timeout=ANSWER_SECONDS)
        try:
            client.stls(_no_checks())
            client.user(user)
            client.pass_(str(self.users[user]) if password is None else password)
        except BaseException:
            client.close()
            raise
        return client

    def send(
        self, user: str, password: str | bytes | None = None, *, through: str = "postfix", how: str = "PLAIN"
    ) -> smtplib.SMTP:
        """Log in by SMTP; raises smtplib.SMTPAuthenticationError with code and words."""
        client = self.submission(through)
        try:
            self.authenticate(client, user, password, how=how)
        except BaseException:
            client.close()
            raise
        return client

    def submission(self, through: str = "postfix") -> smtplib.SMTP:
        """Connect by SMTP, up to the login."""
        port = self.proxy.ports["submission"] if through == "nginx" else self.smtp.ports["submission"]
        client = smtplib.SMTP("127.0.0.1", port, timeout=ANSWER_SECONDS, source_address=(CLIENT, 0))
        try:
            client.starttls(context=_no_checks())
            client.ehlo()
        except BaseException:
            client.close()
            raise
        return client

    def authenticate(
        self, client: smtplib.SMTP, user: str, password: str | bytes | None = None, *, how: str = "PLAIN"
    ) -> None:
        """Log in on a connection that is there."""
        given = _octets(self.users[user] if password is None else password)
        if how == "PLAIN":
            lines = [b"AUTH PLAIN " + base64.b64encode(b"\0" + user.encode() + b"\0" + given)]
        else:
            lines = [b"AUTH LOGIN", base64.b64encode(user.encode()), base64.b64encode(given)]
        code, words = 0, b""
        for line in lines:
            code, words = client.docmd(line.decode())
            if code not in {235, 334}:
                raise smtplib.SMTPAuthenticationError(code, words)
        assert code == 235, (code, words)

    # --- what happened

    def wait_for(self, phase: str, user: str) -> dict[str, Any]:
        """Wait until the account is in a phase; return what is shown of it."""

        def reached() -> dict[str, Any] | None:
            shown = self.service.show(user)
            return shown if shown["phase"] == phase else None

        try:
            found: dict[str, Any] = until(reached, 60, f"{user} in {phase}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.log.read_text()[-4000:]}") from None
        return found

    def logins(self, server: Dovecot, user: str) -> list[tuple[str, str]]:
        """Return protocol and client's address of each login of a user at a host, our own included."""
        line = re.compile(r"(imap|pop3)-login: (?:Info: )?Login: user=<([^>]+)>.*? rip=([^,]+),")
        return [(kind, rip) for kind, who, rip in line.findall(server.log_text()) if who == user]

    def refusals(self, server: Dovecot, user: str) -> list[str]:
        """Return what a host logged of each login of a user that it refused."""
        return [x for x in server.log_text().splitlines() if "auth failed" in x and f"<{user}>" in x]

    def relayed(self, protocol: str, side: str) -> int:
        """Return how many sessions went through us and have ended."""
        wanted = (f"protocol={protocol}", f"side={side}")
        lines = [x for x in self.service.log.read_text().splitlines() if "session ended" in x]
        return sum(all(word in line.split() for word in wanted) for line in lines)


def message(subject: str) -> bytes:
    """Return a small message."""
    return (
        f"From: a@elsewhere.test\r\nSubject: {subject}\r\nMessage-ID: <{time.monotonic_ns()}@elsewhere.test>\r\n"
        "\r\nhello\r\n"
    ).encode()


def _domain(name: str, ports: Mapping[str, int]) -> str:
    lines = [f'[[domain]]\nname = "{name}"\nsource = "imap://127.0.0.1:{ports["imap"]}?tls=none"\n']
    if "pop3" in ports:
        lines.append(f'source_pop3 = "pop3://127.0.0.1:{ports["pop3"]}?tls=none"\n')
    return "".join(lines)


def _octets(password: str | bytes) -> bytes:
    return password.encode() if isinstance(password, str) else password


def _no_checks() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
