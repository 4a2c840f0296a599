"""The only `store` fixture: each test that asks for it runs on SQLite and on PostgreSQL.

`store` is a Database on a fresh, upgraded database; `open_store()` opens further ones on the same
database (two writers); `store_url` is its address. One PostgreSQL
(`tests/kit/peer_postgresql.py`) serves the whole run; each test has a database of its own in it.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from mailferry.store.all_tables import everything
from mailferry.store.database import Database
from mailferry.store.engines import SQLITE_FILE
from tests.kit import peers
from tests.kit.peer_plugin import require

_TEMPLATE = "mailferry_template"
_NAMES = itertools.count(1)
_EMPTIED: list[str] = []


class Server:
    """The run's PostgreSQL: `url(name)` is the address of a database in it, made by `execute`."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="stores-")
        self._peer = peers.start("postgresql", Path(self._directory.name))
        atexit.register(self.stop)

    def stop(self) -> None:
        self._peer.stop()
        self._directory.cleanup()

    def url(self, name: str) -> str:
        url: str = self._peer.url(name)
        return url

    def has(self, name: str) -> bool:
        with psycopg.connect(self.url("postgres")) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None

    def empty(self, name: str) -> None:
        """Take all rows out of a database: ten times as fast as making one."""
        tables = ", ".join(everything.tables)
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
            connection.execute("UPDATE alembic_version SET version_num = %s", [_newest()])

    def execute(self, command: str) -> None:
        """Run one command outside a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(command)


@functools.cache
def postgresql_server() -> Server:
    """Return the run's server with its template, started when first asked for, stopped when Python ends."""
    server = Server()
    server.execute(f"CREATE DATABASE {_TEMPLATE}")
    database = Database(server.url(_TEMPLATE))
    database.upgrade()
    database.close()
    return server


@functools.cache
def _newest() -> str:
    database = Database(postgresql_server().url(_TEMPLATE))
    newest = database.status().versions.newest
    database.close()
    return newest


@functools.cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.db"
        database = Database(f"sqlite:///{path}")
        database.upgrade()
        database.close()
        return path.read_bytes()


def empty_database(kind: str, directory: Path) -> tuple[str, Callable[[], None]]:
    """Return the address of a database without tables, and what removes it."""
    name = f"t{os.getpid()}_{next(_NAMES)}"
    if kind == "sqlite":
        return f"sqlite:///{directory / (name + '.db')}", lambda: None
    server = postgresql_server()
    server.execute(f"CREATE DATABASE {name}")
    return server.url(name), lambda: server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fresh_database(kind: str, directory: Path) -> tuple[str, Callable[[], None]]:
    """Return the address of a database with all tables and no rows, and what gives it back."""
    if kind == "sqlite":
        path = directory / f"store{next(_NAMES)}" / SQLITE_FILE
        path.parent.mkdir()
        path.write_bytes(_sqlite_template())
        return f"sqlite:///{path}", lambda: None
    server = postgresql_server()
    name = _EMPTIED.pop() if _EMPTIED else f"fresh_{next(_NAMES)}"
    if not server.has(name):
        server.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")

    def empty() -> None:
        server.empty(name)
        _EMPTIED.append(name)

    return server.url(name), empty


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))]


@pytest.fixture(params=KINDS)
def store_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    if kind == "postgresql":
        require("postgresql")
    return kind


@pytest.fixture
def store_url(store_kind: str, tmp_path: Path) -> Iterator[str]:
    url, remove = fresh_database(store_kind, tmp_path)
    yield url
    remove()


OpenStore = Callable[..., Database]


@pytest.fixture
def open_store(store_url: str) -> Iterator[OpenStore]:
    """A function that opens one more Database on the test's database; keyword arguments are Database's."""
    from twisted.internet import reactor

    opened: list[Database] = []

    def opening(**options: object) -> Database:
        database = Database(store_url, **{"reactor": reactor, "readers": 2, **options})
        opened.append(database)
        return database

    yield opening
    for database in opened:
        database.close()


@pytest.fixture
def store(open_store: OpenStore) -> Database:
    """A Database on a fresh database with all tables."""
    return open_store()
