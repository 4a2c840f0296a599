"""Short writes that the reactor's own thread makes in a SQLite file, where nobody else is writing just then.

A row of a session goes in by its key within some tens of microseconds, and nothing waits for the disk: the
commit goes to the system. A way through the writer's thread and back costs a multiple. Where somebody else has
the turn for longer than such a row takes, nobody waits here: the write goes to the threads. So does one of every
hundred, because checkpoints, which do wait for the disk, are a thread's work, and a log without them would grow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from mailferry.store.glances import Locked

PATIENCE_SECONDS = 0.002
"""How long the reactor waits for the turn: other processes' rows of sessions take a tenth of it. Without it a
quarter of the rows of two busy processes went to the threads, which cost a login a third of its time."""

IN_A_ROW = 100
"""How many writes come before one goes to the threads; each adds some five pages to the log."""

T = TypeVar("T")
Jot = Callable[[sqlite3.Connection, float], T]
"""What is written, at which moment of the database's clock; it runs again in a thread if it cannot be written."""


class Jots:
    """One connection, for one thread that has the turn to write; opened at the first write and after a failure."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._in_a_row = 0

    def run(self, jot: Jot[T], at: float) -> T:
        """Run `jot` as one transaction. Raises Locked when nothing of it was written, whatever stood against it."""
        if self._in_a_row >= IN_A_ROW:
            self._in_a_row = 0
            raise Locked
        whole = False
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            written = jot(connection, at)
            connection.execute("COMMIT")
            whole = True
        except sqlite3.Error as error:
            raise Locked from error
        finally:
            if not whole:  # nothing of a transaction that failed may stay
                self.close()
        self._in_a_row += 1
        return written

    def close(self) -> None:
        """Give the connection back, with what was not committed; the next write opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
