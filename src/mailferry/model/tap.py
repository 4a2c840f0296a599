"""A tap stands in the pipe between client and server and sees every octet of one session.

It does no I/O: each call returns what is to be sent to which side. `end` asks the relay to close
both sides after sending; its text goes to the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Flow:
    """What a tap lets pass or says itself."""

    to_server: bytes = b""
    to_client: bytes = b""
    end: str | None = None


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
    def resting(self) -> bool:
        """Whether the session stands between commands (or in IMAP's IDLE) with nothing in flight."""
        ...

    @property
    def in_idle(self) -> bool:
        """Whether the session stands in IMAP's IDLE (RFC 2177)."""
        ...
