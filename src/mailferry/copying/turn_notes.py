"""What a turn writes down of its account: results, why it waits, failures."""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlalchemy import Connection

from mailferry.copying.results import PassRequest, PassResult, Waits
from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.observe.log import Log
from mailferry.plan.retry import Disposition, after_failure, events_after_failure
from mailferry.store import accounts, leases, samples
from mailferry.store.accounts import Account, AccountChanges
from mailferry.store.database import Database, db_now
from mailferry.store.leases import Lease

WAITS = "waits"
"""The result of a run that goes on later, though nothing failed."""


class TurnNotes:
    """The hand of one turn in its account's row. `lease` tells the lease as renewed."""

    def __init__(self, database: Database, domain: str, lease: Callable[[], Lease], log: Log) -> None:
        self._database = database
        self._domain = domain
        self._lease = lease
        self._log = log

    async def passed(self, account: Account, request: PassRequest, result: PassResult) -> None:
        """Note what a pass did and saw."""
        self._log.info(
            "pass",
            mode=request.mode.value,
            last=request.last,
            total=result.total,
            copied=result.copied,
            deleted=result.deleted,
            reflagged=result.reflagged,
            skipped=result.skipped,
            remaining=result.remaining,
            seconds=round(result.seconds, 2),
            **({"cause": result.cause.value, "why": result.cause_text} if result.cause else {}),
            **({"waits": result.waits.why} if result.waits else {}),
        )
        account_id, domain = account.id, self._domain

        def note(conn: Connection) -> None:
            leases.hold(conn, self._lease())
            if result.cause is None and result.mailboxes:
                _note_counts(conn, account_id, result)
            if request.approved and (result.deleted or result.stayed or result.held):
                accounts.note(conn, account_id, approved_at=None)  # the next deletions ask again
            if result.copied or result.skipped:
                samples.add(
                    conn, domain, messages=result.copied, octets=result.octets, skipped=result.skipped
                )

        await self._database.run("note pass", note)

    async def completeness(self, account: Account, grade: str) -> None:
        """Note how complete the source seems, when that was found out behind the pass."""
        if grade != account.completeness:
            await self._database.run(
                "completeness", lambda conn: accounts.note(conn, account.id, completeness=grade)
            )

    async def waiting(self, account: Account, cause: Cause, text: str) -> None:
        """Note what keeps an account from its cutover."""
        await self._database.run(
            "waits", lambda conn: accounts.note(conn, account.id, cause=cause, cause_text=text)
        )
        self._log.info("waits before its cutover", cause=cause.value, why=text)

    async def paused(self, account: Account, waits: Waits) -> float:
        """Note that the copy goes on later, though nothing failed; return the seconds until then."""

        def note(conn: Connection) -> None:
            leases.hold(conn, self._lease())
            at = db_now(conn) + waits.seconds
            accounts.note(
                conn, account.id, last_result=WAITS, cause=None, cause_text=waits.why, next_retry_at=at
            )

        await self._database.run("waits", note)
        self._log.info("goes on later", why=waits.why, seconds=round(waits.seconds))
        return waits.seconds

    async def put_off(self, account: Account, seconds: float) -> None:
        """Note when a failed account is tried again, whose try met something that it had to wait for."""

        def note(conn: Connection) -> None:
            leases.hold(conn, self._lease())
            accounts.note(conn, account.id, next_retry_at=db_now(conn) + seconds)

        await self._database.run("put off", note)

    async def failed(
        self, account: Account, cause: Cause, text: str, retry_after: float | None
    ) -> float | None:
        """Note a failed turn; return the seconds to the next.

        The account counts as failed once nobody may expect it to heal by itself.
        """
        failures = account.failed_runs + 1
        since = account.last_run_ended_at or account.started_at
        now = await self._database.read("now", db_now)
        disposition = after_failure(
            cause,
            failures=failures,
            failing_seconds=0.0 if since is None or failures == 1 else max(now - since, 0.0),
            named_delay=retry_after,
            spread=random.random(),  # noqa: S311 - spreads load, protects nothing
        )

        def note(conn: Connection) -> None:
            held = leases.hold(conn, self._lease())
            _note_failure(conn, held, cause, text, failures, disposition, now)

        await self._database.run("failed", note)
        return disposition.delay


def _note_counts(conn: Connection, account_id: int, result: PassResult) -> None:
    skipped = result.skipped + result.known_skips
    octets = result.total_octets - result.remaining_octets - result.skipped_octets
    accounts.note(
        conn,
        account_id,
        total=result.total,
        copied=max(result.total - result.remaining - skipped, 0),
        skipped=skipped,
        bytes_total=result.total_octets,
        bytes_copied=max(octets, 0),
        completeness=result.completeness.grade.value,
        last_result="done" if result.clean else "more",
        last_run_ended_at=db_now(conn),
        failed_runs=0,
        cause=None,
        cause_text=None,
        next_retry_at=None,
    )


def _note_failure(
    conn: Connection,
    held: Account,
    cause: Cause,
    text: str,
    failures: int,
    disposition: Disposition,
    now: float,
) -> None:
    retry_at = None if disposition.delay is None else now + disposition.delay
    shown: AccountChanges = {
        "cause": cause,
        "cause_text": text,
        "next_retry_at": retry_at,
        "next_due_at": retry_at,
    }
    accounts.note(conn, held.id, failed_runs=failures, last_result="failed")
    accounts.note(conn, held.id, **shown)
    epoch = held.epoch
    for event in events_after_failure(held.phase, held.cause, cause, failed=disposition.failed):
        changes = shown if event is Event.GAVE_UP else {}
        epoch = accounts.apply(conn, held.id, event, epoch=epoch, **changes).epoch
