"""Short questions that the reactor's own thread asks a SQLite file, without a thread and back.

A reader of a write-ahead log waits for no writer, and a row or two by their keys come in some tens of
microseconds: less than it costs to wake a thread. Where the file is locked after all (a recovery after a
crash, the last connection's checkpoint) nobody waits here: the question goes to the threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from mailferry.store.prepared import Prepared, Row

_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")


class Locked(Exception):
    """The file cannot be read without waiting."""


class Glances:
    """One connection, for one thread; `connect` opens it at the first question and after a failure."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    def rows(self, question: Prepared, values: dict[str, Any]) -> Sequence[Row]:
        """Return the answer as of this moment. Raises Locked, or sqlite3.Error."""
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = self._connect()
            return question.on_driver(connection, values)
        except sqlite3.Error as error:
            self.close()
            if (getattr(error, "sqlite_errorname", None) or "").startswith(_LOCKED):
                raise Locked from error
            raise

    def close(self) -> None:
        """Give the connection back; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
