"""What the story needs of the two hosts, whether the lab plays them or real servers do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mailferry.lab.mailstore import Trait


class HostsBroke(Exception):
    """A host of the rehearsal is gone or did not answer as it should; the message says what it last said."""


@dataclass(frozen=True, slots=True)
class RehearsalUser:
    """A user of the rehearsal with the password the old host knows."""

    address: str
    password: str
    messages: int


class RehearsalHost(Protocol):
    """One of the two hosts, looked at from outside."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Loopback ports by service: imap, imaps, pop3, pop3s."""
        ...

    def fingerprint(self, address: str) -> Counter[Trait]:
        """Return the multiset of the account's messages."""
        ...

    def uidls(self, address: str) -> Sequence[str]:
        """Return the POP3 UIDLs in order."""
        ...

    def deliver(self, address: str, octets: bytes) -> str:
        """Let a message arrive in INBOX; return its digest."""
        ...

    def served(self, mark: str) -> bool:
        """Say whether a session in which this mark was sent reached this host."""
        ...

    def spoil(self, address: str, how: str) -> str:
        """Harm one message of INBOX: lose, twice or flags; return its digest."""
        ...


class RehearsalHosts(Protocol):
    """The old and the new host, running."""

    @property
    def old(self) -> RehearsalHost:
        """The host that has the mail."""
        ...

    @property
    def new(self) -> RehearsalHost:
        """The host that the mail moves to."""
        ...

    @property
    def tls(self) -> Path:
        """The folder of the certificates: authority.pem, certificate.pem, key.pem."""
        ...

    @property
    def passwd_file(self) -> Path:
        """Where the new host looks passwords up."""
        ...

    @property
    def master(self) -> tuple[str, str]:
        """Name and password of the new host's master user."""
        ...

    def stop(self) -> None:
        """End both hosts."""
        ...
