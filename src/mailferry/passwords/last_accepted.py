"""When a source last took the password that is recorded of an account: what its refusals are weighed with."""

from __future__ import annotations

from sqlalchemy import Connection

from mailferry.model.causes import CAUSES, Answer, Refused, RemoteFailure, Unavailable
from mailferry.plan.refusal_context import AT_ONCE_SECONDS, RefusalContext, cause_in_context
from mailferry.store import domain_refusals
from mailferry.store import passwords as rows
from mailferry.store.database import Database, db_now


def accepted_ago(conn: Connection, account_id: int) -> float | None:
    """Return the seconds since the source took the recorded password, None when it never did."""
    at = rows.get(conn, account_id).verified_at
    return None if at is None else max(db_now(conn) - at, 0.0)


async def refusal_of_recorded(
    database: Database, account_id: int, domain: str, refused: Refused
) -> RemoteFailure:
    """Return what to raise for a refusal of the account's recorded password, perhaps a temporary failure.

    While logins show that the source refuses the whole domain, no copy fails by it for good.
    """

    def look(conn: Connection) -> RefusalContext:
        of_domain = domain_refusals.lately(conn, domain, seconds=AT_ONCE_SECONDS)
        return RefusalContext(accepted_ago=accepted_ago(conn, account_id), good_refused=of_domain.count)

    context = await database.read("last accepted", look)
    cause = cause_in_context(refused.cause, context)
    if CAUSES[cause].answer is Answer.REFUSED and not context.shut_out:
        return refused
    return Unavailable(cause, refused.text, retry_after=refused.retry_after)
