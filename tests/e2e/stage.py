"""The stage of the real move: two Dovecots with real mail, and a service between them and its users."""

from __future__ import annotations

import imaplib
import poplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.lab.mail_generator import MailGenerator
from mailferry.lab.mailstore import Mailstore
from tests.kit import oracle, peers
from tests.kit.peer_dovecot import Dovecot
from tests.kit.service import Service, until
from tests.kit.tls_files import TlsFiles

poplib._MAXLINE = 4 * 1024 * 1024  # generated mail has lines longer than poplib expects

USER = "li@old.test"
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


def fill(server: Dovecot, user: str, password: str, count: int, *, seed: int = 7) -> int:
    """Lay `count` realistic messages into twelve mailboxes by plain IMAP; return how many INBOX has."""
    store = Mailstore()
    MailGenerator(seed).fill(store, count)
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
    inbox = 0
    for mailbox in store:
        name = '"' + mailbox.name.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '"'
        if mailbox.name != b"INBOX":
            client.create(name)
        if mailbox.name in store.subscriptions:
            client.subscribe(name)
        for message in mailbox.messages.values():
            flags = "(" + b" ".join(sorted(message.flags)).decode() + ")"
            when = message.internal_date.strftime('"%d-%b-%Y %H:%M:%S %z"')
            status, answer = client.append(name, flags, when, message.octets)
            assert status == "OK", answer
            inbox += mailbox.name == b"INBOX"
    client.logout()
    return inbox


@dataclass
class Stage:
    """Source, target and service of one move."""

    tmp_path: Path
    location: str = "maildir"
    messages: int = 300
    copy: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
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
        self.inbox = fill(self.source, USER, OLD, self.messages)
        self.service = Service(
            self.tmp_path / "service",
            target_imap=f"imap://127.0.0.1:{self.target.ports['imap']}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{self.target.ports['pop3']}?tls=none",
            master_user=MASTER[0],
            master_password=MASTER[1],
            passwd_file=self.target.users_path,
            database=self.database,
            copy={"quiet_seconds": 8, "pass_interval_seconds": 1, **self.copy},
            environment=self.environment,
            certificate=doors,
        )
        self.service.run("db", "upgrade")
        self.service.run(
            "domain", "add", "old.test",
            "--source", f"imap://127.0.0.1:{self.source.ports['imap']}{terms}",
            "--source-pop3", f"pop3://127.0.0.1:{self.source.ports['pop3']}{terms}",
        )  # fmt: skip

    def close(self) -> None:
        """End everything."""
        try:
            self.service.stop()
        finally:
            self.source.stop()
            self.target.stop()

    def imap(self, password: str = OLD) -> imaplib.IMAP4:
        """Log in through the service by IMAP."""
        client = imaplib.IMAP4("127.0.0.1", self.service.imap_port)
        if self.tls is not None:
            client.starttls(self._trust())
        client.authenticate("PLAIN", lambda _: b"\0" + USER.encode() + b"\0" + password.encode())
        return client

    def pop3(self, password: str = OLD) -> poplib.POP3:
        """Log in through the service by POP3."""
        client = poplib.POP3("127.0.0.1", self.service.pop3_port)
        client.encoding = "utf-8"
        if self.tls is not None:
            client.stls(self._trust())
        client.user(USER)
        client.pass_(password)
        return client

    def _trust(self) -> ssl.SSLContext:
        assert self.tls is not None
        return ssl.create_default_context(cafile=str(self.tls.ca))

    def uidls(self) -> list[bytes]:
        """Return the UIDLs that a POP3 client sees, in order."""
        client = self.pop3()
        listed = [line.split()[1] for line in client.uidl()[1]]
        client.quit()
        return listed

    def wait_until_done(self, seconds: float = 120.0) -> dict[str, object]:
        """Wait until the account lives on the target; return `account show --json`."""

        def done() -> dict[str, object] | None:
            shown = self.service.show(USER)
            return shown if shown["phase"] == "SWITCHED" else None

        try:
            found: dict[str, object] = until(done, seconds, "the account is switched")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.service.log.read_text()[-5000:]}") from None
        return found

    @staticmethod
    def has(server: Dovecot, octets: bytes) -> bool:
        """Whether a message lies at the user's INBOX of one side, read by doveadm."""
        wanted = oracle.digest_of(octets)
        return any(message.digest == wanted for message in oracle.read(server, USER).messages)

    def assert_same_mail(self, *extra: bytes) -> None:
        """Compare both hosts by doveadm: equal multisets, but for `extra` that reached only the target."""
        source = oracle.read(self.source, USER).renamed(lambda name: ROLE_NAMES.get(name, name))
        target = oracle.read(self.target, USER)
        wanted = {oracle.digest_of(octets) for octets in extra}
        late = [m for m in target.messages if m.digest in wanted]
        assert len(late) == len(extra), "mail that reached the target is missing there"
        for message in late:
            target.messages[message] -= 1
        oracle.assert_same(source, target)
        subscribed = {ROLE_NAMES.get(name, name) for name in oracle.subscriptions(self.source, USER)}
        assert subscribed <= oracle.subscriptions(self.target, USER)
