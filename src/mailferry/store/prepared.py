"""Statements that every login runs: their text is made once, at the import.

To build a statement, find its text and bind its values costs SQLAlchemy several times what SQLite takes to
answer. So on SQLite the text goes straight to the driver; on PostgreSQL, where the way over the network
outweighs both, the statement runs as every other does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Connection, Executable
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.selectable import ReturnsRows

_DIALECT = SQLiteDialect_pysqlite(paramstyle="named")

Row = Sequence[Any]


class Prepared:
    """One statement, its values named by `bindparam`; values go in and rows come out as the driver has them.

    Booleans come out as booleans. Enums go in by their value; values that it does not name are passed over.
    """

    __slots__ = ("_fixed", "_flags", "_names", "_statement", "_text")

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]  # of every executable
        self._text = str(compiled)
        self._names = frozenset(compiled.params)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        columns = statement.exported_columns if isinstance(statement, ReturnsRows) else ()
        self._flags = tuple(place for place, column in enumerate(columns) if isinstance(column.type, Boolean))

    def on(self, conn: Connection, values: dict[str, Any]) -> Sequence[Row]:
        """Run it in the transaction of `conn` and return its rows."""
        if conn.dialect.name == "sqlite":
            driver = conn.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            return self.on_driver(driver, values)
        ran = conn.execute(
            self._statement, {name: value for name, value in values.items() if name in self._names}
        )
        return [tuple(row) for row in ran] if ran.returns_rows else []

    def on_driver(self, driver: sqlite3.Connection, values: dict[str, Any]) -> Sequence[Row]:
        """Run it on SQLite's own connection. Raises sqlite3.Error."""
        rows: list[Row] = driver.execute(self._text, {**self._fixed, **values}).fetchall()
        return [self._with_flags(row) for row in rows] if self._flags else rows

    def _with_flags(self, row: Row) -> Row:
        whole = list(row)
        for place in self._flags:
            if whole[place] is not None:
                whole[place] = bool(whole[place])
        return whole
