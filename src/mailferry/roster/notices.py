"""What users and administrators were told, or are to be told: for those who look after the move."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from mailferry.model.causes import Cause
from mailferry.roster.lookup import account_at, domain_at
from mailferry.roster.moments import moment
from mailferry.store import notices
from mailferry.store.database import Database
from mailferry.store.notices import Audience, Notice, Standing


def listing(
    database: Database,
    *,
    domain: str | None = None,
    address: str | None = None,
    to: Audience | None = None,
    standing: Standing | None = None,
    before: int | None = None,
    within: frozenset[str] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return notices newest first, those below the id `before`; `within` leaves out other domains' ones.

    Raises NoSuchDomain and NoSuchAccount for names that are not there.
    """

    def read(conn: Connection) -> list[dict[str, Any]]:
        found = notices.listing(
            conn,
            domain=None if domain is None else domain_at(conn, domain).name,
            account_id=None if address is None else account_at(conn, address).id,
            audience=to,
            standing=standing,
            before=before,
            within=within,
            limit=limit,
        )
        return [_row(notice, named) for notice, named in found]

    return database.read_now("notices", read)


def _row(notice: Notice, address: str | None) -> dict[str, Any]:
    return {
        "id": notice.id,
        "domain": notice.domain,
        "address": address,
        "to": notice.audience.value,
        "kind": notice.kind,
        "cause": _cause(notice),
        "state": notice.standing.value,
        "made_at": moment(notice.made_at),
        "due_at": moment(notice.due_at),
        "sent_at": moment(notice.sent_at),
        "tries": notice.tries,
    }


def _cause(notice: Notice) -> str | None:
    """Return the cause that a notice of failed accounts names behind whom it is about."""
    word = notice.subject.rpartition("/")[2]
    return word if word in set(Cause) else None
