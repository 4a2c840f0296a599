"""Who did what, and when: one row for each thing that an administrator changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select

from mailferry.store.database import db_now
from mailferry.store.schema import audit


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change. `what` is a verb with its object such as `account.retry`, `subject` an address or a domain."""

    id: int
    at: float
    who: str
    what: str
    subject: str
    detail: str | None


def write(
    conn: Connection,
    *,
    who: str,
    what: str,
    subject: str,
    detail: str | None = None,
    now: float | None = None,
) -> None:
    """Add a row, in the transaction of the change itself."""
    at = db_now(conn) if now is None else now
    conn.execute(insert(audit).values(at=at, who=who, what=what, subject=subject, detail=detail))


def listing(
    conn: Connection,
    *,
    subject: str | None = None,
    by: str | None = None,
    before: int | None = None,
    within: frozenset[str] | None = None,
    limit: int = 100,
) -> Sequence[AuditRow]:
    """Return rows newest first, those below the id `before`; `by` is a part of a name; with `within` those of these domains' subjects."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if by is not None:
        query = query.where(audit.c.who.contains(by, autoescape=True))
    if before is not None:
        query = query.where(audit.c.id < before)
    if within is not None:
        accounts = (audit.c.subject.endswith(f"@{domain}", autoescape=True) for domain in sorted(within))
        query = query.where(or_(audit.c.subject.in_(sorted(within)), *accounts))
    return [AuditRow(**row) for row in conn.execute(query).mappings()]
