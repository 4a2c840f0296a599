"""Mailboxes of an IMAP session: LIST, LSUB, STATUS, SELECT, CREATE (RFC 3501 6.3, RFC 6154, RFC 5819)."""

from __future__ import annotations

from collections.abc import Sequence

from mailferry.model.causes import Cause, Unavailable
from mailferry.model.mail import Mailbox, MailboxStatus
from mailferry.remote.imap_answers import Listener
from mailferry.remote.imap_link import ImapLink
from mailferry.wire.imap_commands import Literal, Piece, astring
from mailferry.wire.imap_responses import Tagged, Untagged, list_entry, status_entry
from mailferry.wire.imap_values import BadResponse, as_bytes, as_list

SHUT = frozenset({"\\noselect", "\\nonexistent"})
_STATUS_ITEMS = b"MESSAGES UIDNEXT UIDVALIDITY"


class MailboxReader(Listener):
    """Gathers the mailboxes of LIST, LSUB or XLIST, and the numbers of STATUS answers among them."""

    def __init__(self, kind: bytes) -> None:
        self._kind = kind
        self.mailboxes: dict[bytes, Mailbox] = {}
        self.statuses: dict[bytes, dict[bytes, int]] = {}
        self.unread: list[bytes] = []
        """Lines that name a mailbox in a way that cannot be understood."""

    def untagged(self, response: Untagged) -> None:
        """Take a mailbox; a line that comes twice adds its attributes, but shut is what all lines call so."""
        try:
            if response.kind == self._kind:
                mailbox = list_entry(response)
                known = self.mailboxes.get(mailbox.name)
                if known is not None:
                    one, other = known.attributes, mailbox.attributes
                    mailbox = Mailbox(known.name, known.delimiter, (one | other) - (SHUT & (one ^ other)))
                self.mailboxes[mailbox.name] = mailbox
            elif response.kind == b"STATUS":
                name, numbers = status_entry(response)
                self.statuses[name] = numbers
        except BadResponse:
            self.unread.append(response.kind)

    def unreadable(self, line: bytes) -> None:
        """Note a line that is no answer at all."""
        self.unread.append(line)


class SelectReader(Listener):
    """Gathers what SELECT and EXAMINE tell of a mailbox."""

    def __init__(self) -> None:
        self.exists: int | None = None
        self.flags: frozenset[bytes] | None = None
        self.permanent_flags: frozenset[bytes] | None = None
        self.uidvalidity: int | None = None
        self.uidnext: int | None = None
        self.highestmodseq: int | None = None

    def untagged(self, response: Untagged) -> None:
        """Take EXISTS, FLAGS and the codes behind OK."""
        try:
            if response.kind == b"EXISTS":
                self.exists = response.number
            elif response.kind == b"FLAGS" and response.values:
                self.flags = frozenset(as_bytes(flag) for flag in as_list(response.values[0]))
            elif response.code is not None and response.code.name == "PERMANENTFLAGS":
                self.permanent_flags = response.code.flags()
            elif response.code is not None and response.code.name == "UIDVALIDITY":
                self.uidvalidity = response.code.number()
            elif response.code is not None and response.code.name == "UIDNEXT":
                self.uidnext = response.code.number()
            elif response.code is not None and response.code.name == "HIGHESTMODSEQ":
                self.highestmodseq = response.code.number()
        except BadResponse:
            return  # what a server garbled counts as not told

    def status(self, name: bytes, answer: Tagged) -> MailboxStatus:
        """Return what was told; raises Unavailable when it is not enough to tell messages apart."""
        if self.exists is None or self.uidvalidity is None:
            raise Unavailable(
                Cause.PROTOCOL_ERROR, "the server opened a mailbox without EXISTS or UIDVALIDITY"
            )
        return MailboxStatus(
            name=name,
            uidvalidity=self.uidvalidity,
            exists=self.exists,
            uidnext=self.uidnext or None,
            highestmodseq=self.highestmodseq or None,
            permanent_flags=self.permanent_flags,
            read_only=answer.code is not None and answer.code.name == "READ-ONLY",
        )


async def list_mailboxes(link: ImapLink) -> MailboxReader:
    """List all mailboxes, with their roles where the server tells them in any of its ways."""
    reader = MailboxReader(b"LIST")
    if {b"SPECIAL-USE", b"LIST-EXTENDED"} <= link.capabilities:
        asked = link.send("list", b"LIST", b'"" "*" RETURN (SPECIAL-USE)', listener=reader)
        if (await link.answer(asked)).status == b"OK":
            return reader
        reader = MailboxReader(b"LIST")  # Exchange takes no RETURN
    await link.run("list", b"LIST", b'"" "*"', listener=reader)
    if b"XLIST" in link.capabilities and b"SPECIAL-USE" not in link.capabilities:
        marks = MailboxReader(b"XLIST")  # Tencent tells roles nowhere else
        await link.answer(link.send("list", b"XLIST", b'"" "*"', listener=marks))
        for name, mailbox in reader.mailboxes.items():
            if name in marks.mailboxes:
                more = marks.mailboxes[name].attributes - SHUT
                reader.mailboxes[name] = Mailbox(name, mailbox.delimiter, mailbox.attributes | more)
    return reader


async def subscribed(link: ImapLink) -> frozenset[bytes]:
    """Return the raw names of subscribed mailboxes."""
    reader = MailboxReader(b"LSUB")
    await link.run("lsub", b"LSUB", b'"" "*"', listener=reader)
    return frozenset(name for name, box in reader.mailboxes.items() if "\\noselect" not in box.attributes)


async def select(link: ImapLink, name: bytes, *, read_only: bool) -> MailboxStatus:
    """Open a mailbox."""
    reader = SelectReader()
    verb = b"EXAMINE" if read_only else b"SELECT"
    more: list[Piece] = [b"(CONDSTORE)"] if b"CONDSTORE" in link.capabilities else []
    answer = await link.run("select", verb, astring(name), *more, listener=reader)
    return reader.status(name, answer)


async def status_all(link: ImapLink, names: Sequence[bytes]) -> dict[bytes, MailboxStatus]:
    """Return the numbers of each mailbox of `names` that the server told them of."""
    items = _STATUS_ITEMS + (b" HIGHESTMODSEQ" if b"CONDSTORE" in link.capabilities else b"")
    reader = MailboxReader(b"LIST")
    if b"LIST-STATUS" in link.capabilities:
        asked = link.send("status", b"LIST", b'"" "*" RETURN (STATUS (%s))' % items, listener=reader)
        await link.answer(asked)  # what it did not tell is asked for below
    left = [name for name in names if _spelled(name) not in {_spelled(told) for told in reader.statuses}]
    commands = [
        link.send("status", b"STATUS", astring(name), b"(%s)" % items, listener=reader) for name in left
    ]
    for command in commands:
        await link.answer(command)  # a mailbox that has no numbers (NetEase lists such) is left out
    told = {_spelled(name): numbers for name, numbers in reader.statuses.items()}
    found = {name: _status(name, told.get(_spelled(name), {})) for name in names}
    return {name: status for name, status in found.items() if status is not None}


async def create(link: ImapLink, name: bytes, role: str | None) -> bool:
    """Create a mailbox, marked with its role where the server takes one; False when it was there."""
    answer: Tagged | None = None
    if role is not None and b"CREATE-SPECIAL-USE" in link.capabilities:
        use = b"(USE (\\%s))" % role.capitalize().encode("ascii")
        answer = await link.answer(link.send("create", b"CREATE", astring(name), use))
    if answer is None or (answer.status != b"OK" and not _exists(answer)):
        answer = await link.answer(link.send("create", b"CREATE", astring(name)))
    if answer.status == b"OK":
        return True
    if _exists(answer) or await _is_there(link, name):
        return False
    raise link.refusal(answer, "create")


def _exists(answer: Tagged) -> bool:
    return answer.code is not None and answer.code.name == "ALREADYEXISTS"


async def _is_there(link: ImapLink, name: bytes) -> bool:
    """Whether a refused CREATE was refused because of a mailbox that is there; older servers give no code."""
    reader = MailboxReader(b"LIST")
    pattern = astring(name)
    if isinstance(pattern, Literal) or b"*" in name or b"%" in name:
        pattern = b'"*"'
    await link.answer(link.send("list", b"LIST", b'""', pattern, listener=reader))
    found = reader.mailboxes.get(name)
    return found is not None and found.selectable


def _spelled(name: bytes) -> bytes:
    """INBOX is one mailbox in any letter case (RFC 3501 5.1)."""
    return b"INBOX" if name.upper() == b"INBOX" else name


def _status(name: bytes, numbers: dict[bytes, int]) -> MailboxStatus | None:
    if b"MESSAGES" not in numbers or b"UIDVALIDITY" not in numbers:
        return None
    return MailboxStatus(
        name=name,
        uidvalidity=numbers[b"UIDVALIDITY"],
        exists=numbers[b"MESSAGES"],
        uidnext=numbers.get(b"UIDNEXT") or None,
        highestmodseq=numbers.get(b"HIGHESTMODSEQ") or None,
    )
