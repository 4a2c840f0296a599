"""What POP3 showed at the source and what stands for it at the target, so that no client downloads anew.

*Facts* are what was learnt of single messages of one maildrop, so that it is learnt once, in packed
blocks; the *map* is the source's list in its order, each row with its target UIDL once that is known.
Whoever writes holds the lease on the account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select

from mailferry.store.schema_copy import uidl_blocks, uidl_maps
from mailferry.store.uidl_packing import Packer, Unpacker

BLOCK_FACTS = 1000


class FactsOf(StrEnum):
    """Whose numbers the facts name."""

    SOURCE = "source"
    """UIDs of the source's INBOX; numbers of our own where the source has POP3 only."""
    TARGET = "target"
    """UIDs of the target's INBOX."""
    HIDDEN = "hidden"
    """Numbers of our own for messages that the source shows over POP3 alone."""


@dataclass(frozen=True, slots=True)
class UidlFact:
    """One message as POP3 shows it; `uid` is its number where that is known, `size` what LIST said.

    `uidl` is the name by which it is known again: the UIDL, or what stands for one. `digest` is kept
    while it is needed to find the message elsewhere.
    """

    uidl: bytes
    digest: bytes
    uid: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class MappedUidl:
    """One row of the map.

    `target_uidl` is None while (or because) nothing at the target stands for the source's message;
    `source_uidl` is None for a target message that the source's POP3 never showed and that stays hidden.
    """

    source_uidl: bytes | None
    target_uidl: bytes | None = None


@dataclass(frozen=True, slots=True)
class PackedMap:
    """A whole map as it is stored."""

    entries: int
    packed: bytes


def facts(conn: Connection, account_id: int, of: FactsOf) -> list[UidlFact]:
    """Return what is known of the messages, in the order in which they were learnt."""
    return [fact for block in _blocks(conn, account_id, of).values() for fact in block]


def learn(conn: Connection, account_id: int, of: FactsOf, learnt: Iterable[UidlFact]) -> None:
    """Add facts, in place of earlier ones for the same name."""
    fresh = {fact.uidl: fact for fact in learnt}
    if not fresh:
        return
    blocks = _blocks(conn, account_id, of)
    changed: dict[int, list[UidlFact]] = {}
    for number, block in blocks.items():
        if any(fact.uidl in fresh for fact in block):
            blocks[number] = changed[number] = [fresh.pop(fact.uidl, fact) for fact in block]
    number = max(blocks, default=0)
    for fact in fresh.values():
        if len(changed.setdefault(number, blocks.get(number, []))) >= BLOCK_FACTS:
            number += 1
            changed[number] = []
        changed[number].append(fact)
    _write(conn, account_id, of, changed)


def forget(conn: Connection, account_id: int, of: FactsOf, gone: Collection[bytes]) -> None:
    """Drop facts of messages that are no longer shown."""
    if not gone:
        return
    names = frozenset(gone)
    changed = {
        number: [fact for fact in block if fact.uidl not in names]
        for number, block in _blocks(conn, account_id, of).items()
        if any(fact.uidl in names for fact in block)
    }
    _write(conn, account_id, of, changed)


def _blocks(conn: Connection, account_id: int, of: FactsOf) -> dict[int, list[UidlFact]]:
    rows = conn.execute(
        select(uidl_blocks.c.block, uidl_blocks.c.entries, uidl_blocks.c.packed)
        .where(uidl_blocks.c.account_id == account_id, uidl_blocks.c.kind == of.value)
        .order_by(uidl_blocks.c.block)
    )
    return {number: _unpacked_facts(packed, entries) for number, entries, packed in rows}


def _write(conn: Connection, account_id: int, of: FactsOf, blocks: Mapping[int, Sequence[UidlFact]]) -> None:
    if not blocks:
        return
    place = {"account_id": account_id, "kind": of.value}
    conn.execute(
        delete(uidl_blocks).where(
            uidl_blocks.c.account_id == account_id,
            uidl_blocks.c.kind == of.value,
            uidl_blocks.c.block.in_(list(blocks)),
        )
    )
    rows = [
        {**place, "block": number, "entries": len(block), "packed": _packed_facts(block)}
        for number, block in blocks.items()
        if block
    ]
    if rows:
        conn.execute(insert(uidl_blocks), rows)


def _packed_facts(block: Sequence[UidlFact]) -> bytes:
    packer = Packer()
    packer.names([fact.uidl for fact in block])
    packer.octets([fact.digest for fact in block])
    packer.numbers([fact.uid for fact in block])
    packer.numbers([fact.size for fact in block])
    return packer.packed()


def _unpacked_facts(packed: bytes, entries: int) -> list[UidlFact]:
    unpacker = Unpacker(packed, entries)
    columns = unpacker.names(), unpacker.octets(), unpacker.numbers(), unpacker.numbers()
    return [UidlFact(*row) for row in zip(*columns, strict=True)]


def pack_map(rows: Sequence[MappedUidl]) -> PackedMap:
    """Pack a map; raises ValueError when a UIDL of one side stands in it twice or a row has neither.

    Takes a moment for a large one: not inside a transaction that others wait for.
    """
    sources = [row.source_uidl for row in rows if row.source_uidl is not None]
    targets = [row.target_uidl for row in rows if row.target_uidl is not None]
    if len(set(sources)) < len(sources) or len(set(targets)) < len(targets):
        raise ValueError("the UIDLs of a map are unique on each side")
    if any(row.source_uidl is None and row.target_uidl is None for row in rows):
        raise ValueError("a row of a map has at least one side: check what drew it")
    packer = Packer()
    packer.numbers([row.source_uidl is not None for row in rows])
    packer.numbers([row.target_uidl is not None for row in rows])
    head = packer.packed()
    parts = [len(head).to_bytes(4, "little"), head]
    for names in (sources, targets):
        packer = Packer()
        packer.names(names)
        column = packer.packed()
        parts += [len(column).to_bytes(4, "little"), column]
    return PackedMap(len(rows), b"".join(parts))


def unpack_map(packed: PackedMap) -> list[MappedUidl]:
    """Return the rows of a packed map."""
    parts, at = [], 0
    while at < len(packed.packed):
        end = at + 4 + int.from_bytes(packed.packed[at : at + 4], "little")
        parts.append(packed.packed[at + 4 : end])
        at = end
    present = Unpacker(parts[0], packed.entries)
    has_source, has_target = present.numbers(), present.numbers()
    sources = iter(Unpacker(parts[1], sum(map(bool, has_source))).names())
    targets = iter(Unpacker(parts[2], sum(map(bool, has_target))).names())
    return [
        MappedUidl(next(sources) if source else None, next(targets) if target else None)
        for source, target in zip(has_source, has_target, strict=True)
    ]


def save_map(conn: Connection, account_id: int, new: PackedMap) -> None:
    """Put a map in place of the account's whole map; an empty one leaves it without."""
    conn.execute(delete(uidl_maps).where(uidl_maps.c.account_id == account_id))
    if new.entries:
        conn.execute(insert(uidl_maps).values(account_id=account_id, entries=new.entries, packed=new.packed))


def packed_map(conn: Connection, account_id: int) -> PackedMap:
    """Return the account's map as it is stored, an empty one when there is none."""
    row = conn.execute(
        select(uidl_maps.c.entries, uidl_maps.c.packed).where(uidl_maps.c.account_id == account_id)
    ).first()
    return pack_map([]) if row is None else PackedMap(row.entries, row.packed)


def load_map(conn: Connection, account_id: int) -> Sequence[MappedUidl]:
    """Return the account's map in the order of the source's list; empty when there is none."""
    return unpack_map(packed_map(conn, account_id))


def has_map(conn: Connection, account_id: int) -> bool:
    """Whether the account has a map, so that its POP3 sessions need the tap."""
    found = conn.execute(select(uidl_maps.c.entries).where(uidl_maps.c.account_id == account_id))
    return found.first() is not None
