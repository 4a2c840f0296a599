"""Thousands of names and passwords that mean something to a database reach the tables of a site as they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from hypothesis import example, given, settings
from sqlalchemy import Engine, create_engine, text

from mailferry.config.settings import PasswordSettings
from mailferry.passwords.backend import PasswordBackend, PushResult
from mailferry.passwords.backends import make_backend
from tests.kit.hostile_sql import sql_texts
from tests.kit.peer_plugin import require
from tests.kit.stores import empty_database
from tests.passwords.beds import new

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hazard("T25"),
    pytest.mark.deadline(300),
    pytest.mark.timeout(400),
]

T = TypeVar("T")
BYSTANDERS = {"zhang@a.test": "{PLAIN}old", "li@a.test": "{PLAIN}old"}
CREATE = "INSERT INTO mailbox (username, local_part, domain, password) VALUES (:address, :local_part, :domain, :hash)"
UPDATE = "UPDATE mailbox SET password = :hash WHERE username = :address AND local_part = :local_part"


class AtOnce:
    """Work that would go to threads is done here and now."""

    def apart(self) -> Self:
        return self

    async def run(self, work: Callable[[], T]) -> T:
        return work()


def done(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    raise AssertionError("it waits")


class Table:
    """A site's table with two bystanders, and the backend that makes missing accounts in it."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url)
        columns = ", ".join(f"{name} TEXT NOT NULL" for name in ("local_part", "domain", "password"))
        self._run(f"CREATE TABLE mailbox (username TEXT PRIMARY KEY, {columns})")
        for address, stored in BYSTANDERS.items():
            self._run("INSERT INTO mailbox VALUES (:a, :a, 'a.test', :p)", a=address, p=stored)
        rules = {"backend": "sql", "sql": {"url": url, "create": CREATE, "update": UPDATE}}
        self.backend: PasswordBackend = make_backend(PasswordSettings.model_validate(rules), AtOnce())  # type: ignore[arg-type]

    def _run(self, statement: str, **values: str) -> None:
        with self.engine.begin() as conn:
            conn.execute(text(statement), values)

    def rows(self) -> dict[str, tuple[str, str, str]]:
        """Return everything that stands there."""
        with self.engine.connect() as conn:
            return {row[0]: tuple(row[1:]) for row in conn.execute(text("SELECT * FROM mailbox"))}

    def forget(self, address: str) -> None:
        """Take a row away again."""
        self._run("DELETE FROM mailbox WHERE username = :a", a=address)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Table]:
    if request.param == "postgresql":
        require("postgresql")
    url, remove = empty_database(request.param, tmp_path)
    made = Table(url)
    yield made
    made.engine.dispose()
    remove()


def test_no_word_of_a_name_or_a_hash_is_ever_part_of_a_statement(table: Table) -> None:
    others = table.rows()

    @settings(max_examples=100, deadline=None, database=None)
    @example(local="'||(select password from mailbox)||'", domain="b.test", first="'", second="{X}:address")
    @example(local=":hash", domain=":local_part", first=":domain", second="%(hash)s")
    @given(local=sql_texts(), domain=sql_texts(), first=sql_texts(), second=sql_texts())
    def every(local: str, domain: str, first: str, second: str) -> None:
        local, domain = local or "x", domain.replace("@", "") or "y"
        address = f"{local}@{domain}"
        assert done(table.backend.current(address)) is None
        assert done(table.backend.push(address, new(first), expected=None)) is PushResult.CREATED
        assert table.rows() == {**others, address: (local, domain, first)}
        assert done(table.backend.current(address)) == first
        wrong = done(table.backend.push(address, new(second), expected=first + "'"))
        assert wrong is PushResult.CONFLICT
        assert done(table.backend.push(address, new(second), expected=first)) is PushResult.DONE
        assert table.rows() == {**others, address: (local, domain, second)}
        table.forget(address)

    every()
