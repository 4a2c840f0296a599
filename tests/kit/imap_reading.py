"""What an account holds, read over IMAP by Python's own client: the judge for servers that have no tool of their own."""

from __future__ import annotations

import imaplib
import re
from collections import Counter
from datetime import datetime
from typing import NamedTuple

from tests.kit.oracle import SYSTEM_FLAGS

_LIST = re.compile(rb'\(([^)]*)\) (?:"((?:[^"\\]|\\.)*)"|NIL) (?:"((?:[^"\\]|\\.)*)"|(\S+))')
_FACTS = re.compile(rb'FLAGS \(([^)]*)\).*INTERNALDATE "([^"]*)"')


class Shown(NamedTuple):
    """One message as a server shows it; `mailbox` is the raw name, `received` in seconds since 1970."""

    mailbox: bytes
    octets: bytes
    flags: tuple[str, ...]
    keywords: tuple[str, ...]
    received: int


def read_imap(port: int, user: str, password: str) -> Counter[Shown]:
    """Return the multiset of all messages."""
    found: Counter[Shown] = Counter()
    with imaplib.IMAP4("127.0.0.1", port) as session:
        session.login(user, password)
        for name in mailboxes(session):
            quoted = b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
            code, said = session.select(quoted.decode("ascii"), readonly=True)
            assert code == "OK", (name, said)
            if said[0] == b"0":
                continue
            _, parts = session.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
            for facts, octets in _messages(parts):
                found[_shown(name, octets, facts)] += 1
    return found


def mailboxes(session: imaplib.IMAP4) -> list[bytes]:
    """Return the raw names of all mailboxes that can be opened."""
    names = []
    for line in session.list()[1]:
        if isinstance(line, tuple):  # the name came as a literal
            names.append(line[1])
            continue
        match = _LIST.fullmatch(line) if isinstance(line, bytes) else None
        if match is not None and b"\\noselect" not in match[1].lower():
            names.append(re.sub(rb"\\(.)", rb"\1", match[3]) if match[3] is not None else match[4])
    return names


def _messages(parts: list[object]) -> list[tuple[bytes, bytes]]:
    """Return what stands around each body, and the body; servers put the items in any order."""
    found = []
    for place, part in enumerate(parts):
        if isinstance(part, tuple):
            after = parts[place + 1] if place + 1 < len(parts) else b""
            found.append((part[0] + (after if isinstance(after, bytes) else b""), part[1]))
        elif isinstance(part, bytes) and re.search(rb'BODY\[\] ""', part):
            found.append((part, b""))
    return found


def _shown(mailbox: bytes, octets: bytes, facts: bytes) -> Shown:
    match = _FACTS.search(facts)
    assert match is not None, facts
    flags = set(match[1].decode("latin-1").split()) - {r"\Recent"}
    moment = datetime.strptime(match[2].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    return Shown(
        mailbox=mailbox,
        octets=octets,
        flags=tuple(sorted(flag for flag in flags if flag in SYSTEM_FLAGS)),
        keywords=tuple(sorted(flag for flag in flags if flag not in SYSTEM_FLAGS)),
        received=int(moment.timestamp()),
    )
