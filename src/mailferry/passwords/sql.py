"""A table of the site's own, reached by any SQLAlchemy URL, with the statements of the configuration.

Address, hash and expected hash are bound parameters, never pasted into a statement. Reading, the
comparison and writing are one serializable transaction.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mailferry.model.access import Secret
from mailferry.model.causes import Cause, Unavailable
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.schemes import UnfitPassword
from mailferry.passwords.work_threads import WorkThreads

_NAME = re.compile(r"(?<![:\w\\]):(\w+)")
_LONGEST_TEXT = 200
_TRIES = 3
_RULES = frozenset(
    {"23514", "P0001", "45000", sqlite3.SQLITE_CONSTRAINT_CHECK, sqlite3.SQLITE_CONSTRAINT_TRIGGER}
)
"""SQLSTATEs and SQLite's codes of a CHECK that fails and of a trigger that raises."""
_RULE_NUMBERS = frozenset({1644, 3819, 4025})
"""The same as error numbers of MySQL and MariaDB."""


class BadSqlBackend(ValueError):
    """The URL or a statement cannot be used; the text says which, without the URL's password."""


class SqlTable:
    """One table."""

    name = "sql"
    pushes = True
    readable = True

    def __init__(
        self, url: Secret, *, select: str, update: str, create: str = "", threads: WorkThreads
    ) -> None:
        self._engine = _engine(url)
        self._select, self._update, self._create = select, update, create
        self._threads = threads

    async def current(self, address: str) -> str | None:
        """Return what the select statement finds, empty for NULL."""

        def read() -> str | None:
            with _clearly(), self._transaction() as conn:
                return self._read(conn, address)

        return await self._threads.run(read)

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        """Run the update statement (or the create statement for a missing account)."""

        def write() -> PushResult:
            with _clearly():
                for left in reversed(range(_TRIES)):
                    try:
                        with self._transaction() as conn:
                            return self._write(conn, address, new.stored, expected)
                    except DBAPIError as error:
                        if _by_rule(error):
                            why = f"the password table refuses it by a rule of its own: {_first_line(error)}"
                            raise UnfitPassword(why) from None
                        if not left or not _run_again(error):
                            raise
                raise AssertionError("the last try returns or raises")

        return await self._threads.run(write)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._engine.dialect.name == "sqlite":
            # Its driver begins transactions late, after the read that must be inside.
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
                conn.exec_driver_sql("BEGIN IMMEDIATE")
                committed = False
                try:
                    yield conn
                    conn.exec_driver_sql("COMMIT")
                    committed = True
                finally:
                    if not committed:
                        conn.exec_driver_sql("ROLLBACK")
        else:
            with (
                self._engine.connect().execution_options(isolation_level="SERIALIZABLE") as conn,
                conn.begin(),
            ):
                yield conn

    def _read(self, conn: Connection, address: str) -> str | None:
        rows = conn.execute(text(self._select), _only(self._select, **_names(address))).fetchmany(2)
        if len(rows) > 1:
            raise Unavailable(
                Cause.TARGET_DOWN, "the select statement finds more than one row for an account"
            )
        if not rows:
            return None
        found = rows[0][0]
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found or "")

    def _write(self, conn: Connection, address: str, new_hash: str, expected: str | None) -> PushResult:
        present = self._read(conn, address)
        if present != expected:
            return PushResult.MISSING if present is None else PushResult.CONFLICT
        statement = self._update if present is not None else self._create
        if not statement:
            return PushResult.MISSING
        values = _only(statement, **_names(address), hash=new_hash, expected=expected or "")
        changed = conn.execute(text(statement), values).rowcount
        if changed > 1:
            raise Unavailable(
                Cause.TARGET_DOWN, f"the statement changed {changed} rows for one account; undone"
            )
        if present is None:
            return PushResult.CREATED if changed else PushResult.MISSING
        return PushResult.DONE if changed else PushResult.CONFLICT

    def close(self) -> None:
        """Close connections that are kept."""
        self._engine.dispose()


def _engine(url: Secret) -> Engine:
    try:
        return create_engine(
            url.reveal().decode(), hide_parameters=True, poolclass=NullPool, connect_args={}, echo=False
        )
    except (ArgumentError, NoSuchModuleError, ImportError, UnicodeDecodeError) as error:
        reason = (
            f"no driver: {error}"
            if isinstance(error, (ImportError, NoSuchModuleError))
            else "not an SQLAlchemy URL"
        )
        raise BadSqlBackend(f"passwords.sql.url: {reason}") from None


def _names(address: str) -> dict[str, str]:
    """Return what tables name an account by: the address, and its two halves."""
    local_part, _, domain = address.rpartition("@")
    return {"address": address, "local_part": local_part, "domain": domain}


def _only(statement: str, **values: str) -> dict[str, str]:
    """Return the values that the statement names."""
    named = set(_NAME.findall(statement))
    return {name: value for name, value in values.items() if name in named}


def _by_rule(error: DBAPIError) -> bool:
    """Whether a rule of the table's own is broken: a CHECK, or a trigger that raises an error."""
    known = {_state(error), getattr(error.orig, "sqlite_errorcode", None)}
    numbers = getattr(error.orig, "args", ())[:1]  # of MySQL and MariaDB
    return not known.isdisjoint(_RULES) or not _RULE_NUMBERS.isdisjoint(numbers)


def _run_again(error: DBAPIError) -> bool:
    """Whether another transaction was in the way: serialization failure or deadlock."""
    return _state(error) in {"40001", "40P01"}


def _state(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")


def _first_line(error: SQLAlchemyError) -> str:
    """Return what the server says, without the values that its further lines may show."""
    line = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
    return line[:_LONGEST_TEXT]


@contextlib.contextmanager
def _clearly() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable(Cause.TARGET_DOWN, f"password database: {_first_line(error)}") from None
