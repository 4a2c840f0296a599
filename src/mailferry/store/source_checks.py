"""What a source did when a made-up password was tried on it, by domain and protocol.

A source that takes any password proves nothing, so nothing may be set at the target on its word: its
domain is blocked until the same server was seen to refuse. A check is about one server; when the
domain names another one the check says nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from mailferry.model.access import Protocol
from mailferry.store.database import db_now
from mailferry.store.schema import domains, source_checks
from mailferry.store.upsert import upsert


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """The last check of one protocol's server."""

    protocol: Protocol
    server: str
    """The address as the domain named it then."""
    at: float
    refuses: bool
    """Whether a made-up password was refused."""
    variants: tuple[str, ...] | None = None
    """Which altered forms of a real password it took (`longer`, `case`, `blank`); None: nobody looked."""


def note(
    conn: Connection,
    domain: str,
    protocol: Protocol,
    server: str,
    *,
    refuses: bool,
    variants: Sequence[str] | None = None,
    now: float | None = None,
) -> None:
    """Record a check; the domain is blocked or unblocked with it. Variants stay when nobody looked again."""
    values: dict[str, Any] = {
        "server": server,
        "at": db_now(conn) if now is None else now,
        "refuses": refuses,
    }
    if variants is not None:
        values["variants"] = " ".join(variants)
    conn.execute(
        upsert(conn, source_checks)
        .values(domain=domain, protocol=protocol.value, **values)
        .on_conflict_do_update(index_elements=["domain", "protocol"], set_=values)
    )
    reckon_block(conn, domain)


def reckon_block(conn: Connection, domain: str) -> None:
    """Block the domain if a check of one of its present servers failed; lift the block if none did."""
    row = conn.execute(select(domains).where(domains.c.name == domain)).first()
    if row is None:
        return
    failed = [check.at for check in current(conn, domain) if not check.refuses]
    blocked = min(failed, default=None)
    if (blocked is None) != (row.source_blocked_at is None):
        conn.execute(update(domains).where(domains.c.name == domain).values(source_blocked_at=blocked))


def current(conn: Connection, domain: str) -> Sequence[SourceCheck]:
    """Return the checks of the servers that the domain names now, IMAP before POP3."""
    query = (
        select(source_checks, domains.c.source_imap, domains.c.source_pop3)
        .join(domains, domains.c.name == source_checks.c.domain)
        .where(source_checks.c.domain == domain)
        .order_by(source_checks.c.protocol)
    )
    found = []
    for row in conn.execute(query):
        protocol = Protocol(row.protocol)
        named = row.source_imap if protocol is Protocol.IMAP else row.source_pop3
        if row.server == named:
            variants = None if row.variants is None else tuple(row.variants.split())
            found.append(SourceCheck(protocol, row.server, row.at, row.refuses, variants))
    return found
