"""The stage of the real move: two Dovecots with real mail, and a service between them and its users."""

from __future__ import annotations

import imaplib
import poplib
import ssl
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.mailstore import LabMessage, Mailstore
from tests.e2e.slow_link import SlowLink
from tests.kit import oracle, peers
from tests.kit.peer_dovecot import Dovecot
from tests.kit.service import Service, until
from tests.kit.tls_files import TlsFiles

poplib._MAXLINE = 4 * 1024 * 1024  # generated mail has lines longer than poplib expects

DOMAIN = "old.test"
USER = f"li@{DOMAIN}"
OLD = "旧密码 old-Pa55"
MASTER = ("mailferry", "master-secret")
ROLES = {
    "Sent Messages": r"\Sent",
    "Drafts": r"\Drafts",
    "Deleted Messages": r"\Trash",
    "Junk": r"\Junk",
}

ROLE_NAMES = {"Sent Messages": "Sent", "Deleted Messages": "Trash"}
"""What the copy calls a role's mailbox that the target did not have yet."""

COPY_SECONDS = 300.0
"""What a copy over the narrow link would take."""
MESSAGE_OCTETS = 5500
"""What a generated message has on average."""
CONNECTIONS = 2
"""Of a copy to its target; each has a pace of its own."""


def fill(server: Dovecot, count: int, *, seed: int = 7) -> None:
    """Lay `count` realistic messages into twelve mailboxes of the user by IMAP."""
    store = Mailstore()
    MailGenerator(seed).fill(store, count)
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    client.authenticate("PLAIN", lambda _: credentials())
    for mailbox in store:
        name = '"' + mailbox.name.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '"'
        if mailbox.name != b"INBOX":
            client.create(name)
        if mailbox.name in store.subscriptions:
            client.subscribe(name)
        if mailbox.messages:
            _append(client, name, list(mailbox.messages.values()))
    client.logout()


def _append(client: imaplib.IMAP4, name: str, messages: Sequence[LabMessage]) -> None:
    """Append all messages by one command (RFC 3502, RFC 7888): imaplib knows only one message each."""
    tag = client._new_tag()
    client.send(b"%s APPEND %s" % (tag, name.encode()))
    for message in messages:
        flags = b" ".join(sorted(message.flags))
        when = message.internal_date.strftime("%d-%b-%Y %H:%M:%S %z").encode()
        client.send(b' (%s) "%s" {%d+}\r\n%s' % (flags, when, len(message.octets), message.octets))
    client.send(b"\r\n")
    status, answer = client._command_complete("APPEND", tag)
    assert status == "OK", answer


def credentials(password: str = OLD) -> bytes:
    """Return what SASL PLAIN sends."""
    return b"\0" + USER.encode() + b"\0" + password.encode()


@dataclass
class Stage:
    """Source, target and service of one move.

    The target's IMAP stands behind a narrow link, so that the copy is under way until `widen()`.
    """

    tmp_path: Path
    location: str = "maildir"
    messages: int = 300
    database: str = "sqlite"
    tls: TlsFiles | None = None
    """Encrypts the way to the source (verified against this authority) and the service's doors."""

    def __post_init__(self) -> None:
        kind = {"location": self.location, "special_use": ROLES, "separator": "/"}
        cover, doors, terms = {}, None, "?tls=none"
        if self.tls is not None:
            issued = self.tls.issue("localhost", "127.0.0.1")
            cover = {"certificate": issued.certificate, "key": issued.key}
            doors = (issued.certificate, issued.key)
            terms = f"?ca={self.tls.ca}"
        self.source = peers.dovecot(self.tmp_path, users={USER: OLD}, **kind, **cover)
        self.target = peers.dovecot(self.tmp_path, users={USER: "nobody knows"}, master=MASTER, **kind)
        fill(self.source, self.messages)
        self.delivered: dict[Dovecot, list[bytes]] = {self.source: [], self.target: []}
        pace = self.messages * MESSAGE_OCTETS / COPY_SECONDS / CONNECTIONS
        self._link = SlowLink(self.target.ports["imap"], octets_per_second=pace)
        self.service = Service(
            self.tmp_path / "service",
            target_imap=f"imap://127.0.0.1:{self._link.port}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{self.target.ports['pop3']}?tls=none",
            master_user=MASTER[0],
            master_password=MASTER[1],
            passwd_file=self.target.users_path,
            database=self.database,
            copy={
                "connections_per_account": CONNECTIONS,
                "batch_messages": max(1, self.messages // 400),
                "quiet_seconds": 8,
                "pass_interval_seconds": 1,
            },
            certificate=doors,
        )
        self.service.run(
            "domain", "add", DOMAIN,
            "--source", f"imap://127.0.0.1:{self.source.ports['imap']}{terms}",
            "--source-pop3", f"pop3://127.0.0.1:{self.source.ports['pop3']}{terms}",
            "--notices", "none",
        )  # fmt: skip

    def close(self) -> None:
        """End everything."""
        try:
            self.service.stop()
        finally:
            self._link.close()
            self.source.stop()
            self.target.stop()

    # --- the user

    def imap_door(self) -> imaplib.IMAP4:
        """Connect to the service by IMAP, up to the login."""
        client = imaplib.IMAP4("127.0.0.1", self.service.imap_port)
        if self.tls is not None:
            client.starttls(self._trust())
        return client

    def pop3_door(self) -> poplib.POP3:
        """Connect to the service by POP3, up to the password."""
        client = poplib.POP3("127.0.0.1", self.service.pop3_port)
        client.encoding = "utf-8"
        if self.tls is not None:
            client.stls(self._trust())
        client.user(USER)
        return client

    def imap(self, password: str = OLD) -> imaplib.IMAP4:
        """Log in through the service by IMAP."""
        client = self.imap_door()
        client.authenticate("PLAIN", lambda _: credentials(password))
        return client

    def pop3(self, password: str = OLD) -> poplib.POP3:
        """Log in through the service by POP3."""
        client = self.pop3_door()
        client.pass_(password)
        return client

    def _trust(self) -> ssl.SSLContext:
        assert self.tls is not None
        return ssl.create_default_context(cafile=str(self.tls.ca))

    # --- the move

    def wait_until_copying(self, more_than: int = 0) -> int:
        """Wait until more messages than these are copied, and not all; return how many."""

        def copied() -> int | None:
            shown = self.service.show(USER)
            counts = shown["messages"]
            assert (shown["phase"], shown["state"]) == ("PRECOPY", "in_progress")
            assert counts["copied"] < max(counts["total"], self.messages)
            return counts["copied"] if counts["copied"] > more_than else None

        found: int = until(copied, 90, "the copy goes on")
        return found

    def widen(self) -> None:
        """Let the copy go as fast as it can, from now on."""
        self._link.widen()

    def moved(self) -> bool:
        """Whether the account lives on the target, as the metrics tell: no question costs less."""
        url = f"http://127.0.0.1:{self.service.metrics_port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=30) as page:
                return b'\nmailferry_accounts{state="done"} 1.0\n' in page.read()
        except OSError:
            return False  # whoever shows them has just been killed

    def wait_until_done(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until the account lives on the target, and let something happen `meanwhile`, again and again."""

        def moved() -> bool:
            meanwhile()
            return self.moved()

        try:
            until(moved, 180, "the account is switched")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.log.read_text()[-5000:]}") from None

    # --- mail that arrives meanwhile

    def deliver(self, server: Dovecot, mailbox: str = "INBOX") -> None:
        """Let a message reach one of the hosts."""
        number = len(self.delivered[server]) + 1
        host = "old" if server is self.source else "new"
        message = (
            f"From: a@elsewhere.test\r\nTo: {USER}\r\nSubject: {number} for the {host} host\r\n"
            f"Message-ID: <{number}.{host}@elsewhere.test>\r\n\r\n{number}\r\n"
        ).encode()
        server.save(USER, message, mailbox)
        self.delivered[server].append(message)

    def wait_for_late_mail(self) -> None:
        """Wait until everything that reached the source lies at the target too."""
        late = {oracle.digest_of(message) for message in self.delivered[self.source]}
        until(partial(self._has, self.target, late), 30, "late mail arrives")

    @staticmethod
    def _has(server: Dovecot, digests: set[str]) -> bool:
        return digests <= {message.digest for message in oracle.read(server, USER).messages}

    def assert_same_mail(self) -> None:
        """Compare both hosts by doveadm: equal multisets, but for the mail that reached only the target."""
        source = oracle.read(self.source, USER).renamed(lambda name: ROLE_NAMES.get(name, name))
        target = oracle.read(self.target, USER)
        own = {oracle.digest_of(octets) for octets in self.delivered[self.target]}
        there = [message for message in target.messages if message.digest in own]
        assert len(there) == len(own), "mail that reached the target is missing there"
        for message in there:
            target.messages[message] -= 1
        oracle.assert_same(source, target)
        subscribed = {ROLE_NAMES.get(name, name) for name in oracle.subscriptions(self.source, USER)}
        assert subscribed <= oracle.subscriptions(self.target, USER)
