"""The whole move at a glance: counts, sums, rates over time, processes, and the audit log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from mailferry.roster.lookup import domain_at
from mailferry.roster.moments import moment
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import account_listing, audit, leases, nodes, samples
from mailferry.store.database import Database, db_now
from mailferry.store.nodes import SILENT_AFTER

_RATE_SECONDS = 600.0
_MOST_POINTS = 500


def overview(
    database: Database, domain: str | None = None, *, within: frozenset[str] | None = None
) -> dict[str, Any]:
    """Return counts by state and cause, sums of messages and bytes, the present rate and the time left.

    Of one domain, or of all; `within` names the domains that the asker may see.
    """

    def read(conn: Connection) -> dict[str, Any]:
        name = None if domain is None else domain_at(conn, domain).name
        now = db_now(conn)
        sums = account_listing.totals(conn, name, within)
        recent = samples.series(conn, since=now - _RATE_SECONDS, until=now + 60, domain=name, within=within)
        rate = sum(sample.messages for sample in recent) / _RATE_SECONDS
        left = max(0, sums.messages - sums.copied - sums.skipped)
        return {
            "domain": name,
            "at": moment(now),
            "accounts": {
                state.value: number
                for state, number in account_listing.counts_by_state(conn, name, within).items()
            },
            "causes": {
                cause.value: number
                for cause, number in account_listing.counts_by_cause(conn, name, within).items()
            },
            "messages": {
                "total": sums.messages,
                "copied": sums.copied,
                "remaining": left,
                "skipped": sums.skipped,
            },
            "bytes": {"total": sums.bytes_total, "copied": sums.bytes_copied},
            "messages_per_second": round(rate, 2),
            "eta_seconds": round(left / rate) if rate > 0 and left else None,
            "queue": leases.queue_length(conn, within=within),
        }

    return database.read_now("overview", read)


def series(
    database: Database,
    *,
    hours: float = 24.0,
    domain: str | None = None,
    within: frozenset[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what happened in the last hours, in at most 500 even steps of whole minutes."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        name = None if domain is None else domain_at(conn, domain).name
        now = db_now(conn)
        step = max(1, round(hours * 60 / _MOST_POINTS))
        found = samples.series(
            conn, since=now - hours * 3600, until=now + 60, domain=name, within=within, step=step
        )
        return [
            {
                "at": moment(sample.at),
                "minutes": step,
                "messages": sample.messages,
                "bytes": sample.octets,
                "late": sample.late,
                "skipped": sample.skipped,
                "logins": sample.logins,
            }
            for sample in found
        ]

    return database.read_now("series", read)


def audit_log(
    database: Database,
    *,
    subject: str | None = None,
    by: str | None = None,
    before: int | None = None,
    within: frozenset[str] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return who did what, newest first, those below the id `before`; `within` leaves out other domains' rows."""
    rows = database.read_now(
        "audit",
        lambda conn: audit.listing(conn, subject=subject, by=by, before=before, within=within, limit=limit),
    )
    return [
        {
            "id": row.id,
            "at": moment(row.at),
            "who": row.who,
            "what": row.what,
            "subject": row.subject,
            "detail": row.detail,
        }
        for row in rows
    ]


def processes(database: Database) -> list[dict[str, Any]]:
    """Return our processes on all machines; a silent one holds up the flips of accounts with sessions there."""

    def read(conn: Connection) -> list[dict[str, Any]]:
        now = db_now(conn)
        return [
            {
                "id": node.id,
                "role": node.role,
                "host": node.host,
                "pid": node.pid,
                "started_at": moment(node.started_at),
                "renewed_at": moment(node.renewed_at),
                "silent": node.renewed_at < now - SILENT_AFTER,
            }
            for node in nodes.listing(conn)
        ]

    return database.read_now("processes", read)


def declare_dead(database: Database, node_id: int, *, who: str) -> None:
    """Void a silent process that is known to be dead: its sessions no longer hold up any flip. Safe to repeat.

    Raises RosterRefusal for one that is not silent: its sessions are open, and both sides would be.
    """

    def write(conn: Connection) -> None:
        now = db_now(conn)
        if any(node.id == node_id and node.renewed_at >= now - SILENT_AFTER for node in nodes.listing(conn)):
            raise RosterRefusal(
                f"process {node_id} is alive; end it, and declare it dead when it has been silent for "
                f"{SILENT_AFTER:g} seconds"
            )
        nodes.void(conn, node_id)
        audit.write(conn, who=who, what="process.declare-dead", subject=str(node_id))

    database.run_now("declare dead", write)
