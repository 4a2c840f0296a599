"""Mailboxes and messages as a server names them.

A mailbox's *raw wire name* is its key everywhere; the decoded name is only for show, because
servers send names that do not decode. Flags are octets as on the wire, without `\\Recent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

DIGEST_OCTETS = 16
RECENT = b"\\Recent"


def body_digest(octets: bytes | bytearray | memoryview) -> bytes:
    """Return the digest of a whole message: BLAKE3, of which any length may be taken."""
    return blake3(octets).digest(DIGEST_OCTETS)


class BodyDigest:
    """The same digest of a message that comes in pieces."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = blake3()

    def feed(self, octets: bytes | bytearray | memoryview) -> None:
        """Take the next octets of the message."""
        self._hash.update(octets)

    def value(self) -> bytes:
        """Return the 16 octets for what was fed so far."""
        return self._hash.digest(DIGEST_OCTETS)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One LIST answer: raw name, hierarchy delimiter, attributes in lower case such as `\\sent`."""

    name: bytes
    delimiter: bytes | None
    attributes: frozenset[str] = frozenset()

    @property
    def selectable(self) -> bool:
        """Whether the mailbox can hold messages (RFC 3501 7.2.2, RFC 5258 3)."""
        return not self.attributes & {"\\noselect", "\\nonexistent"}


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """What SELECT or EXAMINE told; None for what the server left out (NetEase omits UIDNEXT)."""

    name: bytes
    uidvalidity: int
    exists: int
    uidnext: int | None = None
    highestmodseq: int | None = None
    permanent_flags: frozenset[bytes] | None = None
    read_only: bool = False


class MessageFacts(NamedTuple):
    """What a listing told of one message; `internal_date` is the server's own text, handed on as it is."""

    uid: int
    flags: frozenset[bytes]
    internal_date: bytes
    size: int | None = None
