"""What is odd about mailboxes that a lab host shows: names, lists, UIDVALIDITY, and which messages are in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailferry.lab.imap_reader import quoted
from mailferry.lab.imap_session import ImapSession
from mailferry.lab.mailstore import INBOX, LabMailbox, LabMessage

VISIBLE_DAYS = 30
STALE_SELECTS = 2
GHOST = b"&dcVr0mWHTvZZOQ-"
"""NetEase's folder of viruses: listed, and nobody can open it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of LIST; `shown` is the name as it goes over the wire, `delimiter` None is NIL."""

    name: bytes
    marks: tuple[bytes, ...]
    delimiter: bytes | None
    shown: bytes

    def line(self, command: bytes) -> bytes:
        """Return the untagged line."""
        delimiter = b"NIL" if self.delimiter is None else quoted(self.delimiter)
        return b"* %s (%s) %s %s" % (command, b" ".join(self.marks), delimiter, self.shown)


def _each(change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [change(row) for row in rows]


def _literal(row: Row) -> Row:
    return replace(row, shown=b"{%d}\r\n%s" % (len(row.name), row.name))


def _raw(row: Row) -> Row:
    return replace(row, shown=b'"%s"' % row.name.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))


def _bare_tab(row: Row) -> Row:
    return replace(row, shown=row.name) if b"\t" in row.name else row


def _more(rows: list[Row], name: bytes) -> list[Row]:
    return [*rows, replace(rows[0], name=name, shown=quoted(name))] if rows else rows


LISTS: Mapping[str, Callable[[list[Row]], list[Row]]] = {
    "list_doubled": lambda rows: [row for row in rows for _ in (1, 2)],
    "list_inbox_twice": lambda rows: _more(rows, b"Inbox"),
    "netease_ghost": lambda rows: _more(rows, GHOST),
    "list_literal": _each(_literal),
    "list_8bit_quoted": _each(_raw),
    "list_bare_tab": _each(_bare_tab),
    "list_no_separator": _each(lambda row: replace(row, delimiter=None)),
}
"""What is done to the lines of LIST."""


def listed(session: ImapSession, rows: list[Row]) -> list[Row]:
    """Return the lines as this host sends them."""
    for quirk, change in LISTS.items():
        if session.has(quirk):
            rows = change(rows)
    return rows


UIDVALIDITIES: Mapping[str, Callable[[ImapSession, LabMailbox], int]] = {
    "netease_status": lambda _, box: 1 if box.name == INBOX else box.uidvalidity,
    "aliyun_uidvalidity": lambda *_: 2,
    "uidvalidity_zero": lambda *_: 0,
    "uidvalidity_changes": lambda session, box: box.uidvalidity + session.link.record.number,
}


def uidvalidity(session: ImapSession, box: LabMailbox, *, examined: bool = False) -> int:
    """Return the mailbox's UIDVALIDITY as this session is told it."""
    if examined and session.has("courier_examine"):
        session.premises.spent["courier_examine"] += 1
        return box.uidvalidity + session.premises.spent["courier_examine"]
    for quirk, instead in UIDVALIDITIES.items():
        if session.has(quirk):
            return instead(session, box)
    return box.uidvalidity


def uidnext(session: ImapSession, box: LabMailbox) -> int | None:
    """Return UIDNEXT as this host tells it, None where it does not."""
    if session.has("netease_status"):
        return None
    return 0 if session.has("uidnext_zero") else box.uidnext


def young(message: LabMessage) -> bool:
    """Say whether a message is not older than the usual window."""
    return message.internal_date > datetime.now(UTC) - timedelta(days=VISIBLE_DAYS)


def selected(session: ImapSession) -> None:
    """Note a SELECT: a view that somebody widened is stale for a few more of them."""
    premises = session.premises
    if premises.has("window_30d"):
        premises.spent["window_stale"] = STALE_SELECTS if premises.has("window_stale") else 0
    elif premises.spent["window_stale"] > 0:
        premises.spent["window_stale"] -= 1


def visible(session: ImapSession, message: LabMessage) -> bool:
    """Say whether this host shows a message over IMAP at all."""
    premises = session.premises
    windowed = premises.has("window_30d") or premises.has("imap_window_30d") or premises.spent["window_stale"]
    return young(message) or not windowed


def cap(session: ImapSession) -> int | None:
    """Return how many messages of a mailbox are shown, the newest; None shows all."""
    return session.premises.folder_cap if session.has("gmail_folder_cap") else None


def shown(session: ImapSession, box: LabMailbox) -> list[LabMessage]:
    """Return the messages of a mailbox that this host shows over IMAP."""
    messages = [message for message in box.messages.values() if visible(session, message)]
    return messages[-(cap(session) or len(messages)) :]
