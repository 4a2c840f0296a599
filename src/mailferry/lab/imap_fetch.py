"""FETCH at a lab host (RFC 3501, 6.4.5): one answer a message, waiting whenever the client reads slowly."""

from __future__ import annotations

import re

from mailferry.lab import fetch_quirks
from mailferry.lab.imap_reader import BadCommand, Command, text, words
from mailferry.lab.imap_session import ImapSession, No, Verb
from mailferry.lab.imap_structure import envelope, parse_part, section, structure
from mailferry.lab.imap_view import flag_list
from mailferry.lab.mailstore import LabMessage

_MACROS = {
    b"ALL": [b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"],
    b"FAST": [b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"],
    b"FULL": [b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"],
}
_BODY = re.compile(rb"BODY(\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?", re.IGNORECASE)
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_PLAIN = frozenset(
    {b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODYSTRUCTURE", b"BODY"}
)
_OLD = {b"RFC822": b"BODY[]", b"RFC822.HEADER": b"BODY.PEEK[HEADER]", b"RFC822.TEXT": b"BODY[TEXT]"}


def date_text(message: LabMessage) -> bytes:
    """Return INTERNALDATE as IMAP writes it, month names free of any locale."""
    when = message.internal_date
    month = _MONTHS[when.month - 1]
    zone = when.strftime("%z").encode() or b"+0000"
    return b'"%2d-%s-%04d %s %s"' % (when.day, month, when.year, when.strftime("%H:%M:%S").encode(), zone[:5])


async def fetch(session: ImapSession, command: Command) -> bytes:
    """FETCH and UID FETCH."""
    if len(command.arguments) < 2:
        raise BadCommand("FETCH takes a set and items")
    items = _items(command)
    view = session.selected
    ascending = session.has("qq_desc_range") and command.uid
    chosen = view.chosen(text(command.arguments[0]), uid=command.uid, ascending_only=ascending)
    reads = any(_BODY.fullmatch(i) and b".PEEK" not in i.upper()[:9] for i in items) or b"RFC822" in items
    reads = reads or b"RFC822.TEXT" in items
    bodies = any(_whole(item) for item in items)
    fetch_quirks.throttled(session)
    session.partly, session.peeking = False, not reads
    rows = [(fetch_quirks.numbered(session, index + 1), view.rows[index]) for index in chosen]
    for number, message in rows:
        if bodies and not fetch_quirks.given_out(session, message):
            continue
        extra: list[bytes] = []
        if reads and not view.read_only and b"\\Seen" not in message.flags:
            view.mailbox.reflag(message.uid, message.flags | {b"\\Seen"})
            view.told(message)
            extra = [] if b"FLAGS" in items else [b"FLAGS"]
        values = [_value(session, message, item) for item in [*items, *extra]]
        if session.has("fetch_order"):
            values.reverse()
            session.send(b"* %d FETCH (FLAGS %s)" % (number, flag_list(message.flags)))
        if session.has("fetch_number_wrong"):
            session.send(b"* %d EXISTS" % len(view.rows))
        session.link.send(b"* %d FETCH (%s)\r\n" % (number, b" ".join(values)))
        await session.link.room()
    if session.partly:
        raise No("Some messages could not be FETCHed (Failure)")
    return (b"[THROTTLED] " if session.has("gmail_throttled") else b"") + b"Fetch completed."


def _whole(item: bytes) -> bool:
    """Whether an item asks for a message as a whole."""
    found = _BODY.fullmatch(_OLD.get(item, item))
    return found is not None and not found[2]


def _items(command: Command) -> list[bytes]:
    asked = command.arguments[1]
    if len(command.arguments) > 2:
        raise BadCommand("Unexpected FETCH arguments")
    if not isinstance(asked, list) and asked.upper() in _MACROS:
        items = list(_MACROS[asked.upper()])
    else:
        items = [i if _BODY.fullmatch(i) else i.upper() for i in words(asked)]
    for item in items:
        if item not in _PLAIN and item not in _OLD and _BODY.fullmatch(item) is None:
            raise BadCommand("Unknown FETCH item")
    if command.uid and b"UID" not in items:
        items.insert(0, b"UID")
    return items


def _value(session: ImapSession, message: LabMessage, item: bytes) -> bytes:
    match item:
        case b"UID":
            return b"UID %d" % message.uid
        case b"FLAGS":
            return b"FLAGS " + flag_list(message.flags)
        case b"INTERNALDATE":
            return b"INTERNALDATE " + date_text(message)
        case b"RFC822.SIZE":
            return b"RFC822.SIZE %d" % fetch_quirks.size(session, message)
        case b"ENVELOPE":
            return b"ENVELOPE " + envelope(message.octets)
        case b"BODY" | b"BODYSTRUCTURE":
            return item + b" " + structure(parse_part(message.octets), extended=item == b"BODYSTRUCTURE")
    found = _BODY.fullmatch(_OLD.get(item, item))
    assert found is not None
    octets = _octets(session, message, found[2])
    if octets is None:
        return b"BODY[%s] NIL" % found[2]
    label = item if item in _OLD else b"BODY[%s]" % found[2]
    if found[3] is not None:
        first, count = int(found[3]), int(found[4])
        octets, label = octets[first : first + count], label + b"<%d>" % first
    return b"%s %s" % (label, fetch_quirks.literal(session, message, octets, whole=not found[2]))


def _octets(session: ImapSession, message: LabMessage, asked: bytes) -> bytes | None:
    whole = fetch_quirks.body(session, message)
    if not asked:
        return whole
    found = section(whole, asked)
    return None if found is None else fetch_quirks.part(session, found)


VERBS = {"FETCH": Verb(fetch, needs_mailbox=True, tells_expunge=False)}
