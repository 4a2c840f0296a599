"""IMAP commands on mailboxes as a whole: LIST and its kin, CREATE to UNSUBSCRIBE, STATUS, SELECT, CLOSE, NAMESPACE."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailferry.lab import listing_quirks
from mailferry.lab.imap_reader import BadCommand, Command, Value, quoted, text, words
from mailferry.lab.imap_session import ImapSession, No, Verb
from mailferry.lab.imap_view import View, flag_list
from mailferry.lab.listing_quirks import Row
from mailferry.lab.mailstore import INBOX, ROLES, LabMailbox

SYSTEM_FLAGS = frozenset({b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen", b"\\Draft"})
_STATUS_ITEMS = (b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"SIZE")


async def namespace(session: ImapSession, _: Command) -> bytes:
    """NAMESPACE (RFC 2342)."""
    if session.has("aliyun_no_namespace"):
        raise BadCommand("Unknown command")
    if session.has("namespace_lie"):
        raise BadCommand("command syntax error")
    delimiter = b"NIL" if session.has("list_no_separator") else quoted(session.store.delimiter)
    session.send(b'* NAMESPACE (("%s" %s)) NIL NIL' % (session.store.prefix, delimiter))
    return b"Namespace completed."


async def listing(session: ImapSession, command: Command) -> bytes:
    """LIST, also in its extended forms (RFC 3501 6.3.8, RFC 5258, RFC 6154, RFC 5819), and XLIST."""
    arguments = list(command.arguments)
    only: set[bytes] = set()
    if arguments and isinstance(arguments[0], list):
        only = {word.upper() for word in words(arguments.pop(0))}
    if len(arguments) < 2:
        raise BadCommand("LIST takes a reference and a pattern")
    if len(arguments) > 2 and session.has("no_list_return"):
        raise BadCommand("Command Argument Error. 12")
    reference, patterns = text(arguments[0]), words(arguments[1])
    returned, status_items = _return_options(arguments[2:])
    if patterns == [b""] and not session.has("sina_list_root"):
        session.send(b'* LIST (\\Noselect) %s ""' % quoted(session.store.delimiter))
        return b"List completed."
    xlist = command.verb == "XLIST"
    roles = xlist or not session.has("no_special_use")
    rows = []
    for box in _matching(session, reference, [pattern or b"*" for pattern in patterns]):
        subscribed = box.name in session.store.subscriptions
        if b"SUBSCRIBED" in only and not subscribed:
            continue
        if b"SPECIAL-USE" in only and not (roles and box.attributes & ROLES):
            continue
        marks = _marks(session, box, roles=roles)
        if xlist and box.name == INBOX:
            marks.append(b"\\Inbox")
        if subscribed and (b"SUBSCRIBED" in only or b"SUBSCRIBED" in returned):
            marks.append(b"\\Subscribed")
        rows.append(Row(box.name, tuple(marks), session.store.delimiter, quoted(box.name)))
    for row in listing_quirks.listed(session, rows):
        session.send(row.line(command.verb.encode()))
        found = session.store.find(row.name)
        if status_items and found is not None and found.selectable and not session.has("list_status_lie"):
            session.send(_status_line(session, found, status_items))
    return b"List completed."


async def lsub(session: ImapSession, command: Command) -> bytes:
    """LSUB (RFC 3501, 6.3.9); names whose mailbox is gone stay in the list."""
    if len(command.arguments) != 2:
        raise BadCommand("LSUB takes a reference and a pattern")
    fits = _pattern(text(command.arguments[0]) + text(command.arguments[1]), session.store.delimiter)
    for name in sorted(session.store.subscriptions):
        if fits.fullmatch(name):
            session.send(b"* LSUB () %s %s" % (quoted(session.store.delimiter), quoted(name)))
    return b"Lsub completed."


async def create(session: ImapSession, command: Command) -> bytes:
    """CREATE, with a role where asked (RFC 6154, 3)."""
    role = None
    if len(command.arguments) > 1:
        use = command.arguments[1]
        if session.has("no_special_use") or not isinstance(use, list) or use[:1] != [b"USE"] or len(use) != 2:
            raise BadCommand("Unknown CREATE parameter")
        role = words(use[1])[0]
    name = text(command.arguments[0]) if command.arguments else b""
    if role is not None and role not in ROLES:
        raise No("[USEATTR] The role is not known here")
    session.store.create(name, role=role)
    return b"Create completed."


async def delete(session: ImapSession, command: Command) -> bytes:
    """DELETE (RFC 3501, 6.3.4)."""
    session.store.delete(text(command.arguments[0]) if command.arguments else b"")
    return b"Delete completed."


async def rename(session: ImapSession, command: Command) -> bytes:
    """RENAME (RFC 3501, 6.3.5)."""
    if len(command.arguments) != 2:
        raise BadCommand("RENAME takes two names")
    session.store.rename(text(command.arguments[0]), text(command.arguments[1]))
    return b"Rename completed."


async def subscribe(session: ImapSession, command: Command) -> bytes:
    """SUBSCRIBE and UNSUBSCRIBE (RFC 3501, 6.3.6 and 6.3.7)."""
    name = text(command.arguments[0]) if command.arguments else b""
    if command.verb == "UNSUBSCRIBE":
        session.store.subscriptions.discard(name)
    else:
        session.store.subscriptions.add(session.store.mailbox(name).name)
    return command.verb.capitalize().encode() + b" completed."


async def status(session: ImapSession, command: Command) -> bytes:
    """STATUS (RFC 3501, 6.3.10)."""
    if len(command.arguments) != 2:
        raise BadCommand("STATUS takes a mailbox and items")
    box = _selectable(session, text(command.arguments[0]))
    session.send(_status_line(session, box, words(command.arguments[1])))
    return b"Status completed."


async def select(session: ImapSession, command: Command) -> bytes:
    """SELECT and EXAMINE (RFC 3501, 6.3.1 and 6.3.2)."""
    _let_go(session)
    if session.has("netease_unsafe_login") and not session.id_sent:
        raise No(f"{command.verb} Unsafe Login. Please contact kefu@188.com for help")
    name = text(command.arguments[0]) if command.arguments else b""
    if session.has("netease_ghost") and name == listing_quirks.GHOST:
        raise No(f"{command.verb} folder not exist")
    box = _selectable(session, name)
    read_only = command.verb == "EXAMINE"
    view = session.view = View(
        box,
        read_only=read_only,
        rows=listing_quirks.shown(session, box),
        visible=lambda message: listing_quirks.visible(session, message),
    )
    listing_quirks.selected(session)
    known = SYSTEM_FLAGS | box.keywords()
    lasting = known if session.has("no_keywords") else known | {b"\\*"}
    session.send(b"* FLAGS " + flag_list(known))
    session.send(
        b"* OK [PERMANENTFLAGS %s] Flags permitted." % flag_list(frozenset() if read_only else lasting)
    )
    session.send(b"* %d EXISTS" % len(view.rows))
    session.send(b"* 0 RECENT")
    validity = listing_quirks.uidvalidity(session, box, examined=read_only)
    session.send(b"* OK [UIDVALIDITY %d] UIDs valid" % validity)
    following = listing_quirks.uidnext(session, box)
    if following is not None:
        session.send(b"* OK [UIDNEXT %d] Predicted next UID" % following)
    mode = b"[READ-ONLY] Examine" if read_only else b"[READ-WRITE] Select"
    return mode + b" completed."


async def close(session: ImapSession, command: Command) -> bytes:
    """CLOSE and UNSELECT (RFC 3501 6.4.2, RFC 3691)."""
    view = session.selected
    if command.verb == "CLOSE" and not view.read_only:
        gone = [m.uid for m in view.mailbox.messages.values() if b"\\Deleted" in m.flags]
        if gone:
            view.mailbox.remove(gone)
    _let_go(session)
    return command.verb.capitalize().encode() + b" completed."


def _let_go(session: ImapSession) -> None:
    session.view = None


def _selectable(session: ImapSession, name: bytes) -> LabMailbox:
    box = session.store.mailbox(name)
    if not box.selectable and session.has("gmail_labels"):
        raise No(f"[NONEXISTENT] Unknown Mailbox: {name.decode()} (now in authenticated state) (Failure)")
    if not box.selectable:
        raise No("[NONEXISTENT] Mailbox is not selectable")
    return box


def _status_line(session: ImapSession, box: LabMailbox, items: Iterable[bytes]) -> bytes:
    shown = listing_quirks.shown(session, box)
    values: dict[bytes, int | None] = {
        b"MESSAGES": len(shown),
        b"RECENT": 0,
        b"UIDNEXT": listing_quirks.uidnext(session, box),
        b"UIDVALIDITY": listing_quirks.uidvalidity(session, box),
        b"UNSEEN": sum(b"\\Seen" not in m.flags for m in shown),
        b"SIZE": sum(len(m.octets) for m in shown),
    }
    asked = [item.upper() for item in items]
    unknown = set(asked) - set(_STATUS_ITEMS)
    if unknown:
        raise BadCommand("Unknown status item")
    told = ((item, values[item]) for item in asked)
    pairs = b" ".join(b"%s %d" % (item, value) for item, value in told if value is not None)
    return b"* STATUS %s (%s)" % (quoted(box.name), pairs)


def _marks(session: ImapSession, box: LabMailbox, *, roles: bool) -> list[bytes]:
    inside = box.name + session.store.delimiter
    has_children = any(other.name.startswith(inside) for other in session.store)
    marks = [b"\\HasChildren" if has_children else b"\\HasNoChildren"]
    if not box.selectable:
        marks.append(b"\\Noselect")
    return marks + (sorted(box.attributes) if roles else [])


def _matching(session: ImapSession, reference: bytes, patterns: list[bytes]) -> list[LabMailbox]:
    fitting = [_pattern(reference + pattern, session.store.delimiter) for pattern in patterns]
    return [box for box in session.store if any(fit.fullmatch(box.name) for fit in fitting)]


def _pattern(pattern: bytes, delimiter: bytes) -> re.Pattern[bytes]:
    parts = {b"*": b".*", b"%": b"[^" + re.escape(delimiter) + b"]*"}
    if pattern.upper() == INBOX:
        pattern = INBOX
    body = b"".join(parts.get(bytes([c]), re.escape(bytes([c]))) for c in pattern)
    return re.compile(body, re.DOTALL)


def _return_options(arguments: list[Value]) -> tuple[set[bytes], list[bytes]]:
    """Return the words behind RETURN and the STATUS items among them."""
    if not arguments:
        return set(), []
    if (
        len(arguments) != 2
        or arguments[0] not in (b"RETURN", b"return")
        or not isinstance(arguments[1], list)
    ):
        raise BadCommand("Command Argument Error. 12")
    options: set[bytes] = set()
    items: list[bytes] = []
    for option in arguments[1]:
        if isinstance(option, list):
            items = [item for item in option if isinstance(item, bytes)]
        elif isinstance(option, bytes):
            options.add(option.upper())
    return options, items


VERBS = {
    "NAMESPACE": Verb(namespace),
    "LIST": Verb(listing),
    "XLIST": Verb(listing),
    "LSUB": Verb(lsub),
    "CREATE": Verb(create),
    "DELETE": Verb(delete),
    "RENAME": Verb(rename),
    "SUBSCRIBE": Verb(subscribe),
    "UNSUBSCRIBE": Verb(subscribe),
    "STATUS": Verb(status),
    "SELECT": Verb(select),
    "EXAMINE": Verb(select),
    "CLOSE": Verb(close, needs_mailbox=True),
    "UNSELECT": Verb(close, needs_mailbox=True),
}
