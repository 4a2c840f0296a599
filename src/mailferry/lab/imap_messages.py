"""IMAP commands on the messages of the selected mailbox: STORE, COPY, MOVE, EXPUNGE, IDLE."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mailferry.lab.imap_append import uid_ranges
from mailferry.lab.imap_reader import BadCommand, Command, text, words
from mailferry.lab.imap_session import ImapSession, No, Verb
from mailferry.lab.imap_view import flag_list, number_set
from mailferry.lab.mailstore import LabMessage

_CHANGES: Mapping[bytes, Callable[[frozenset[bytes], frozenset[bytes]], frozenset[bytes]]] = {
    b"FLAGS": lambda _, new: new,
    b"+FLAGS": lambda old, more: old | more,
    b"-FLAGS": lambda old, less: old - less,
}


async def store(session: ImapSession, command: Command) -> bytes:
    """STORE and UID STORE (RFC 3501, 6.4.6)."""
    if len(command.arguments) < 3:
        raise BadCommand("STORE takes a set, an item and flags")
    view = session.writable()
    item, _, manner = text(command.arguments[1]).upper().partition(b".")
    silent = manner == b"SILENT"
    change = _CHANGES.get(item)
    if change is None or (manner and not silent):
        raise BadCommand("Unknown STORE item")
    flags = frozenset(flag for value in command.arguments[2:] for flag in words(value))
    if session.has("no_keywords"):
        flags = frozenset(flag for flag in flags if flag.startswith(b"\\"))
    for index in view.chosen(text(command.arguments[0]), uid=command.uid):
        message = view.rows[index]
        view.mailbox.reflag(message.uid, change(message.flags, flags))
        view.told(message)
        if not silent:
            uid = b"UID %d " % message.uid if command.uid else b""
            session.send(b"* %d FETCH (%sFLAGS %s)" % (index + 1, uid, flag_list(message.flags)))
    return b"Store completed."


async def copy(session: ImapSession, command: Command) -> bytes:
    """COPY and UID COPY (RFC 3501 6.4.7), with COPYUID (RFC 4315)."""
    return _copy(session, command)[0] + b"Copy completed."


async def move(session: ImapSession, command: Command) -> bytes:
    """MOVE and UID MOVE (RFC 6851)."""
    if session.has("no_move"):
        raise BadCommand("Unknown command")
    view = session.writable()
    code, moved = _copy(session, command)
    if code:
        session.send(b"* OK " + code + b"Moved UIDs.")
    view.mailbox.remove([m.uid for m in moved])
    return b"Move completed."


async def expunge(session: ImapSession, command: Command) -> bytes:
    """EXPUNGE (RFC 3501 6.4.3) and UID EXPUNGE (RFC 4315 2.1)."""
    view = session.writable()
    ranges = None
    if command.uid:
        if session.has("no_uidplus") or not command.arguments:
            raise BadCommand("UID EXPUNGE is not offered")
        ranges = number_set(text(command.arguments[0]), view.uids[-1] if view.rows else 0)
    gone = [
        uid
        for uid, message in view.mailbox.messages.items()
        if b"\\Deleted" in message.flags and (ranges is None or any(a <= uid <= b for a, b in ranges))
    ]
    view.mailbox.remove(gone)
    return b"Expunge completed."


async def idle(session: ImapSession, _: Command) -> bytes:
    """IDLE (RFC 2177): news are told as they come, until DONE."""
    if session.has("no_idle"):
        raise BadCommand("command not support")

    def tell() -> None:
        if session.view is not None:
            session.link.send(session.view.news(expunge=True))

    session.link.send(b"+ idling\r\n")
    watched = session.view.mailbox if session.view is not None else None
    if watched is not None:
        watched.watchers.append(tell)
        tell()
    try:
        line = await session.link.line()
    finally:
        if watched is not None:
            watched.watchers.remove(tell)
    if line.upper() != b"DONE":
        raise BadCommand("Expected DONE.")
    return b"Idle completed."


def _copy(session: ImapSession, command: Command) -> tuple[bytes, list[LabMessage]]:
    """Copy what a set names; return the COPYUID code with a blank behind it, and the messages."""
    if len(command.arguments) != 2:
        raise BadCommand(f"{command.verb} takes a set and a mailbox")
    view = session.selected
    messages = [view.rows[i] for i in view.chosen(text(command.arguments[0]), uid=command.uid)]
    box = session.store.find(text(command.arguments[1]))
    if box is None or not box.selectable:
        raise No("[TRYCREATE] Mailbox does not exist")
    made = [box.add(m.octets, flags=m.flags, internal_date=m.internal_date).uid for m in messages]
    if not made or session.has("no_uidplus"):
        return b"", messages
    from_uids = uid_ranges([m.uid for m in messages])
    return b"[COPYUID %d %s %s] " % (box.uidvalidity, from_uids, uid_ranges(made)), messages


VERBS = {
    "STORE": Verb(store, needs_mailbox=True, tells_expunge=False),
    "COPY": Verb(copy, needs_mailbox=True),
    "MOVE": Verb(move, needs_mailbox=True),
    "EXPUNGE": Verb(expunge, needs_mailbox=True),
    "IDLE": Verb(idle),
}
