"""The mailboxes of an account as its copy knows them: names on both sides and what was seen last.

Raw wire names are the keys; what a server left out is None. POP3-only sources have one mailbox,
named INBOX, whose source uids are numbers of our own. So have messages that a source shows over POP3
and hides from IMAP: they stand under a name that no mailbox bears. Copies that a mailbox's messages have
for want of whole ones stand under another such name, in a ledger of their own, so that nothing takes
them for copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TypedDict, Unpack

from sqlalchemy import Connection, bindparam, func, insert, select, update

from mailferry.store.faults import Unknown
from mailferry.store.prepared import Prepared
from mailferry.store.schema_copy import mailboxes

OVER_POP3 = b"\0POP3"
"""In place of a mailbox's name: what POP3 alone shows. NUL stands in no IMAP name (RFC 3501 9)."""
_INCOMPLETE, _BEHIND = b"\0INCOMPLETE:", b"\0INCOMPLETE;"
_NAMES = b"\1"
"""Mailboxes' own names sort from here on."""


@dataclass(frozen=True, slots=True)
class CopiedMailbox:
    """One source mailbox and its place at the target; `source_*` and `target_*` as last seen by a whole pass."""

    id: int
    account_id: int
    source_name: bytes
    source_uidvalidity: int | None
    source_uidnext: int | None
    source_highestmodseq: int | None
    source_exists: int | None
    source_octets: int | None
    """Sum of the sizes in the last listing; a mailbox that did not change is not listed again."""
    target_name: bytes
    target_uidvalidity: int | None
    target_uidnext: int | None
    target_highestmodseq: int | None
    target_exists: int | None
    role: str | None
    subscribed: bool
    gone: bool
    """No longer listed by the source."""
    checked_at: float | None
    held_deletions: int
    """Deletions that wait for `account approve`."""


class MailboxChanges(TypedDict, total=False):
    """What a pass may note about a mailbox."""

    source_uidvalidity: int | None
    source_uidnext: int | None
    source_highestmodseq: int | None
    source_exists: int | None
    source_octets: int | None
    target_name: bytes
    target_uidvalidity: int | None
    target_uidnext: int | None
    target_highestmodseq: int | None
    target_exists: int | None
    role: str | None
    subscribed: bool
    gone: bool
    checked_at: float | None
    held_deletions: int


def incomplete_name(source_name: bytes) -> bytes:
    """Return the name under which a mailbox's incomplete copies stand."""
    return _INCOMPLETE + source_name


def is_incomplete(name: bytes) -> bool:
    """Whether incomplete copies stand under this name."""
    return name.startswith(_INCOMPLETE)


_COLUMNS = [mailboxes.c[field.name] for field in fields(CopiedMailbox)]
# statements of every mailbox of every pass are built once: building them costs more than running them
_ROWS = select(*_COLUMNS)
_OF_THIS = _ROWS.where(mailboxes.c.account_id == bindparam("this"))
_OF_ACCOUNT = Prepared(_OF_THIS.where(mailboxes.c.source_name >= bindparam("names")).order_by(mailboxes.c.id))
_NAMED = Prepared(_OF_THIS.where(mailboxes.c.source_name == bindparam("name")))
_INCOMPLETE_ONES = Prepared(
    _OF_THIS.where(
        mailboxes.c.source_name >= bindparam("first"), mailboxes.c.source_name < bindparam("behind")
    )
)
_GET = Prepared(_ROWS.where(mailboxes.c.id == bindparam("this")))


def of_account(conn: Connection, account_id: int) -> Sequence[CopiedMailbox]:
    """Return all mailboxes of the account, in the order in which they were first seen."""
    return [CopiedMailbox(*row) for row in _OF_ACCOUNT.on(conn, {"this": account_id, "names": _NAMES})]


def over_pop3(conn: Connection, account_id: int) -> CopiedMailbox | None:
    """Return the row of what POP3 alone shows, None when there never was such a message."""
    return _named(conn, account_id, OVER_POP3)


def incomplete(conn: Connection, account_id: int) -> Mapping[bytes, CopiedMailbox]:
    """Return the rows of incomplete copies by the source name of the mailbox whose messages they stand for."""
    bounds = {"this": account_id, "first": _INCOMPLETE, "behind": _BEHIND}
    rows = [CopiedMailbox(*row) for row in _INCOMPLETE_ONES.on(conn, bounds)]
    return {row.source_name.removeprefix(_INCOMPLETE): row for row in rows}


def get(conn: Connection, mailbox_id: int) -> CopiedMailbox:
    """Return one mailbox; raises Unknown."""
    rows = _GET.on(conn, {"this": mailbox_id})
    if not rows:
        raise Unknown(f"there is no mailbox number {mailbox_id}")
    return CopiedMailbox(*rows[0])


def _named(conn: Connection, account_id: int, name: bytes) -> CopiedMailbox | None:
    rows = _NAMED.on(conn, {"this": account_id, "name": name})
    return CopiedMailbox(*rows[0]) if rows else None


def ensure(
    conn: Connection,
    account_id: int,
    source_name: bytes,
    *,
    target_name: bytes,
    role: str | None = None,
    subscribed: bool = False,
) -> CopiedMailbox:
    """Return the mailbox of that source name, made when it is new.

    The target name of one that exists stays: a mapping is stable over runs.
    """
    there = _named(conn, account_id, source_name)
    if there is not None:
        return there
    made = conn.execute(
        insert(mailboxes)
        .values(
            account_id=account_id,
            source_name=source_name,
            target_name=target_name,
            role=role,
            subscribed=subscribed,
        )
        .returning(mailboxes.c.id)
    )
    return get(conn, int(made.scalar_one()))


def note(conn: Connection, mailbox_id: int, **changes: Unpack[MailboxChanges]) -> None:
    """Change what is given, leave the rest; raises Unknown."""
    if changes:
        values = {f"new_{name}": value for name, value in changes.items()}
        if not _change_of(frozenset(changes)).on(conn, values | {"this": mailbox_id}):
            raise Unknown(f"there is no mailbox number {mailbox_id}")


@lru_cache(maxsize=64)
def _change_of(names: frozenset[str]) -> Prepared:
    """Return the statement that changes these columns and answers with the row's number."""
    return Prepared(
        update(mailboxes)
        .where(mailboxes.c.id == bindparam("this"))
        .values({name: bindparam(f"new_{name}") for name in sorted(names)})
        .returning(mailboxes.c.id)
    )


def held_deletions(conn: Connection, account_id: int) -> int:
    """Return how many deletions of the account wait for an administrator."""
    held = func.coalesce(func.sum(mailboxes.c.held_deletions), 0)
    return int(conn.execute(select(held).where(mailboxes.c.account_id == account_id)).scalar_one())
