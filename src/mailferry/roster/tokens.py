"""Tokens for programs: made once and shown once, known here by a digest alone, each for a purpose.

A token is 256 random bits, so its digest needs no slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from mailferry.model.access import Secret
from mailferry.roster.lookup import domain_at
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.rights import AdminRole, Rights, check_name
from mailferry.store import api_tokens as rows
from mailferry.store import audit
from mailferry.store.api_tokens import ApiToken
from mailferry.store.database import Database, db_now
from mailferry.store.faults import AlreadyThere, StoreUnavailable

PREFIX = "mailferry_"
"""Of every token, so that people and scanners of leaked secrets know one."""

USED_SECONDS = 3600.0
"""How exactly the last use is known: a request is no reason to write each time."""

LONGEST_DAYS = 3650
_RANDOM_OCTETS = 32
_SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_DAY = 86400.0


class Scope(StrEnum):
    """What a token is for."""

    READ = "read"
    WRITE = "write"
    """Reading as well."""
    LOGIN = "login"
    """Asking whether a user's password is right, for a webmail's own login code; nothing else."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who came with a good token."""

    token_id: int
    rights: Rights
    scopes: frozenset[Scope]


def add(
    database: Database,
    name: str,
    scopes: Collection[Scope],
    *,
    domain: str | None = None,
    days: int | None = None,
    who: str,
) -> Secret:
    """Make a token and return it, for the only time; raises RosterRefusal. `days` None never expires."""
    check_name("token", name)
    if not scopes:
        raise RosterRefusal("a token needs a scope: read, write or login")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise RosterRefusal(f"a token is good for 1 to {LONGEST_DAYS} days")
    text = PREFIX + secrets.token_urlsafe(_RANDOM_OCTETS)
    words = ",".join(sorted(set(scopes)))

    def write(conn: Connection) -> None:
        now = db_now(conn)
        of = None if domain is None else domain_at(conn, domain).name
        until = None if days is None else now + days * _DAY
        try:
            rows.add(
                conn, name, _digest(text), scopes=words, domain=of, added_by=who, expires_at=until, now=now
            )
        except AlreadyThere:
            raise RosterRefusal(f"there is a token {name} already; remove it first") from None
        detail = f"{words} for {of or 'all domains'}, until {moment(until) or 'removed'}"
        audit.write(conn, who=who, what="token.add", subject=name, detail=detail)

    database.run_now("token add", write)
    return Secret(text.encode())


def listing(database: Database) -> list[dict[str, Any]]:
    """Return all tokens by name; nothing from which one could be made."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        now = db_now(conn)
        return [
            {
                "name": token.name,
                "scopes": token.scopes.split(","),
                "domain": token.domain,
                "added_by": token.added_by,
                "added_at": moment(token.added_at),
                "expires_at": moment(token.expires_at),
                "expired": _expired(token, now),
                "used_at": moment(token.used_at),
            }
            for token in rows.listing(conn)
        ]

    return database.read_now("tokens", read)


def remove(database: Database, name: str, *, who: str) -> None:
    """Remove a token; it is no good from the next request on. Raises RosterRefusal when there is none."""

    def write(conn: Connection) -> None:
        if not rows.remove(conn, name):
            raise RosterRefusal(f"there is no token {name}")
        audit.write(conn, who=who, what="token.remove", subject=name)

    database.run_now("token remove", write)


def bearer(database: Database, given: Secret) -> Bearer | None:
    """Return who comes with the token `given`; None for one that is unknown, expired or of another shape."""
    text = given.reveal().decode("ascii", "replace")
    if not _SHAPE.fullmatch(text):
        return None
    digest = _digest(text)

    def read(conn: Connection) -> tuple[ApiToken | None, float]:
        return rows.by_digest(conn, digest), db_now(conn)

    token, now = database.read_now("token", read)
    if token is None or not hmac.compare_digest(token.digest, digest) or _expired(token, now):
        return None
    if token.used_at is None or now - token.used_at >= USED_SECONDS:
        _note_use(database, token, now)
    return _bearer(token)


def _note_use(database: Database, token: ApiToken, now: float) -> None:
    try:
        database.run_now("token used", lambda conn: rows.used(conn, token.id, at=now))
    except StoreUnavailable:
        pass  # a full disk does not keep anybody from reading how things stand


def _bearer(token: ApiToken) -> Bearer:
    scopes = frozenset(Scope(word) for word in token.scopes.split(","))
    if Scope.WRITE in scopes:
        scopes |= {Scope.READ}
        role = AdminRole.OWNER if token.domain is None else AdminRole.DOMAIN_ADMIN
    else:
        role = AdminRole.READER if token.domain is None else AdminRole.DOMAIN_READER
    domains = None if token.domain is None else frozenset({token.domain})
    return Bearer(token.id, Rights(token.name, f"api:{token.name}", role, domains), scopes)


def _expired(token: ApiToken, now: float) -> bool:
    return token.expires_at is not None and token.expires_at <= now


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
