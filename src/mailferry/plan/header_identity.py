"""What of a message two protocols must show alike: its header, in one form, as a digest.

POP3's TOP and IMAP's BODY[HEADER] differ in line ends, in the blank line behind the header and in
lines that some servers add on the way out (`Status:`, `X-UIDL:`); none of that counts.
"""

from __future__ import annotations

import hashlib
import re

from mailferry.model.mail import DIGEST_OCTETS

MAX_HEADER_OCTETS = 256 * 1024
"""What is read beyond this does not count: a digest needs no more, memory would."""

_ADDED = frozenset({b"status", b"x-status", b"x-uidl", b"x-keywords", b"x-imap", b"x-imapbase"})
_MESSAGE_ID = re.compile(rb"(?im)^message-id:[ \t]*(?:\r?\n[ \t]+)?(\S+)[ \t]*\r?$")


_PARTS = re.compile(rb"(?im)^content-type:[ \t]*(?:\r?\n[ \t]+)?multipart/")


def promises_parts(octets: bytes) -> bool:
    """Whether a message's header says that its body has several parts; then the body is not empty."""
    end = _header_end(bytearray(octets[:MAX_HEADER_OCTETS]), 0)
    return _PARTS.search(octets, 0, len(octets) if end is None else end[0]) is not None


class HeaderIdentity:
    """The digest of one message's header, fed in pieces; what follows the blank line does not count."""

    __slots__ = ("_done", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Take the next octets of the message or of its header; return those that lie behind the header."""
        if self._done:
            return data
        start = max(0, len(self._octets) - 3)
        self._octets += data
        end, body = _header_end(self._octets, start) or (MAX_HEADER_OCTETS, MAX_HEADER_OCTETS)
        if body > len(self._octets):
            return b""
        rest = bytes(self._octets[body:])
        del self._octets[end:]
        self._done = True
        return rest

    def value(self) -> bytes:
        """Return the 16 octets for the header as far as it came."""
        digest = hashlib.sha256()
        keep = True
        for line in bytes(self._octets).replace(b"\r\n", b"\n").split(b"\n"):
            if not line.startswith((b" ", b"\t")):
                keep = line.partition(b":")[0].strip().lower() not in _ADDED
            if keep and line.rstrip():
                digest.update(line.rstrip() + b"\n")
        return digest.digest()[:DIGEST_OCTETS]

    def message_id(self) -> bytes | None:
        """Return the Message-ID as it stands there, or None."""
        match = _MESSAGE_ID.search(self._octets)
        return match[1] if match else None


def _header_end(octets: bytearray, start: int) -> tuple[int, int] | None:
    """Return where the header ends and where the body begins, None while no blank line came."""
    for blank in (b"\r\n", b"\n"):
        if octets.startswith(blank):
            return 0, len(blank)
    ends = [
        (at + 1, at + len(mark)) for mark in (b"\n\r\n", b"\n\n") if (at := octets.find(mark, start)) >= 0
    ]
    return min(ends, default=None)
