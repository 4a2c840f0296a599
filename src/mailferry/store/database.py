"""The only way to the database: named transactions, run in threads for the reactor or blocking for the rest.

SQLite has one writer thread and a pool of readers; PostgreSQL a pool of connections, and a
transaction that met a deadlock or a serialization failure is run again. So the function of a
transaction touches nothing but its connection: it may run twice.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from mailferry.store.engines import Engines, Place, create_sqlite_file, make_engines, place_of
from mailferry.store.faults import SettledRefusal, StoreUnavailable
from mailferry.store.glances import Locked
from mailferry.store.jots import PATIENCE_SECONDS, Jot
from mailferry.store.prepared import Prepared, Row
from mailferry.store.sql_faults import RETRIED_STATES, driver_unavailable, sql_state, unavailable
from mailferry.store.upgrade import Versions, require_current, upgrade, versions
from mailferry.store.write_turn import TurnMissed, WriteTurn

T = TypeVar("T")
Work = Callable[[Connection], T]

_TRIES = 5
_POSTGRESQL_NOW = "SELECT extract(epoch FROM clock_timestamp())"


class _CommitUnanswered(Exception):
    """The connection broke while the commit was on its way."""


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What `mailferry db status` shows."""

    kind: str
    place: str
    server_version: str
    versions: Versions
    octets: int


@dataclass(frozen=True, slots=True)
class Glance:
    """The answer to one short question, and when it was true, on the database's clock."""

    at: float
    rows: Sequence[Row]


def db_now(conn: Connection) -> float:
    """Return the database's clock in seconds since 1970; all deadlines in the store are on it.

    SQLite has none but the machine's.
    """
    told: Callable[[], float] | None = conn.get_execution_options().get("mailferry_now")
    if told is not None:
        return told()
    if conn.dialect.name == "sqlite":
        return time.time()
    return float(conn.exec_driver_sql(_POSTGRESQL_NOW).scalar_one())


class Database:
    """One database, used by one process. Make it after the fork; nothing is opened before the first use.

    `reactor` is needed for `run` and `read` only. `now` replaces the database's clock in tests.
    Every method that asks the database raises StoreUnavailable (its Deferred fails with it) when the
    database could not be asked; other exceptions are the transaction's own.
    """

    def __init__(
        self,
        url: str,
        *,
        reactor: IReactorFromThreads | None = None,
        readers: int = 4,
        busy_seconds: float = 5.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._place = place_of(url)
        self._reactor = reactor
        self._readers = readers
        self._busy = busy_seconds
        self._now = now
        self._opening = threading.Lock()
        self._engines: Engines | None = None
        self._current = False
        self._process = os.getpid()
        self._pools: dict[str, ThreadPool] = {}
        path = self._place.sqlite_path
        self._turn = None if path is None else WriteTurn(path.with_name(path.name + "-turn"))

    @property
    def place(self) -> Place:
        """Where the database lies."""
        return self._place

    # --- for the reactor

    def run(self, name: str, work: Work[T], *, durable: bool = True) -> Deferred[T]:
        """Run `work(conn)` as one transaction that may write, off the reactor.

        It is on the disk when the Deferred fires, unless `durable` is False: what a power cut may take
        back together with the machine (rows of sessions and nodes, samples) need not wait for the disk.
        """
        writers = 1 if self._turn is not None else self._readers
        if durable:
            return self._off_reactor("write", writers, self.run_now, name, work)
        return self._off_reactor("write", writers, self._run_quick, name, work)

    def read(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work(conn)` over one unchanging view of the database, off the reactor."""
        return self._off_reactor("read", self._readers, self.read_now, name, work)

    async def glance(self, name: str, question: Prepared, values: dict[str, Any]) -> Glance:
        """Ask for a row or two by their keys; the value `at` is given to the question as well.

        On SQLite the reactor's thread asks by itself, and nothing is waited for: see `store/glances`.
        Elsewhere, and where the file is locked, this is a `read`.
        """
        glances = self._engines.glances if self._engines is not None and self._current else None
        if glances is not None and self._process == os.getpid():
            at = time.time() if self._now is None else self._now()
            try:
                return Glance(at, glances.rows(question, {**values, "at": at}))
            except Locked:
                pass  # for the threads, which wait
            except sqlite3.Error as error:
                raise driver_unavailable(error, self._place, name=name) or error from error
        return await self.read(name, lambda conn: _glance(conn, question, values))

    def jot(self, name: str, work: Jot[T]) -> T:  # noqa: ARG002 - every way to the database is named
        """Write a row or two by their keys in this thread, next to without waiting: see `store/jots`.

        A power cut may take them back. Raises Locked, with nothing written, where that cannot be just
        now, and always elsewhere than on SQLite; then it is for `run`.
        """
        jots = self._engines.jots if self._engines is not None and self._current else None
        if jots is None or self._turn is None or self._process != os.getpid():
            raise Locked
        try:
            self._turn.take(PATIENCE_SECONDS)
        except (TurnMissed, OSError):
            raise Locked from None
        try:
            return jots.run(work, time.time() if self._now is None else self._now())
        finally:
            self._turn.give()

    def _off_reactor(
        self, kind: str, size: int, method: Callable[[str, Work[T]], T], name: str, work: Work[T]
    ) -> Deferred[T]:
        if self._reactor is None:
            raise RuntimeError("this Database was made without a reactor: use run_now and read_now")
        pool = self._pools.get(kind)
        if pool is None:
            pool = ThreadPool(minthreads=0, maxthreads=size, name=f"store-{kind}")
            pool.start()
            self._pools[kind] = pool
        return deferToThreadPool(self._reactor, pool, method, name, work)

    # --- blocking: command line, web threads, tests

    def run_now(self, name: str, work: Work[T], *, durable: bool = True) -> T:
        """Run `work(conn)` as one transaction that may write, in this thread."""
        engines = self._open(name)
        engine = engines.writing if durable else engines.quick
        for left in reversed(range(_TRIES)):
            try:
                with self._my_turn(name):
                    return self._write(engine, work)
            except SQLAlchemyError as error:
                if left and self._may_run_again(error):
                    continue
                raise self._translated(error, name) from error
            except sqlite3.Error as error:  # of a prepared statement
                raise driver_unavailable(error, self._place, name=name) or error from error
            except _CommitUnanswered as unanswered:
                line = "the connection was lost during a commit, which may have happened or not"
                raise StoreUnavailable(f"database {self._place.shown}: {line} ({name})") from unanswered
        raise AssertionError("the last try returns or raises")

    def _run_quick(self, name: str, work: Work[T]) -> T:
        return self.run_now(name, work, durable=False)

    def read_now(self, name: str, work: Work[T]) -> T:
        """Run `work(conn)` over one unchanging view of the database, in this thread."""
        engines = self._open(name)
        for left in reversed(range(_TRIES)):
            try:
                with engines.reading.connect() as conn, conn.begin():
                    return work(conn)
            except SQLAlchemyError as error:
                if left and self._may_run_again(error):
                    continue
                raise self._translated(error, name) from error
            except sqlite3.Error as error:  # of a prepared statement
                raise driver_unavailable(error, self._place, name=name) or error from error
        raise AssertionError("the last try returns or raises")

    def upgrade(self) -> Versions:
        """Make the tables, or bring them to the newest version; return what was there before."""
        if self._place.sqlite_path is not None:
            create_sqlite_file(self._place.sqlite_path)
        engines = self._open("upgrade", checked=False)
        try:
            with self._my_turn("upgrade"):
                before = self._write(engines.writing, upgrade)
        except SQLAlchemyError as error:
            raise self._translated(error, "upgrade") from error
        self._current = True
        return before

    def status(self) -> DatabaseStatus:
        """Return kind, place, versions and size; works on a database that needs an upgrade as well."""

        def ask(conn: Connection) -> DatabaseStatus:
            if conn.dialect.name == "sqlite":
                server = f"SQLite {sqlite3.sqlite_version}"
                size = text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            else:
                server = f"PostgreSQL {conn.execute(text('SHOW server_version')).scalar_one()}"
                size = text("SELECT pg_database_size(current_database())")
            return DatabaseStatus(
                kind=conn.dialect.name,
                place=self._place.shown,
                server_version=server,
                versions=versions(conn),
                octets=int(conn.execute(size).scalar_one()),
            )

        engines = self._open("status", checked=False)
        try:
            with engines.reading.connect() as conn, conn.begin():
                return ask(conn)
        except SQLAlchemyError as error:
            raise self._translated(error, "status") from error

    def scrub(self) -> None:
        """Make what was deleted unreadable in the files too: SQLite's write-ahead log is emptied.

        Deleted rows themselves are overwritten (`secure_delete`). On PostgreSQL nothing is done: its
        files are the administrator's, and what was sealed is ended by destroying the domain's key.
        """
        if self._turn is None:
            return
        engines = self._open("scrub")
        try:
            with self._my_turn("scrub"), engines.writing.connect() as conn:
                driver = conn.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except SQLAlchemyError as error:
            raise self._translated(error, "scrub") from error
        except sqlite3.Error as error:  # of the driver itself, which nothing wraps here
            raise driver_unavailable(error, self._place, name="scrub") or error from error

    def close(self) -> None:
        """Wait for running transactions and close all connections; a later use opens them again."""
        for pool in self._pools.values():
            pool.stop()
        self._pools.clear()
        with self._opening:
            if self._engines is not None:
                # SQLite's last connection to go runs a checkpoint: a writer's work
                with self._my_turn("close"):
                    self._engines.dispose()
                self._engines = None
        if self._turn is not None:
            self._turn.close()

    # --- inside

    def _open(self, name: str, *, checked: bool = True) -> Engines:
        with self._opening:
            if self._process != os.getpid():
                raise RuntimeError("a Database does not survive a fork: make one in each process")
            if self._engines is None:
                self._engines = make_engines(
                    self._place, connections=self._readers, busy_seconds=self._busy, now=self._now
                )
            engines = self._engines
        if checked and not self._current:
            try:
                with engines.reading.connect() as conn, conn.begin():
                    require_current(conn)
            except SQLAlchemyError as error:
                raise self._translated(error, name) from error
            self._current = True
        return engines

    @staticmethod
    def _write(engine: Engine, work: Work[T]) -> T:
        with engine.connect() as conn:
            transaction = conn.begin()
            settled: SettledRefusal | None = None
            try:
                result = work(conn)
            except SettledRefusal as refusal:
                settled = refusal
            except BaseException:  # loop edge: nothing of a transaction that failed may stay
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise _CommitUnanswered from error
                raise
            if settled is not None:
                raise settled
            return result

    @contextmanager
    def _my_turn(self, name: str) -> Iterator[None]:
        turn = self._turn
        if turn is None:
            yield
            return
        try:
            turn.take(self._busy)
        except TurnMissed:
            line = f"another process has been writing for {self._busy:g} s; find it (fuser) and let it end"
            raise StoreUnavailable(f"database {self._place.shown}: {line} ({name})") from None
        except OSError as error:
            line = f"its lock file cannot be opened ({error.strerror}); check who owns the directory"
            raise StoreUnavailable(f"database {self._place.shown}: {line} ({name})") from error
        try:
            yield
        finally:
            turn.give()

    def _may_run_again(self, error: SQLAlchemyError) -> bool:
        if self._place.sqlite_path is not None:
            return False
        # a connection that was lost before its commit: the server threw the transaction away
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return lost or sql_state(error) in RETRIED_STATES

    def _translated(self, error: SQLAlchemyError, name: str) -> Exception:
        return unavailable(error, self._place, name=name) or error


def _glance(conn: Connection, question: Prepared, values: dict[str, Any]) -> Glance:
    at = db_now(conn)
    return Glance(at, question.on(conn, {**values, "at": at}))
