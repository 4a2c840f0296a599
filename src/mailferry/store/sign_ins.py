"""Who may sign in to the console: names with slow hashes of their passwords."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, insert, select

from mailferry.store.database import db_now
from mailferry.store.schema import sign_in_domains, sign_ins
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class SignIn:
    """One console sign-in. What its role means, and whether its domains count, is not the store's to know."""

    name: str
    verifier: str
    added_at: float
    role: str = "owner"
    domains: tuple[str, ...] = ()


def put(
    conn: Connection,
    name: str,
    verifier: str,
    *,
    role: str | None = None,
    domains: Iterable[str] = (),
    now: float | None = None,
) -> None:
    """Add a sign-in, or give the one of that name another password.

    Without `role` one that is there keeps its role and domains, and a new one is an owner.
    """
    at = db_now(conn) if now is None else now
    given = {} if role is None else {"role": role}
    conn.execute(
        upsert(conn, sign_ins)
        .values(name=name, verifier=verifier, added_at=at, **given)
        .on_conflict_do_update(index_elements=["name"], set_={"verifier": verifier, **given})
    )
    if role is None:
        return
    conn.execute(delete(sign_in_domains).where(sign_in_domains.c.name == name))
    rows = [{"name": name, "domain": domain} for domain in sorted(set(domains))]
    if rows:
        conn.execute(insert(sign_in_domains), rows)


def find(conn: Connection, name: str) -> SignIn | None:
    """Return the sign-in of that name, or None."""
    found = _read(conn, select(sign_ins).where(sign_ins.c.name == name))
    return found[0] if found else None


def listing(conn: Connection) -> Sequence[SignIn]:
    """Return all sign-ins by name."""
    return _read(conn, select(sign_ins).order_by(sign_ins.c.name))


def remove(conn: Connection, name: str) -> bool:
    """Remove a sign-in; return whether it was there."""
    return bool(conn.execute(delete(sign_ins).where(sign_ins.c.name == name)).rowcount)


def _read(conn: Connection, query: Select[tuple[str]]) -> list[SignIn]:
    rows = list(conn.execute(query).mappings())
    named = [row["name"] for row in rows]
    domains: dict[str, list[str]] = {name: [] for name in named}
    mine = select(sign_in_domains).where(sign_in_domains.c.name.in_(named))
    for row in conn.execute(mine.order_by(sign_in_domains.c.domain)).mappings():
        domains[row["name"]].append(row["domain"])
    return [SignIn(**row, domains=tuple(domains[row["name"]])) for row in rows]
