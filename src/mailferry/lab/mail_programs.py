"""Mail programs of a rehearsal's users, on Python's own poplib and imaplib: blocking, with TLS, checking certificates.

Each leaves a mark in the session, so that the host that really served it can be told afterwards:
a line count that nobody else asks for (POP3 TOP), a client name (IMAP ID).
"""

from __future__ import annotations

import contextlib
import hashlib
import imaplib
import poplib
import re
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailferry.lab.imap_append import parse_date
from mailferry.lab.mailstore import ROLES, Trait
from mailferry.lab.names import decode_name

TIMEOUT_SECONDS = 40.0
"""Longer than mailferry lets a login wait for a cutover."""
_LONGEST_POP3_LINE = 1 << 20

_LIST = re.compile(rb'\((?P<marks>[^)]*)\) (?:"(?P<delimiter>\\?.)"|NIL) (?P<name>.*)', re.DOTALL)
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_DATE = re.compile(rb'INTERNALDATE "([^"]*)"')


class LoginRefused(Exception):
    """The login was answered no; the text is the server's."""


class VisitBroke(Exception):
    """Something went wrong behind the login; the text is the server's."""


@dataclass(slots=True)
class Pop3Program:
    """A mail program that leaves mail on the server and remembers by UIDL what it has."""

    address: str
    password: str
    kept: dict[str, str] = field(default_factory=dict)
    """UIDL to sha256 of what was downloaded."""
    listed: list[str] = field(default_factory=list)
    """The UIDLs of the last visit in the server's order."""

    def visit(self, port: int, context: ssl.SSLContext, mark: str) -> list[str]:
        """Log in, download what is new, leave all of it; return the UIDLs that were new.

        Raises LoginRefused and VisitBroke.
        """
        client = _Pop3("localhost", port, timeout=TIMEOUT_SECONDS)
        try:
            client.stls(context)
            try:
                client.user(self.address)
                client.pass_(self.password)
            except poplib.error_proto as error:
                raise LoginRefused(str(error)) from error
            rows = [line.decode().split(" ", 1) for line in client.uidl()[1]]
            self.listed = [uidl for _, uidl in rows]
            fresh = [(number, uidl) for number, uidl in rows if uidl not in self.kept]
            for number, uidl in fresh:
                lines = client.retr(int(number))[1]
                self.kept[uidl] = _digest_of_lines(lines)
            if rows:
                client.top(int(rows[0][0]), int(mark))
            client.quit()
            return [uidl for _, uidl in fresh]
        except poplib.error_proto as error:
            raise VisitBroke(f"POP3: {error}") from error
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class ImapVisit:
    """What an IMAP program saw."""

    mail: Counter[Trait]
    subscribed: frozenset[str]
    uidvalidity: Mapping[str, int]


def visit_imap(port: int, context: ssl.SSLContext, address: str, password: str, mark: str) -> ImapVisit:
    """Log in and read everything without changing anything. Raises LoginRefused and VisitBroke."""
    client = imaplib.IMAP4("localhost", port, timeout=TIMEOUT_SECONDS)
    try:
        client.starttls(context)
        try:
            client.login(address, password)
        except imaplib.IMAP4.error as error:
            raise LoginRefused(str(error)) from error
        client.xatom("ID", f'("name" "{mark}" "version" "1")')
        mail: Counter[Trait] = Counter()
        validity = {}
        names = dict(_mailboxes(client, _listing_command(client)))
        for raw, shown in names.items():
            client.select(_quoted(raw), readonly=True)
            found = client.response("UIDVALIDITY")[1]
            validity[shown] = int(found[0] or 0)
            mail.update(_messages(client, shown))
        subscribed = frozenset(names.get(raw, shown) for raw, shown in _mailboxes(client, "LSUB"))
        client.logout()
        return ImapVisit(mail, subscribed, validity)
    except imaplib.IMAP4.error as error:
        raise VisitBroke(f"IMAP: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # closed already by LOGOUT
            client.shutdown()


class _Pop3(poplib.POP3):
    """poplib for mail with long lines; it refuses those over 2 KB otherwise."""

    def _getline(self) -> tuple[bytes, int]:
        line = self.file.readline(_LONGEST_POP3_LINE)
        if not line:
            raise poplib.error_proto("-ERR EOF")
        return line.rstrip(b"\r\n"), len(line)


def _digest_of_lines(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(line + b"\r\n" for line in lines)).hexdigest()


def _listing_command(client: imaplib.IMAP4) -> str:
    """Return XLIST where roles are shown there only (Tencent, Aliyun), as mail programs do."""
    offered = b" ".join(client.capability()[1]).upper().split()
    return "XLIST" if b"XLIST" in offered and b"SPECIAL-USE" not in offered else "LIST"


def _mailboxes(client: imaplib.IMAP4, command: str) -> list[tuple[bytes, str]]:
    client.xatom(command, '""', '"*"')
    lines: Sequence[Any] = client.response(command)[1]
    rows = []
    for line in lines:
        name = None
        if isinstance(line, tuple):
            line, name = line  # noqa: PLW2901 - a name that came as a literal
        match = _LIST.match(line or b"")
        if (
            match is None
            or b"\\noselect" in match["marks"].lower()
            or b"\\nonexistent" in match["marks"].lower()
        ):
            continue
        raw = name if name is not None else _unquoted(match["name"])
        rows.append((raw, _shown(raw, match["delimiter"] or b"", match["marks"].split())))
    return rows


def _shown(raw: bytes, delimiter: bytes, marks: list[bytes]) -> str:
    """Return the name two hosts are compared by, as mailstore.shown_name does."""
    role = sorted(set(marks) & ROLES)
    if role:
        return role[0].decode()
    parts = raw.split(delimiter[-1:]) if delimiter else [raw]
    return "/".join(decode_name(part) for part in parts)


def _messages(client: imaplib.IMAP4, shown: str) -> list[Trait]:
    status, rows = client.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
    assert status == "OK", rows
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, tuple):
            continue
        after = rows[index + 1] if index + 1 < len(rows) and isinstance(rows[index + 1], bytes) else b""
        words = row[0] + after
        flags, date = _FLAGS.search(words), _DATE.search(words)
        assert flags is not None
        assert date is not None
        marks = sorted(mark.decode("latin-1") for mark in flags[1].split() if mark != b"\\Recent")
        found.append(
            Trait(
                mailbox=shown,
                sha256=hashlib.sha256(row[1]).hexdigest(),
                flags=tuple(mark for mark in marks if mark.startswith("\\")),
                keywords=tuple(mark for mark in marks if not mark.startswith("\\")),
                internal_date=int(_moment(date[1]).timestamp()),
            )
        )
    return found


def _moment(octets: bytes) -> datetime:
    return parse_date(octets).astimezone(UTC)


def _quoted(raw: bytes) -> str:
    return '"' + raw.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(name: bytes) -> bytes:
    if not name.startswith(b'"'):
        return name
    return re.sub(rb"\\(.)", rb"\1", name[1:-1])
