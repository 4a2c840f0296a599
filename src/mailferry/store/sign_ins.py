"""Who may sign in to the console: names with slow hashes of their passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from mailferry.store.database import db_now
from mailferry.store.schema import sign_ins
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class SignIn:
    """One console sign-in."""

    name: str
    verifier: str
    added_at: float


def put(conn: Connection, name: str, verifier: str, *, now: float | None = None) -> None:
    """Add a sign-in, or give the one of that name another password."""
    at = db_now(conn) if now is None else now
    conn.execute(
        upsert(conn, sign_ins)
        .values(name=name, verifier=verifier, added_at=at)
        .on_conflict_do_update(index_elements=["name"], set_={"verifier": verifier})
    )


def find(conn: Connection, name: str) -> SignIn | None:
    """Return the sign-in of that name, or None."""
    row = conn.execute(select(sign_ins).where(sign_ins.c.name == name)).mappings().first()
    return None if row is None else SignIn(**row)


def listing(conn: Connection) -> Sequence[SignIn]:
    """Return all sign-ins by name."""
    return [SignIn(**row) for row in conn.execute(select(sign_ins).order_by(sign_ins.c.name)).mappings()]


def remove(conn: Connection, name: str) -> bool:
    """Remove a sign-in; return whether it was there."""
    return bool(conn.execute(delete(sign_ins).where(sign_ins.c.name == name)).rowcount)
