"""Targets of different makes and with different extensions, and what each does to odd messages by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.copying.rig import OLD, PASSWORD
from tests.kit import peers

_BASE = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE NAMESPACE CHILDREN UNSELECT SPECIAL-USE"


def _dovecot_keeps(octets: bytes) -> bytes:
    """Every line's end becomes one CRLF, NUL is shown as 0x80."""
    return re.sub(rb"\r*\n", b"\r\n", octets).replace(b"\0", b"\x80")


def _cyrus_keeps(octets: bytes) -> bytes:
    """8-bit octets of the header become X."""
    header, blank, body = octets.partition(b"\r\n\r\n")
    return bytes(octet if octet < 0x80 else ord("X") for octet in header) + blank + body


def _courier_keeps(octets: bytes) -> bytes:
    """Carriage returns go, line feeds become CRLF, the last line gets an end."""
    lines = octets.replace(b"\r", b"")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


@dataclass(frozen=True)
class Target:
    """A kind of target. `keeps` is what it shows of octets that it took; `refuses` are kinds of oddities."""

    name: str
    peer: str
    keeps: Callable[[bytes], bytes]
    refuses: frozenset[str] = frozenset()
    dates_below: int = 1 << 40
    """From this second on it puts its own time in place of the date of arrival."""
    options: Mapping[str, Any] = field(default_factory=dict)
    prefix: bytes = b""
    delimiter: bytes = b"."

    def start(self, tmp_path: Path) -> Any:
        """Start one; its INBOX has a UIDVALIDITY that no other host of a test has."""
        return peers.start(self.peer, tmp_path, users={OLD: PASSWORD}, **self.options)


def _dovecot(name: str, more: str | None = None, location: str = "sdbox") -> Target:
    settings = "" if more is None else f"imap_capability = {_BASE} {more}".rstrip()
    delimiter = b"." if location == "maildir" else b"/"
    options = {"settings": settings, "location": location}
    return Target(
        name,
        "dovecot",
        _dovecot_keeps,
        frozenset({"empty"}),
        dates_below=1 << 31,
        options=options,
        delimiter=delimiter,
    )


_CYRUS = frozenset({"NUL", "line feeds", "empty", "header"})
TARGETS = (
    _dovecot("dovecot"),
    _dovecot("dovecot maildir", location="maildir"),
    _dovecot("dovecot without UIDPLUS", "MULTIAPPEND LITERAL+ MOVE"),
    _dovecot("dovecot without MULTIAPPEND", "UIDPLUS LITERAL+ MOVE"),
    _dovecot("dovecot with LITERAL-", "UIDPLUS MULTIAPPEND LITERAL-"),
    _dovecot("dovecot without literal extensions", "UIDPLUS MULTIAPPEND"),
    _dovecot("dovecot with LITERAL- alone", "LITERAL-"),
    _dovecot("bare dovecot", ""),
    Target("cyrus", "cyrus", _cyrus_keeps, _CYRUS, delimiter=b"/"),
    Target(
        "cyrus below INBOX", "cyrus", _cyrus_keeps, _CYRUS, options={"inbox_prefix": True}, prefix=b"INBOX."
    ),
    Target("courier", "courier", _courier_keeps, prefix=b"INBOX."),
    Target(
        "courier without UIDPLUS",
        "courier",
        _courier_keeps,
        options={"capability": "IMAP4rev1 CHILDREN NAMESPACE IDLE"},
        prefix=b"INBOX.",
    ),
)
