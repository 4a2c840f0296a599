"""Stores that earlier versions left are brought to the newest one with all that they hold, or stay as they are."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from mailferry.store import uidls
from mailferry.store.database import Database
from mailferry.store.engines import create_sqlite_file, make_engines, place_of
from mailferry.store.faults import StoreUnavailable
from mailferry.store.uidls import FactsOf, MappedUidl, UidlFact
from mailferry.store.upgrade import KNOWN
from tests.kit.stores import empty_database
from tests.store.released import dump, fill, shape, to_version

CARRIED_ON = {("accounts", "deletions_seen"), ("sessions", "deletions_told")}
"""Columns whose values stand in tables of their own since 0002."""
PACKED = {"uidl_facts", "uidl_map"}
"""Tables whose rows stand in blocks since 0004."""


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    place = place_of(url)
    if place.sqlite_path is not None and not place.sqlite_path.exists():
        create_sqlite_file(place.sqlite_path)
    engines = make_engines(place, connections=1, busy_seconds=5.0, now=None)
    try:
        with engines.writing.begin() as conn:
            yield conn
    finally:
        engines.dispose()


@pytest.fixture
def released(store_kind: str, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes a filled store of a version; gives its address."""
    removes = []

    def making(version: str) -> str:
        url, remove = empty_database(store_kind, tmp_path)
        removes.append(remove)
        with connected(url) as conn:
            to_version(conn, version)
            fill(conn, version)
        return url

    yield making
    for remove in removes:
        remove()


def upgrade(url: str) -> None:
    store = Database(url)
    try:
        store.upgrade()
    finally:
        store.close()


def state(url: str) -> tuple[Any, Any]:
    with connected(url) as conn:
        return shape(conn), dump(conn)


@pytest.mark.hazard("D28")
@pytest.mark.parametrize("version", KNOWN)
def test_everything_that_a_version_kept_is_there_in_the_newest(
    released: Callable[[str], str], version: str
) -> None:
    url = released(version)
    _, before = state(url)
    upgrade(url)
    _, after = state(url)
    assert after.pop("alembic_version") == [{"version_num": KNOWN[-1]}]
    assert before.pop("alembic_version") == [{"version_num": version}]
    assert set(before) - set(after) <= PACKED
    for table, rows in before.items():
        if table in PACKED:
            continue
        kept = {name for name in rows[0] if (table, name) not in CARRIED_ON}
        found = [{name: row[name] for name in kept} for row in after[table]]
        wanted = [{name: row[name] for name in kept} for row in rows]
        missing = [row for row in wanted if row not in found]
        assert not missing, f"{table}: {missing}"
        if (table, version) not in {("deletions_seen", "0001"), ("deletions_told", "0001")}:
            assert len(found) == len(wanted), table
    if version == "0001":
        assert after["deletions_seen"] == [{"account_id": 1, "mailbox": b"", "number": 3}]
        assert after["deletions_told"] == [{"session_id": 41, "mailbox": b"", "number": 2}]
    if version < "0004":
        with connected(url) as conn:
            _uidls_are_there(conn)


def _uidls_are_there(conn: Connection) -> None:
    assert sorted(uidls.facts(conn, 1, FactsOf.SOURCE), key=lambda fact: fact.uidl) == [
        UidlFact(b"u1", b"", 1),
        UidlFact(b"u2", b"e" * 16, None),
    ]
    assert uidls.facts(conn, 1, FactsOf.TARGET) == [UidlFact(b"\xff1", b"", 101)]
    assert uidls.facts(conn, 2, FactsOf.SOURCE) == [UidlFact(b"u1", b"", 3)]
    assert uidls.load_map(conn, 2) == [
        MappedUidl(b"u1", b"t1"),
        MappedUidl(b"u9", None),
        MappedUidl(None, b"t2"),
    ]
    assert not uidls.has_map(conn, 1)


def _changes(statement: str) -> bool:
    return statement.split(None, 1)[0].upper() not in {"SELECT", "PRAGMA", "SHOW", "BEGIN"}


def _upgrade_killed_at(url: str, number: int) -> bool:
    """Upgrade in a process that is killed before its `number`th change; whether it ended before that."""
    child = os.fork()
    if child == 0:
        left = number

        def kill(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            nonlocal left
            if _changes(statement):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            event.listen(Engine, "before_cursor_execute", kill)
            upgrade(url)
            os._exit(0)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, -signal.SIGKILL}
    return code == 0


@pytest.mark.hazard("D28")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_an_upgrade_that_is_killed_at_a_statement_leaves_the_old_version_whole(
    released: Callable[[str], str], step: int
) -> None:
    url = released(KNOWN[0])
    before = state(url)
    number = 1
    while not _upgrade_killed_at(url, number):
        assert state(url) == before, f"killed before change {number}"
        number += step
    assert number >= 20
    _, after = state(url)
    assert after["alembic_version"] == [{"version_num": KNOWN[-1]}]


@pytest.mark.hazard("D28")
@pytest.mark.parametrize("version", KNOWN[1:-1])
def test_an_upgrade_that_fails_at_its_last_statement_leaves_the_version_it_found(
    released: Callable[[str], str], version: str
) -> None:
    url = released(version)
    before = state(url)

    def fail(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("UPDATE alembic_version") and KNOWN[-1] in str((statement, parameters)):
            raise OSError(28, "No space left on device")

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises((OSError, StoreUnavailable)):
            upgrade(url)
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
    assert state(url) == before
    upgrade(url)
