"""How connections to the database are made and begun: SQLite's pragmas, PostgreSQL's limits.

Each kind has three engines: for transactions that are durable when they return, for those that a power
cut may take back (sessions end with the machine anyway), and for those that only read.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from mailferry.store.faults import StoreUnavailable
from mailferry.store.file_owner import give_to_folders_owner
from mailferry.store.glances import Glances
from mailferry.store.jots import Jots

SQLITE_FILE = "mailferry.db"
_CHECKPOINT_PAGES = 1000
_OF_ALL = ("foreign_keys=ON", "trusted_schema=OFF")
_OF_WRITERS = ("secure_delete=ON",)
_OF_READERS = ("query_only=ON",)
_PG_OPTIONS = "-c jit=off -c lock_timeout={0} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"


@dataclass(frozen=True, slots=True)
class Place:
    """Which database: its kind, its address, and its name for messages (never with a password)."""

    url: URL
    sqlite_path: Path | None
    shown: str


@dataclass(frozen=True, slots=True)
class Engines:
    """Where transactions run. `quick` ones outlive a killed process, not a power cut; they stay whole."""

    writing: Engine
    quick: Engine
    reading: Engine
    glances: Glances | None = None
    """What the reactor's thread reads by itself; SQLite alone has it."""
    jots: Jots | None = None
    """What it writes by itself, the same."""

    def dispose(self) -> None:
        """Close all connections that nobody uses."""
        if self.glances is not None:
            self.glances.close()
        if self.jots is not None:
            self.jots.close()
        self.reading.dispose()
        self.quick.dispose()
        self.writing.dispose()


def database_url(setting: str, state_dir: str | Path) -> str:
    """Return the URL for the configuration's `database`: `sqlite` means a file in the state directory."""
    if setting == "sqlite":
        return URL.create("sqlite", database=str(Path(state_dir) / SQLITE_FILE)).render_as_string()
    return setting


def place_of(url: str) -> Place:
    """Return the place that `url` names; raises StoreUnavailable for one that is no database of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnavailable("database: write sqlite, or postgresql://user@host/name") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database).absolute()
        return Place(url=parsed, sqlite_path=path, shown=str(path))
    if kind == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        shown = f"postgresql://{parsed.host or 'local socket'}/{parsed.database or ''}"
        return Place(url=parsed, sqlite_path=None, shown=shown)
    raise StoreUnavailable("database: write sqlite, or postgresql://user@host/name")


def make_engines(
    place: Place, *, connections: int, busy_seconds: float, now: Callable[[], float] | None
) -> Engines:
    """Return fresh engines for `place`; nothing is dialled or opened yet."""
    if place.sqlite_path is not None:
        made = _sqlite_engines(place.sqlite_path, connections=connections, busy_seconds=busy_seconds)
    else:
        made = _postgresql_engines(place.url, connections=connections, busy_seconds=busy_seconds)
    if now is None:
        return made
    each = (made.writing, made.quick, made.reading)
    writing, quick, reading = (engine.execution_options(mailferry_now=now) for engine in each)
    return Engines(writing, quick, reading, made.glances, made.jots)


def create_sqlite_file(path: Path) -> None:
    """Make an empty database file that only the service can read, unless one is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            give_to_folders_owner(descriptor, path.parent)
        finally:
            os.close(descriptor)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(
            f"database {path}: cannot be made ({error.strerror}); check [service] state_dir and who owns it"
        ) from error


def _sqlite_engines(path: Path, *, connections: int, busy_seconds: float) -> Engines:
    # mode=rw: a file that went missing is an error to tell, never an empty database to go on with
    address = f"file:{quote(str(path))}?mode=rw"

    def connect(timeout: float = busy_seconds) -> sqlite3.Connection:
        return sqlite3.connect(
            address, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
        )

    def pragmas(connection: Any, *commands: str) -> None:
        cursor = connection.cursor()
        for command in commands:
            cursor.execute(f"PRAGMA {command}")
        cursor.close()

    def glancing() -> sqlite3.Connection:
        connection = connect(timeout=0.0)
        pragmas(connection, *_OF_ALL, *_OF_READERS)
        return connection

    def jotting() -> sqlite3.Connection:
        connection = connect(timeout=0.0)
        pragmas(connection, *_OF_ALL, *_OF_WRITERS, "wal_autocheckpoint=0", "synchronous=NORMAL")
        return connection

    def engine(size: int, begin: str, *extra: str) -> Engine:
        made = create_engine(
            "sqlite://", creator=connect, poolclass=QueuePool, pool_size=size, max_overflow=16
        )

        @event.listens_for(made, "connect")
        def on_connect(connection: Any, _record: Any) -> None:
            pragmas(connection, *_OF_ALL, *extra)

        @event.listens_for(made, "begin")
        def on_begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return made

    writer = ("journal_mode=WAL", *_OF_WRITERS, f"wal_autocheckpoint={_CHECKPOINT_PAGES}")
    return Engines(
        writing=engine(1, "BEGIN IMMEDIATE", *writer, "synchronous=FULL"),
        quick=engine(1, "BEGIN IMMEDIATE", *writer, "synchronous=NORMAL"),
        reading=engine(connections, "BEGIN", *_OF_READERS),
        glances=Glances(glancing),
        jots=Jots(jotting),
    )


def _postgresql_engines(url: URL, *, connections: int, busy_seconds: float) -> Engines:
    made = create_engine(
        url,
        pool_size=connections,
        max_overflow=4,
        pool_timeout=busy_seconds,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": max(2, round(busy_seconds)),
            "options": _PG_OPTIONS.format(round(busy_seconds * 1000)),
            "application_name": "mailferry",
        },
        isolation_level="READ COMMITTED",
    )
    quick = made.execution_options(mailferry_quick=True)

    @event.listens_for(quick, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    return Engines(
        writing=made,
        quick=quick,
        reading=made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
    )
