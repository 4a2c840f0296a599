"""APPEND at a lab host (RFC 3501 6.3.11), several messages at once where offered (RFC 3502), APPENDUID (RFC 4315)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from mailferry.lab import append_quirks
from mailferry.lab.imap_reader import BadCommand, Command, Literal, Value, text, words
from mailferry.lab.imap_session import ImapSession, No, Verb

_DATE = re.compile(
    rb" ?(\d{1,2})-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-(\d{4}) "
    rb"(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)",
    re.IGNORECASE,
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Upload:
    """One message of an APPEND."""

    octets: bytes
    flags: frozenset[bytes]
    internal_date: datetime | None


async def append(session: ImapSession, command: Command) -> bytes:
    """APPEND; either all of its messages are kept or none."""
    if len(command.arguments) < 2:
        raise BadCommand("APPEND takes a mailbox and a message")
    uploads = list(_uploads(command.arguments[1:]))
    if not uploads or (len(uploads) > 1 and session.has("no_multiappend")):
        raise BadCommand("APPEND takes one message")
    box = session.store.find(text(command.arguments[0]))
    if box is None or not box.selectable:
        raise No("[TRYCREATE] Mailbox does not exist")
    for upload in uploads:
        append_quirks.check(session, upload.octets)
    kept = []
    for upload in uploads:
        flags = upload.flags
        if session.has("no_keywords"):
            flags = frozenset(flag for flag in flags if flag.startswith(b"\\"))
        kept.append(box.add(upload.octets, flags=flags, internal_date=upload.internal_date).uid)
    append_quirks.kept(session)
    if session.has("no_uidplus"):
        return b"Append completed."
    return b"[APPENDUID %d %s] Append completed." % (box.uidvalidity, uid_ranges(kept))


def uid_ranges(uids: list[int]) -> bytes:
    """Return ascending UIDs as a set with ranges."""
    parts: list[list[int]] = []
    for uid in uids:
        if parts and uid == parts[-1][1] + 1:
            parts[-1][1] = uid
        else:
            parts.append([uid, uid])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in parts)


def parse_date(octets: bytes) -> datetime:
    """Return an IMAP date-time (RFC 3501, 9) with its zone. Raises BadCommand."""
    match = _DATE.fullmatch(octets)
    if match is None:
        raise BadCommand("Invalid internal date")
    minutes = int(match[8]) * 60 + int(match[9])
    if minutes >= 24 * 60:
        raise BadCommand("Invalid internal date")
    zone = timezone(timedelta(minutes=-minutes if match[7] == b"-" else minutes))
    month = _MONTHS.index(match[2].decode().lower()) + 1
    try:
        return datetime(
            int(match[3]),
            month,
            int(match[1]),
            int(match[4]),
            int(match[5]),
            int(match[6]),
            tzinfo=zone if minutes else UTC,
        )
    except ValueError as error:
        raise BadCommand("Invalid internal date") from error


def _uploads(arguments: list[Value]) -> Iterator[Upload]:
    flags: frozenset[bytes] = frozenset()
    when: datetime | None = None
    waiting = False
    for value in arguments:
        waiting = True
        if isinstance(value, list):
            flags = frozenset(words(value))
        elif isinstance(value, Literal):
            yield Upload(bytes(value), flags, when)
            flags, when, waiting = frozenset(), None, False
        else:
            when = parse_date(value)
    if waiting:
        raise BadCommand("APPEND without a message")


VERBS = {"APPEND": Verb(append)}
