"""When a source last took the password that is recorded of an account: what its refusals are weighed with."""

from __future__ import annotations

from sqlalchemy import Connection

from mailferry.model.causes import CAUSES, Answer, Cause, Refused, RemoteFailure, Unavailable
from mailferry.plan.refusal_context import RefusalContext, cause_in_context
from mailferry.store import passwords as rows
from mailferry.store.database import Database, db_now


def accepted_ago(conn: Connection, account_id: int) -> float | None:
    """Return the seconds since the source took the recorded password, None when it never did."""
    at = rows.get(conn, account_id).verified_at
    return None if at is None else max(db_now(conn) - at, 0.0)


async def refusal_of_recorded(database: Database, account_id: int, refused: Refused) -> RemoteFailure:
    """Return what to raise for a refusal of the account's recorded password, perhaps a temporary failure."""
    if refused.cause is not Cause.AMBIGUOUS_REFUSAL:
        return refused
    ago = await database.read("last accepted", lambda conn: accepted_ago(conn, account_id))
    cause = cause_in_context(refused.cause, RefusalContext(accepted_ago=ago))
    if CAUSES[cause].answer is Answer.REFUSED:
        return refused
    return Unavailable(cause, refused.text, retry_after=refused.retry_after)
