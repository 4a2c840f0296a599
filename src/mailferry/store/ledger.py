"""The ledger: which message of the source is which message of the target, for ever and only once.

Packed blocks per mailbox, unique by construction: a source uid has one place. Every change of a
block compares the block's version in its own transaction.
"""

from __future__ import annotations

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
_AT_OR_BELOW = _ROW_AND_NEXT.where(bindparam("uid") >= _LOW).order_by(_LOW.desc()).limit(1)
_FIRST = _ROW_AND_NEXT.order_by(_LOW).limit(1)
_AS_SEEN = (_OF_MAILBOX, bindparam("uid") == _LOW, ledger_blocks.c.version == bindparam("seen"))
_REPLACE = (
    update(ledger_blocks)
    .where(*_AS_SEEN)
    .values({name: bindparam(f"new_{name}") for name in ("low_uid", "version", "entries", "packed")})
)
_REMOVE = delete(ledger_blocks).where(*_AS_SEEN)
_SETTLED = delete(intents).where(intents.c.id == bindparam("this"))


@dataclass(frozen=True, slots=True)
class _Block:
    low_uid: int
    version: int
    end: int
    """The first uid that belongs to the next block."""
    ledger: Ledger


def load(conn: Connection, mailbox_id: int) -> Ledger:
    """Return the whole ledger of a mailbox."""
    rows = conn.execute(
        select(ledger_blocks.c.packed, ledger_blocks.c.entries)
        .where(ledger_blocks.c.mailbox_id == mailbox_id)
        .order_by(ledger_blocks.c.low_uid)
    )
    ledger = Ledger()
    for packed, entries in rows:
        ledger.extend(packed, entries)
    return ledger


def entries(conn: Connection, mailbox_id: int) -> Iterator[LedgerEntry]:
    """Yield a mailbox's entries by source uid; no more than one block is held at a time."""
    after = -1
    query = _ROW.where(bindparam("uid") < _LOW).order_by(_LOW).limit(1)
    while (row := conn.execute(query, {"box": mailbox_id, "uid": after}).first()) is not None:
        block = Ledger()
        block.extend(row.packed, row.entries)
        yield from block
        after = row.low_uid


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
    if settles is not None and not conn.execute(_SETTLED, {"this": settles}).rowcount:
        raise Conflict(f"intent {settles} was settled by somebody else")

    def added(old: Mapping[int, LedgerEntry], new: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
        merged = dict(old)
        for entry in new:
            there = merged.setdefault(entry.source_uid, entry)
            if there.target_uid != entry.target_uid:
                raise Conflict(
                    f"source uid {entry.source_uid} is target uid {there.target_uid}, not {entry.target_uid}"
                )
        return merged

    wanted = ordered(entries)
    if len({entry.source_uid for entry in wanted}) < len(wanted):
        wanted = list(added({}, wanted).values())
    _change(conn, mailbox_id, wanted, added, appends=True)


def update_flags(conn: Connection, mailbox_id: int, flags_keys: Mapping[int, bytes]) -> None:
    """Set the flags keys of messages by source uid; unknown uids are passed over."""

    def reflagged(old: Mapping[int, LedgerEntry], new: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
        keys = {entry.source_uid: entry.flags_key for entry in new}
        return {
            uid: entry._replace(flags_key=keys[uid]) if uid in keys else entry for uid, entry in old.items()
        }

    blank = bytes(16)
    _change(
        conn,
        mailbox_id,
        ordered(LedgerEntry(uid, 0, blank, key) for uid, key in flags_keys.items()),
        reflagged,
    )


def retarget(conn: Connection, mailbox_id: int, target_uids: Mapping[int, int]) -> None:
    """Set the target uids of messages by source uid, where the target numbered its mailbox anew."""

    def renumbered(old: Mapping[int, LedgerEntry], new: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
        uids = {entry.source_uid: entry.target_uid for entry in new}
        return {
            uid: entry._replace(target_uid=uids[uid]) if uid in uids else entry for uid, entry in old.items()
        }

    _change(
        conn,
        mailbox_id,
        ordered(LedgerEntry(uid, target, b"", b"") for uid, target in target_uids.items()),
        renumbered,
    )


def forget(conn: Connection, mailbox_id: int, source_uids: Collection[int]) -> None:
    """Remove the entries of messages that are gone from both sides; unknown uids are passed over."""

    def kept(old: Mapping[int, LedgerEntry], new: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
        gone = {entry.source_uid for entry in new}
        return {uid: entry for uid, entry in old.items() if uid not in gone}

    _change(conn, mailbox_id, ordered(LedgerEntry(uid, 0, b"", b"") for uid in source_uids), kept)


def rewrite(conn: Connection, mailbox_id: int, entries: Iterable[LedgerEntry]) -> None:
    """Put `entries` in place of the whole ledger: the source numbered its mailbox anew and was matched by digests."""
    conn.execute(delete(ledger_blocks).where(ledger_blocks.c.mailbox_id == mailbox_id))
    commit(conn, mailbox_id, entries)


_Merge = Callable[[Mapping[int, LedgerEntry], Sequence[LedgerEntry]], dict[int, LedgerEntry]]


def _change(
    conn: Connection,
    mailbox_id: int,
    wanted: Sequence[LedgerEntry],
    merge: _Merge,
    *,
    appends: bool = False,
) -> None:
    """Walk over the blocks that `wanted` (by source uid) touches and write what `merge` makes of each."""
    at = 0
    while at < len(wanted):
        block = _block_for(conn, mailbox_id, wanted[at].source_uid)
        stop = at
        while stop < len(wanted) and wanted[stop].source_uid < block.end:
            stop += 1
        uids = block.ledger.source_uids
        if appends and (not uids or uids[-1] < wanted[at].source_uid):
            block.ledger.append_all(wanted[at:stop])
            _write(conn, mailbox_id, block, block.ledger, Growth.END)
        else:
            _merge_into(conn, mailbox_id, block, wanted[at:stop], merge)
        at = stop


def _merge_into(
    conn: Connection, mailbox_id: int, block: _Block, wanted: Sequence[LedgerEntry], merge: _Merge
) -> None:
    before = list(block.ledger)
    after = ordered(merge({entry.source_uid: entry for entry in before}, wanted).values())
    if after != before:
        at_front = bool(after) and after[-len(before) :] == before
        _write(conn, mailbox_id, block, Ledger(after), Growth.FRONT if at_front else Growth.INSIDE)


def _block_for(conn: Connection, mailbox_id: int, uid: int) -> _Block:
    """Return the block in whose range `uid` lies; version 0 when none exists.

    The first block reaches down to zero, each block up to the next.
    """
    row = conn.execute(_AT_OR_BELOW, {"box": mailbox_id, "uid": uid}).first()
    if row is None:
        row = conn.execute(_FIRST, {"box": mailbox_id}).first()
    if row is None:
        return _Block(low_uid=uid, version=0, end=_BEYOND, ledger=Ledger())
    ledger = Ledger()
    ledger.extend(row.packed, row.entries)
    end = _BEYOND if row.following is None else row.following
    return _Block(low_uid=row.low_uid, version=row.version, end=end, ledger=ledger)


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
            conn.execute(_REPLACE, this | {f"new_{name}": value for name, value in rows.pop().items()})
            if len(rows) == 1
            else conn.execute(_REMOVE, this)
        )
        if not changed.rowcount:
            raise Conflict(f"another writer changed the ledger of mailbox {mailbox_id}")
    if rows:
        try:
            conn.execute(insert(ledger_blocks), rows)
        except IntegrityError as error:
            raise Conflict(f"another writer changed the ledger of mailbox {mailbox_id}") from error
