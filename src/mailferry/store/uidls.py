"""What POP3 showed at the source and what stands for it at the target, so that no client downloads anew.

*Facts* are what was learnt of single messages on either side (a digest, so that it is learnt once);
the *map* is the source's list in its order, each row with its target UIDL once that is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mailferry.model.access import Side
from mailferry.store.schema import uidl_facts, uidl_map

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class UidlFact:
    """One message as POP3 shows it on one side; `uid` is its IMAP uid where that is known."""

    uidl: bytes
    digest: bytes
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class MappedUidl:
    """One row of the map, in the order of `position`.

    `target_uidl` is None while (or because) nothing at the target stands for the source's message;
    `source_uidl` is None for a target message that the source's POP3 never showed and that stays hidden.
    """

    source_uidl: bytes | None
    position: int
    target_uidl: bytes | None = None


def facts(conn: Connection, account_id: int, side: Side) -> Sequence[UidlFact]:
    """Return what is known of the messages on one side."""
    rows = conn.execute(
        select(uidl_facts.c.uidl, uidl_facts.c.digest, uidl_facts.c.uid).where(
            uidl_facts.c.account_id == account_id, uidl_facts.c.side == side.value
        )
    )
    return [UidlFact(uidl=row.uidl, digest=row.digest, uid=row.uid) for row in rows]


def learn(conn: Connection, account_id: int, side: Side, learnt: Iterable[UidlFact]) -> None:
    """Add facts, in place of earlier ones for the same UIDL."""
    make = sqlite_insert if conn.dialect.name == "sqlite" else postgresql_insert
    statement = make(uidl_facts)
    statement = statement.on_conflict_do_update(
        index_elements=["account_id", "side", "uidl"],
        set_={"digest": statement.excluded.digest, "uid": statement.excluded.uid},
    )
    rows = [
        {
            "account_id": account_id,
            "side": side.value,
            "uidl": fact.uidl,
            "digest": fact.digest,
            "uid": fact.uid,
        }
        for fact in learnt
    ]
    if rows:
        conn.execute(statement, rows)


def forget(conn: Connection, account_id: int, side: Side, gone: Collection[bytes]) -> None:
    """Drop facts of messages that are no longer shown."""
    names = list(gone)
    for at in range(0, len(names), _AT_ONCE):
        conn.execute(
            delete(uidl_facts).where(
                uidl_facts.c.account_id == account_id,
                uidl_facts.c.side == side.value,
                uidl_facts.c.uidl.in_(names[at : at + _AT_ONCE]),
            )
        )


def save_map(conn: Connection, account_id: int, rows: Iterable[MappedUidl]) -> None:
    """Put `rows` in place of the account's whole map; no UIDL twice."""
    conn.execute(delete(uidl_map).where(uidl_map.c.account_id == account_id))
    values = [
        {
            "account_id": account_id,
            "source_uidl": row.source_uidl,
            "position": row.position,
            "target_uidl": row.target_uidl,
        }
        for row in rows
    ]
    if values:
        conn.execute(insert(uidl_map), values)


def pair(conn: Connection, account_id: int, source_uidl: bytes, target_uidl: bytes | None) -> None:
    """Set what stands at the target for one row of the map."""
    conn.execute(
        update(uidl_map)
        .where(uidl_map.c.account_id == account_id, uidl_map.c.source_uidl == source_uidl)
        .values(target_uidl=target_uidl)
    )


def load_map(conn: Connection, account_id: int) -> Sequence[MappedUidl]:
    """Return the account's map in the order of the source's list; empty when there is none."""
    rows = conn.execute(
        select(uidl_map.c.source_uidl, uidl_map.c.position, uidl_map.c.target_uidl)
        .where(uidl_map.c.account_id == account_id)
        .order_by(uidl_map.c.position, uidl_map.c.id)
    )
    return [
        MappedUidl(source_uidl=row.source_uidl, position=row.position, target_uidl=row.target_uidl)
        for row in rows
    ]


def has_map(conn: Connection, account_id: int) -> bool:
    """Whether the account has a map, so that its POP3 sessions need the tap."""
    return (
        conn.execute(select(uidl_map.c.position).where(uidl_map.c.account_id == account_id).limit(1)).first()
        is not None
    )
