"""The ledger: which message of the source is which message of the target, for ever and only once.

Packed blocks per mailbox, unique by construction: a source uid has one place. Every change of a
block compares the block's version in its own transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailferry.store.faults import Conflict
from mailferry.store.ledger_blocks import (
    BLOCK_ENTRIES,
    Growth,
    Ledger,
    LedgerEntry,
    cut,
    ordered,
)
from mailferry.store.prepared import Prepared
from mailferry.store.schema_copy import intents, ledger_blocks, mailboxes

__all__ = [
    "Ledger",
    "LedgerEntry",
    "commit",
    "counts",
    "entries",
    "forget",
    "load",
    "retarget",
    "rewrite",
    "size",
    "update_flags",
]

_BEYOND = 1 << 32

_OF_MAILBOX = ledger_blocks.c.mailbox_id == bindparam("box")
_LOW = ledger_blocks.c.low_uid
_ROW = select(_LOW, ledger_blocks.c.version, ledger_blocks.c.entries, ledger_blocks.c.packed).where(
    _OF_MAILBOX
)
_AFTER = ledger_blocks.alias()
_FOLLOWING = (
    select(func.min(_AFTER.c.low_uid))
    .where(_AFTER.c.mailbox_id == bindparam("box"), _AFTER.c.low_uid > _LOW)
    .correlate(ledger_blocks)
    .scalar_subquery()
)
_ROW_AND_NEXT = _ROW.add_columns(_FOLLOWING.label("following"))
_AT_OR_BELOW = Prepared(_ROW_AND_NEXT.where(bindparam("uid") >= _LOW).order_by(_LOW.desc()).limit(1))
_FIRST = Prepared(_ROW_AND_NEXT.order_by(_LOW).limit(1))
_NEXT = Prepared(_ROW.where(bindparam("uid") < _LOW).order_by(_LOW).limit(1))
_ALL = Prepared(select(ledger_blocks.c.packed, ledger_blocks.c.entries).where(_OF_MAILBOX).order_by(_LOW))
_AS_SEEN = (_OF_MAILBOX, bindparam("uid") == _LOW, ledger_blocks.c.version == bindparam("seen"))
_REPLACE = Prepared(
    update(ledger_blocks)
    .where(*_AS_SEEN)
    .values({name: bindparam(f"new_{name}") for name in ("low_uid", "version", "entries", "packed")})
    .returning(ledger_blocks.c.version)
)
_REMOVE = Prepared(delete(ledger_blocks).where(*_AS_SEEN).returning(ledger_blocks.c.version))
_ADD = Prepared(insert(ledger_blocks).values({one.name: bindparam(one.name) for one in ledger_blocks.c}))
_SETTLED = Prepared(delete(intents).where(intents.c.id == bindparam("this")).returning(intents.c.id))


@dataclass(frozen=True, slots=True)
class _Block:
    low_uid: int
    version: int
    end: int
    """The first uid that belongs to the next block."""
    ledger: Ledger


def load(conn: Connection, mailbox_id: int) -> Ledger:
    """Return the whole ledger of a mailbox."""
    ledger = Ledger()
    for packed, entries in _ALL.on(conn, {"box": mailbox_id}):
        ledger.extend(packed, entries)
    return ledger


def entries(conn: Connection, mailbox_id: int) -> Iterator[LedgerEntry]:
    """Yield a mailbox's entries by source uid; no more than one block is held at a time."""
    after = -1
    while rows := _NEXT.on(conn, {"box": mailbox_id, "uid": after}):
        after, _version, count, packed = rows[0]
        block = Ledger()
        block.extend(packed, count)
        yield from block


def size(conn: Connection, mailbox_id: int) -> int:
    """Return how many messages the ledger of a mailbox holds."""
    total = func.coalesce(func.sum(ledger_blocks.c.entries), 0)
    return int(conn.execute(select(total).where(ledger_blocks.c.mailbox_id == mailbox_id)).scalar_one())


def counts(conn: Connection, account_id: int) -> Mapping[int, int]:
    """Return how many messages the ledger holds for each mailbox of the account that has any."""
    rows = conn.execute(
        select(ledger_blocks.c.mailbox_id, func.sum(ledger_blocks.c.entries))
        .join(mailboxes, mailboxes.c.id == ledger_blocks.c.mailbox_id)
        .where(mailboxes.c.account_id == account_id)
        .group_by(ledger_blocks.c.mailbox_id)
    )
    return {int(mailbox_id): int(entries) for mailbox_id, entries in rows}


def commit(
    conn: Connection, mailbox_id: int, entries: Iterable[LedgerEntry], *, settles: int | None = None
) -> None:
    """Add entries and remove the intent that they settle, in the caller's one transaction.

    The same entry again changes nothing. Raises Conflict when a source uid already stands for another
    target uid, when the intent is no longer there (somebody else settled it), or when another writer
    changed the block meanwhile; then nothing of the transaction may stay.
    """
    if settles is not None and not _SETTLED.on(conn, {"this": settles}):
        raise Conflict(f"intent {settles} was settled by somebody else")

    wanted = ordered(entries)
    if len({entry.source_uid for entry in wanted}) < len(wanted):
        wanted = list(_merged({}, wanted).values())
    _change(conn, mailbox_id, wanted, _added)


def update_flags(conn: Connection, mailbox_id: int, flags_keys: Mapping[int, bytes]) -> None:
    """Set the flags keys of messages by source uid; unknown uids are passed over."""

    def reflagged(block: Ledger, new: Sequence[LedgerEntry]) -> Growth | None:
        grown = None
        for entry in new:
            place = block.position(entry.source_uid)
            if place is not None and block.flags_key(place) != entry.flags_key:
                block.set_flags_key(place, entry.flags_key)
                grown = Growth.INSIDE
        return grown

    blank = bytes(16)
    _change(
        conn,
        mailbox_id,
        ordered(LedgerEntry(uid, 0, blank, key) for uid, key in flags_keys.items()),
        reflagged,
    )


def retarget(conn: Connection, mailbox_id: int, target_uids: Mapping[int, int]) -> None:
    """Set the target uids of messages by source uid, where the target numbered its mailbox anew."""

    def renumbered(block: Ledger, new: Sequence[LedgerEntry]) -> Growth | None:
        grown = None
        for entry in new:
            place = block.position(entry.source_uid)
            if place is not None and block.target_uids[place] != entry.target_uid:
                block.target_uids[place] = entry.target_uid
                grown = Growth.INSIDE
        return grown

    _change(
        conn,
        mailbox_id,
        ordered(LedgerEntry(uid, target, b"", b"") for uid, target in target_uids.items()),
        renumbered,
    )


def forget(conn: Connection, mailbox_id: int, source_uids: Collection[int]) -> None:
    """Remove the entries of messages that are gone from both sides; unknown uids are passed over."""

    def kept(block: Ledger, new: Sequence[LedgerEntry]) -> Growth | None:
        places = [place for entry in new if (place := block.position(entry.source_uid)) is not None]
        block.remove(places)
        return Growth.INSIDE if places else None

    wanted = (LedgerEntry(uid, 0, b"", b"") for uid in set(source_uids))
    _change(conn, mailbox_id, ordered(wanted), kept)


def rewrite(conn: Connection, mailbox_id: int, entries: Iterable[LedgerEntry]) -> None:
    """Put `entries` in place of the whole ledger: the source numbered its mailbox anew and was matched by digests."""
    conn.execute(delete(ledger_blocks).where(ledger_blocks.c.mailbox_id == mailbox_id))
    commit(conn, mailbox_id, entries)


_Alteration = Callable[[Ledger, Sequence[LedgerEntry]], Growth | None]
"""Alters a block as the entries in its range want it; returns where it grew, None when it stays as it is."""


def _change(conn: Connection, mailbox_id: int, wanted: Sequence[LedgerEntry], alter: _Alteration) -> None:
    """Walk over the blocks that `wanted` (by source uid) touches and write what `alter` makes of each."""
    at = 0
    while at < len(wanted):
        block = _block_for(conn, mailbox_id, wanted[at].source_uid)
        stop = at
        while stop < len(wanted) and wanted[stop].source_uid < block.end:
            stop += 1
        growth = alter(block.ledger, wanted[at:stop])
        if growth is not None:
            _write(conn, mailbox_id, block, block.ledger, growth)
        at = stop


def _added(block: Ledger, new: Sequence[LedgerEntry]) -> Growth | None:
    """Add entries to a block. Raises Conflict when one of them is there with another target uid."""
    uids = block.source_uids
    if not uids or uids[-1] < new[0].source_uid:
        block.append_all(new)
        return Growth.END
    before = list(block)
    after = ordered(_merged({entry.source_uid: entry for entry in before}, new).values())
    if after == before:
        return None
    block.replace(after)
    return Growth.FRONT if after[-len(before) :] == before else Growth.INSIDE


def _merged(old: Mapping[int, LedgerEntry], new: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
    merged = dict(old)
    for entry in new:
        there = merged.setdefault(entry.source_uid, entry)
        if there.target_uid != entry.target_uid:
            raise Conflict(
                f"source uid {entry.source_uid} is target uid {there.target_uid}, not {entry.target_uid}"
            )
    return merged


def _block_for(conn: Connection, mailbox_id: int, uid: int) -> _Block:
    """Return the block in whose range `uid` lies; version 0 when none exists.

    The first block reaches down to zero, each block up to the next.
    """
    rows = _AT_OR_BELOW.on(conn, {"box": mailbox_id, "uid": uid}) or _FIRST.on(conn, {"box": mailbox_id})
    if not rows:
        return _Block(low_uid=uid, version=0, end=_BEYOND, ledger=Ledger())
    low_uid, version, count, packed, following = rows[0]
    ledger = Ledger()
    ledger.extend(packed, count)
    return _Block(low_uid, version, _BEYOND if following is None else following, ledger)


def _write(conn: Connection, mailbox_id: int, before: _Block, after: Ledger, growth: Growth) -> None:
    """Put `after` in place of the block as it was read; raises Conflict when it is no longer so."""
    count = len(after)
    pieces = [(0, count)] if count <= BLOCK_ENTRIES else cut(count, growth)
    rows = [
        {
            "mailbox_id": mailbox_id,
            "low_uid": after.source_uids[start],
            "version": before.version + 1,
            "entries": end - start,
            "packed": after.packed(start, end),
        }
        for start, end in pieces
        if end > start
    ]
    this = {"box": mailbox_id, "uid": before.low_uid, "seen": before.version}
    if before.version:
        changed = (
            _REPLACE.on(conn, this | {f"new_{name}": value for name, value in rows.pop().items()})
            if len(rows) == 1
            else _REMOVE.on(conn, this)
        )
        if not changed:
            raise Conflict(f"another writer changed the ledger of mailbox {mailbox_id}")
    for row in rows:
        try:
            _ADD.on(conn, row)
        except (IntegrityError, sqlite3.IntegrityError) as error:
            raise Conflict(f"another writer changed the ledger of mailbox {mailbox_id}") from error
