"""Why a lab host does not take a message over APPEND, in the words of real servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailferry.lab.connection import HungUp
from mailferry.lab.imap_session import ImapSession, No
from mailferry.lab.imap_structure import split_header
from mailferry.lab.premises import Premises


@dataclass(frozen=True, slots=True)
class NotTaken:
    """When a message is refused, and how; `%d` in the words is its size."""

    when: Callable[[Premises, bytes], bool]
    words: str
    status: bytes = b"NO"


def _too_big(premises: Premises, octets: bytes) -> bool:
    return len(octets) > premises.append_limit


def _odd_header(_: Premises, octets: bytes) -> bool:
    """A line before the body that is neither a field nor goes one on."""
    lines = split_header(octets)[0].split(b"\r\n")
    return any(line and b":" not in line and line[:1] not in b" \t" for line in lines)


NOT_TAKEN: Mapping[str, NotTaken] = {
    "append_limit": NotTaken(_too_big, "Mail length %d exceeded!"),
    "append_max_size": NotTaken(_too_big, "Maximum size of appendable message has been exceeded"),
    "append_overquota": NotTaken(lambda _, __: True, "[OVERQUOTA] Quota exceeded (mailbox for user is full)"),
    "append_invalid_header": NotTaken(_odd_header, "Message contains invalid header"),
    "append_nul_refused": NotTaken(lambda _, octets: b"\0" in octets, "Message contains NUL characters"),
    "append_argument_11": NotTaken(_too_big, "Command Argument Error. 11", b"BAD"),
}


def check(session: ImapSession, octets: bytes) -> None:
    """Raise No where this host does not take a message of these octets."""
    for quirk, row in NOT_TAKEN.items():
        if session.has(quirk) and row.when(session.premises, octets):
            raise No(row.words % len(octets) if "%d" in row.words else row.words, row.status)


def kept(session: ImapSession) -> None:
    """The messages are kept; raise HungUp where the answer never comes, once."""
    if session.has("append_drop") and not session.premises.spent["append_drop"]:
        session.premises.spent["append_drop"] = 1
        session.link.hang_up()
        raise HungUp
