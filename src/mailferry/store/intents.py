"""What is about to be appended: a durable row before the APPEND, removed by the ledger's commit.

After a crash the target is read from `target_uidnext` on and each intent is settled by digests. Where
that did not find every message the intent stays, as *examined*, for one more look in a later pass: what
the killed run sent may have been under way still.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mailferry.store.database import db_now
from mailferry.store.ledger_blocks import pack_uids, unpack_uids
from mailferry.store.prepared import Prepared, Row
from mailferry.store.schema_copy import intents, mailboxes

_ACCOUNT = select(mailboxes.c.account_id).where(mailboxes.c.id == bindparam("this"))
_OPEN = Prepared(
    insert(intents)
    .values(
        {column.name: bindparam(column.name) for column in intents.c if column.name not in {"id", "examined"}}
    )
    .returning(intents.c.id)
)
_IN_ORDER = select(intents).order_by(intents.c.id)
_OF_ACCOUNT = Prepared(_IN_ORDER.where(intents.c.account_id == bindparam("this")))
_OF_MAILBOX = Prepared(_IN_ORDER.where(intents.c.mailbox_id == bindparam("this")))

_TRAIT = struct.Struct("<qq")
_NOT_TOLD = -(1 << 63)


class Trait(NamedTuple):
    """What tells a copy when its message is gone from the source; None for what the source did not tell."""

    octets: int | None
    arrived: int | None
    """INTERNALDATE in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One APPEND (of one message or a batch) that was begun and not yet settled."""

    id: int
    account_id: int
    mailbox_id: int
    opened_at: float
    target_name: bytes
    target_uidvalidity: int
    target_uidnext: int
    """The target mailbox's UIDNEXT before the APPEND: what it brought lies at or above it."""
    source_uidvalidity: int | None
    source_uids: tuple[int, ...]
    traits: tuple[Trait, ...] = ()
    """One for each of `source_uids`, or none at all."""
    examined: bool = False


def open_intent(
    conn: Connection,
    mailbox_id: int,
    *,
    account_id: int | None = None,
    target_name: bytes,
    target_uidvalidity: int,
    target_uidnext: int,
    source_uids: Sequence[int],
    source_uidvalidity: int | None = None,
    traits: Sequence[Trait] = (),
    now: float | None = None,
) -> int:
    """Write an intent and return its id; the APPEND may start once the transaction is committed.

    `source_uids` ascend, `traits` are in the same order. `account_id` spares the look whose mailbox it is.
    """
    if account_id is None:
        account_id = conn.execute(_ACCOUNT, {"this": mailbox_id}).scalar_one()
    values = {
        "account_id": account_id,
        "mailbox_id": mailbox_id,
        "opened_at": db_now(conn) if now is None else now,
        "target_name": target_name,
        "target_uidvalidity": target_uidvalidity,
        "target_uidnext": target_uidnext,
        "source_uidvalidity": source_uidvalidity,
        "source_uids": pack_uids(source_uids),
        "traits": _packed(traits) or None,
    }
    return int(_OPEN.on(conn, values)[0][0])


def pending(conn: Connection, account_id: int) -> Sequence[Intent]:
    """Return the account's intents that nobody settled, oldest first."""
    return [_intent(row) for row in _OF_ACCOUNT.on(conn, {"this": account_id})]


def of_mailbox(conn: Connection, mailbox_id: int) -> Sequence[Intent]:
    """Return those of one mailbox that nobody settled, oldest first."""
    return [_intent(row) for row in _OF_MAILBOX.on(conn, {"this": mailbox_id})]


def settle(conn: Connection, intent_id: int) -> None:
    """Remove an intent of which nothing reached the target; safe to repeat. (Else `ledger.commit` removes it.)"""
    conn.execute(delete(intents).where(intents.c.id == intent_id))


def examined(conn: Connection, intent_id: int) -> None:
    """Keep an intent for one more look in a later pass."""
    conn.execute(update(intents).where(intents.c.id == intent_id).values(examined=True))


def _intent(row: Row) -> Intent:
    *values, source_uids, packed, examined = row
    traits = tuple(
        Trait(*(None if value == _NOT_TOLD else value for value in pair))
        for pair in _TRAIT.iter_unpack(packed or b"")
    )
    values += (unpack_uids(source_uids), traits, examined)
    return Intent(*values)


def _packed(traits: Sequence[Trait]) -> bytes:
    values = [_NOT_TOLD if value is None else value for value in chain.from_iterable(traits)]
    return struct.pack(f"<{len(values)}q", *values)
