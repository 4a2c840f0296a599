"""Database errors sorted by what must happen next, each as one line that says what to do."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mailferry.store.engines import Place
from mailferry.store.faults import StoreUnavailable

_REPAIR = (
    "stop mailferry, keep a copy of the file, restore the last back-up and run `mailferry db reconcile`; "
    "nothing was made anew"
)

_SQLITE = {
    "SQLITE_BUSY": "is locked by another process; find it (fuser) and let it end",
    "SQLITE_LOCKED": "is locked by another process; find it (fuser) and let it end",
    "SQLITE_FULL": "the disk is full; free space on its file system",
    "SQLITE_IOERR": "reading or writing failed; look at the disk and the kernel's log",
    "SQLITE_CORRUPT": f"is damaged; {_REPAIR}",
    "SQLITE_NOTADB": f"is not a database of mailferry; {_REPAIR}",
    "SQLITE_CANTOPEN": "cannot be opened; check that it exists and who owns it, or run `mailferry db upgrade`",
    "SQLITE_READONLY": "is read-only for this user; check who owns the file and its directory",
    "SQLITE_PERM": "may not be opened by this user; check who owns the file",
    "SQLITE_PROTOCOL": "its locks do not work; keep it on a local disk, not on a network file system",
    "SQLITE_NOMEM": "memory ran out",
}

_POSTGRESQL = {
    "53100": "its disk is full; free space there",
    "53300": "has no connection left; raise max_connections or lower the number of processes",
    "55P03": "a row stayed locked by another process; find it in pg_stat_activity",
    "57014": "cancelled the query",
    "57P01": "was shut down by its administrator; it will be asked again",
    "57P03": "is starting up or shutting down; it will be asked again",
    "25006": "is read-only (a standby?); name the primary in [service] database",
    "28P01": "refused the password in [service] database",
    "28000": "refused the user in [service] database; check pg_hba.conf",
    "3D000": "has no database of that name; create it",
    "42501": "the user lacks rights there; grant them",
    "XX001": "found damaged data; restore it and run `mailferry db reconcile`",
    "XX002": "found a damaged index; run REINDEX",
}

RETRIED_STATES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction is run again."""


def sql_state(error: SQLAlchemyError) -> str | None:
    """Return PostgreSQL's SQLSTATE of `error`, or None."""
    origin = getattr(error, "orig", None)
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


def unavailable(error: SQLAlchemyError, place: Place, *, name: str) -> StoreUnavailable | None:
    """Return the clear line for `error`, or None when it is a mistake of ours and no fault of the database.

    `name` is the caller's word for the transaction.
    """
    if isinstance(error, PoolTimeout):
        return StoreUnavailable(f"database {place.shown}: all connections are busy ({name})")
    if not isinstance(error, DBAPIError):
        return None
    line = _postgresql_line(error) if place.sqlite_path is None else _sqlite_line(error.orig)
    return None if line is None else StoreUnavailable(f"database {place.shown}: {line} ({name})")


def driver_unavailable(error: sqlite3.Error, place: Place, *, name: str) -> StoreUnavailable | None:
    """Return the same for what SQLite's own driver raised."""
    line = _sqlite_line(error)
    return None if line is None else StoreUnavailable(f"database {place.shown}: {line} ({name})")


def _sqlite_line(error: BaseException | None) -> str | None:
    code = getattr(error, "sqlite_errorname", "") or ""
    for known, line in _SQLITE.items():
        if code == known or code.startswith(known + "_"):
            return line
    return None


def _postgresql_line(error: DBAPIError) -> str | None:
    state = sql_state(error)
    if state is None:
        if isinstance(error, OperationalError):
            return "cannot be reached; check that it runs and the address in [service] database"
        return None
    if state in _POSTGRESQL:
        return _POSTGRESQL[state]
    if state.startswith("08"):
        return "the connection was lost; it will be asked again"
    if state.startswith(("53", "57", "58")) or isinstance(error, InternalError):
        return f"refused with SQLSTATE {state}; look at its log"
    return None
