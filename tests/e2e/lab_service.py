"""One real `mailferry serve` before two lab hosts, for tests that only need somebody to log in to."""

from __future__ import annotations

import imaplib
import poplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailferry.lab.rehearsal_hosts import RehearsalUser
from mailferry.lab.running_lab import LabPlan, RunningLab
from tests.kit.service import Service, free_port

USER = "li@old.test"
DOMAIN = "old.test"
ANSWER_SECONDS = 70.0
"""Longer than a login may take that waits for a source which says nothing."""


@dataclass
class LabService:
    """The service with doors in clear (on loopback) and doors with STARTTLS; the source speaks TLS."""

    folder: Path
    password: str = "an old Pa55word"
    messages: int = 5
    users: tuple[str, ...] = (USER,)
    plain_imap: int = field(default_factory=free_port)
    plain_pop3: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        users = [RehearsalUser(address, self.password, self.messages) for address in self.users]
        self.lab = RunningLab(LabPlan(str(self.folder), users))
        new = self.lab.new.ports
        self.service = Service(
            self.folder / "service",
            target_imap=f"imap://127.0.0.1:{new['imap']}?tls=none",
            target_pop3=f"pop3://127.0.0.1:{new['pop3']}?tls=none",
            master_user=self.lab.master[0],
            master_password=self.lab.master[1],
            passwd_file=self.lab.passwd_file,
            copy={"quiet_seconds": 1, "pass_interval_seconds": 1},
            certificate=(self.lab.tls / "certificate.pem", self.lab.tls / "key.pem"),
            extra=_plain_door("imap", self.plain_imap) + _plain_door("pop3", self.plain_pop3),
        )

    def source(self, protocol: str, host: str = "localhost") -> str:
        """Return the address of the old host with TLS and its authority."""
        port = self.lab.old.ports[f"{protocol}s"]
        return f"{protocol}s://{host}:{port}?ca={self.lab.tls}/authority.pem"

    def apply_domains(self, *domains: Mapping[str, str]) -> None:
        """Add domains as code; without any our own one, with both protocols of the old host."""
        own = {
            "name": DOMAIN,
            "source": self.source("imap"),
            "source_pop3": self.source("pop3"),
            "notices": "none",
        }
        file = self.folder / "domains.toml"
        lines = []
        for domain in domains or (own,):
            lines += ["[[domain]]", *(f'{key} = "{value}"' for key, value in domain.items())]
        file.write_text("\n".join(lines) + "\n")
        self.service.run("domain", "apply", str(file))

    def imap(self, password: str | None = None, user: str = USER) -> imaplib.IMAP4:
        """Log in by IMAP with STARTTLS; raises imaplib.IMAP4.error with the server's words."""
        client = imaplib.IMAP4("127.0.0.1", self.service.imap_port, timeout=ANSWER_SECONDS)
        try:
            client.starttls(self.trust())
            client.login(user, password or self.password)
        except BaseException:
            client.shutdown()
            raise
        return client

    def pop3(self, password: str | None = None, user: str = USER) -> poplib.POP3:
        """Log in by POP3 with STLS; raises poplib.error_proto with the server's words."""
        client = poplib.POP3("127.0.0.1", self.service.pop3_port, timeout=ANSWER_SECONDS)
        try:
            client.stls(self.trust())
            client.user(user)
            client.pass_(password or self.password)
        except BaseException:
            client.close()
            raise
        return client

    def trust(self) -> ssl.SSLContext:
        """Return what trusts our certificate, without asking for its name."""
        context = ssl.create_default_context(cafile=str(self.lab.tls / "authority.pem"))
        context.check_hostname = False
        return context

    def close(self) -> None:
        """End everything."""
        try:
            self.service.stop()
        finally:
            self.lab.stop()


def _plain_door(service: str, port: int) -> str:
    return f'[[listen]]\nservice = "{service}"\nendpoint = "tcp:{port}:interface=127.0.0.1"\ntls = "none"\n'
