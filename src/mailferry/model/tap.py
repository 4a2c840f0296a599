"""A tap stands in the pipe between client and server and sees every octet of one session.

It does no I/O: each call returns what is to be sent to which side. `end` asks the relay to close
both sides after sending; its text goes to the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

UNKNOWN_MANY = 1 << 30
"""Stands for a number of messages that nobody told."""
ANY_MAILBOX = b""
"""Stands for the name of a mailbox that nobody told."""
BELOW = b"\0"
"""Behind a mailbox's name: all mailboxes below it in the hierarchy."""
ALL_THAT_COMES = 1 << 62
"""Stands for more octets than a connection carries."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What a tap lets pass or says itself."""

    to_server: bytes = b""
    to_client: bytes = b""
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Deletions:
    """Messages whose deletion a server acknowledged to one session, from its begin on.

    `unknown` counts acknowledgements that may stand for any number of messages. `mailboxes` has the
    number of each, by the name that the client used; `ANY_MAILBOX` and `BELOW` may be among them.
    """

    count: int = 0
    unknown: int = 0
    mailboxes: Mapping[bytes, int] = field(default_factory=dict, compare=False)

    @property
    def number(self) -> int:
        """One number that only grows while the session lasts."""
        return self.count + self.unknown * UNKNOWN_MANY

    @property
    def by_mailbox(self) -> Mapping[bytes, int]:
        """The numbers by mailbox, each of which only grows."""
        return self.mailboxes or ({ANY_MAILBOX: self.number} if self.number else {})


class Tap(Protocol):
    """What the relay asks of any tap."""

    def from_client(self, data: bytes) -> Flow:
        """Take octets that the client sent."""
        ...

    def from_server(self, data: bytes) -> Flow:
        """Take octets that the server sent."""
        ...

    def stop(self) -> Flow:
        """Ask for the session's end at the next boundary between commands; may end it at once."""
        ...

    @property
    def unseen_to_client(self) -> int:
        """How many of the server's next octets go to the client as they are, whatever they say.

        So many at most need not be shown to the tap; whoever passes some on tells it by `passed_to_client`,
        and has the same session before him as if he had shown them. 0 while each octet may matter.
        """
        ...

    def passed_to_client(self, octets: int) -> None:
        """Learn that so many octets of the server's, `unseen_to_client` at most, went on unseen."""
        ...

    @property
    def unseen_to_server(self) -> int:
        """The same of the client's next octets."""
        ...

    def passed_to_server(self, octets: int) -> None:
        """The same of the client's octets."""
        ...

    @property
    def resting(self) -> bool:
        """Whether the session stands between commands (or in IMAP's IDLE) with nothing in flight."""
        ...

    @property
    def in_idle(self) -> bool:
        """Whether the session stands in IMAP's IDLE (RFC 2177)."""
        ...

    @property
    def deletions(self) -> Deletions:
        """What the server acknowledged as deleted so far; nothing where nobody asks, which is after the flip."""
        ...


class SeesAll:
    """The part of a tap that wants to see each octet."""

    @property
    def unseen_to_client(self) -> int:
        """None goes on unseen."""
        return 0

    def passed_to_client(self, octets: int) -> None:
        """Nothing went on unseen."""

    @property
    def unseen_to_server(self) -> int:
        """None goes on unseen."""
        return 0

    def passed_to_server(self, octets: int) -> None:
        """Nothing went on unseen."""
