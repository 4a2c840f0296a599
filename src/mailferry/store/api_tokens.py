"""Tokens of programs that use the API: the digest of each, what it is for, and until when it is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailferry.store.database import db_now
from mailferry.store.faults import AlreadyThere
from mailferry.store.schema import api_tokens


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token. `scopes` is a list with commas between; `domain` None is all domains. Times in seconds since 1970."""

    id: int
    name: str
    digest: bytes
    scopes: str
    domain: str | None
    added_by: str
    added_at: float
    expires_at: float | None
    used_at: float | None


def add(
    conn: Connection,
    name: str,
    digest: bytes,
    *,
    scopes: str,
    domain: str | None,
    added_by: str,
    expires_at: float | None,
    now: float | None = None,
) -> None:
    """Add a token; raises AlreadyThere for a name that is taken."""
    at = db_now(conn) if now is None else now
    values = {
        "name": name,
        "digest": digest,
        "scopes": scopes,
        "domain": domain,
        "added_by": added_by,
        "added_at": at,
        "expires_at": expires_at,
    }
    try:
        with conn.begin_nested():
            conn.execute(insert(api_tokens).values(values))
    except IntegrityError:
        raise AlreadyThere(f"token {name} is there already") from None


def by_digest(conn: Connection, digest: bytes) -> ApiToken | None:
    """Return the token of that digest, expired or not; None when there is none."""
    row = conn.execute(select(api_tokens).where(api_tokens.c.digest == digest)).mappings().first()
    return None if row is None else ApiToken(**row)


def listing(conn: Connection) -> Sequence[ApiToken]:
    """Return all tokens by name."""
    rows = conn.execute(select(api_tokens).order_by(api_tokens.c.name)).mappings()
    return [ApiToken(**row) for row in rows]


def used(conn: Connection, token_id: int, *, at: float) -> None:
    """Note when a token was last used."""
    conn.execute(update(api_tokens).where(api_tokens.c.id == token_id).values(used_at=at))


def remove(conn: Connection, name: str) -> bool:
    """Remove a token; return whether it was there."""
    return bool(conn.execute(delete(api_tokens).where(api_tokens.c.name == name)).rowcount)
