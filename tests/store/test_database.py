"""Transactions, versions and what the store says when the database is not well."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from twisted.internet import defer

from mailferry.model.account import Phase
from mailferry.store import domains
from mailferry.store.all_tables import everything
from mailferry.store.database import Database, db_now
from mailferry.store.faults import AlreadyThere, Moved, StoreUnavailable
from mailferry.store.upgrade import KNOWN
from tests.kit.stores import OpenStore, empty_database


def add_domain(store: Database, name: str = "a.test") -> domains.Domain:
    return store.run_now("add", lambda conn: domains.add(conn, name, source_imap="imaps://old.test"))


@pytest.fixture
def empty_url(store_kind: str, tmp_path: Path):
    url, remove = empty_database(store_kind, tmp_path)
    yield url
    remove()


def test_an_empty_database_is_upgraded_and_a_second_time_nothing_happens(empty_url: str) -> None:
    store = Database(empty_url)
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).touch()
    with pytest.raises(
        StoreUnavailable, match=f"is empty, {KNOWN[-1]} is needed; run `mailferry db upgrade`"
    ):
        store.read_now("any", domains.listing)
    assert store.upgrade().present is None
    assert store.upgrade().current
    assert store.read_now("any", domains.listing) == []
    assert store.status().versions.current
    assert store.status().octets > 0
    store.close()


@pytest.mark.hazard("D28")
def test_the_versions_make_what_the_schema_says(empty_url: str) -> None:
    store = Database(empty_url)
    store.upgrade()

    def differences(conn):
        return compare_metadata(
            MigrationContext.configure(conn, opts={"compare_server_default": True}), everything
        )

    assert store.read_now("compare", differences) == []
    store.close()


@pytest.mark.hazard("D28")
def test_an_upgrade_that_is_broken_off_leaves_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailferry.store import database as module

    def half(conn):
        conn.execute(text("CREATE TABLE begun (id INTEGER)"))
        module_upgrade(conn)
        raise KeyboardInterrupt

    module_upgrade = module.upgrade
    monkeypatch.setattr(module, "upgrade", half)
    store = Database(empty_url)
    with pytest.raises(KeyboardInterrupt):
        store.upgrade()
    monkeypatch.undo()
    store.upgrade()
    tables = store.read_now("tables", lambda conn: set(inspect(conn).get_table_names()))
    assert tables == {*everything.tables, "alembic_version"}
    store.close()


def test_a_newer_database_is_refused_with_what_to_do(store: Database, open_store: OpenStore) -> None:
    store.run_now("newer", lambda conn: conn.execute(text("UPDATE alembic_version SET version_num='0999'")))
    later = open_store()
    for ask in (later.upgrade, later.status, lambda: later.read_now("any", domains.listing)):
        with pytest.raises(StoreUnavailable, match="version 0999, which this mailferry does not know"):
            ask()


def test_a_database_of_somebody_else_is_left_alone(empty_url: str) -> None:
    store = Database(empty_url)
    if empty_url.startswith("sqlite"):
        with sqlite3.connect(empty_url.removeprefix("sqlite:///")) as conn:
            conn.execute("CREATE TABLE accounts (id INTEGER)")
        conn.close()
    else:
        import psycopg

        with psycopg.connect(empty_url) as pg:
            pg.execute("CREATE TABLE accounts (id INTEGER)")
    with pytest.raises(StoreUnavailable, match="has a table accounts but no version"):
        store.upgrade()
    store.close()


async def test_transactions_run_off_the_reactor_and_answer_deferreds(store: Database) -> None:
    threads: list[int] = []

    def work(conn):
        threads.append(threading.get_ident())
        return domains.add(conn, "a.test", source_imap="imaps://old.test")

    made = await store.run("add", work)
    assert threads != [threading.get_ident()]
    assert await store.read("list", domains.listing) == [made]


async def test_a_failed_transaction_leaves_nothing_and_fails_its_deferred(store: Database) -> None:
    def work(conn):
        domains.add(conn, "a.test", source_imap="imaps://old.test")
        domains.add(conn, "a.test", source_imap="imaps://old.test")

    with pytest.raises(AlreadyThere):
        await store.run("twice", work)
    assert await store.read("list", domains.listing) == []


def test_a_settled_refusal_is_raised_and_its_transaction_stays(store: Database) -> None:
    def work(conn):
        domains.add(conn, "a.test", source_imap="imaps://old.test")
        raise Moved(Phase.PRECOPY, 3)

    with pytest.raises(Moved):
        store.run_now("settled", work)
    assert len(store.read_now("list", domains.listing)) == 1


def test_readers_cannot_write(store: Database) -> None:
    with pytest.raises((StoreUnavailable, Exception), match=r"read-only|readonly"):
        store.read_now("add", lambda conn: domains.add(conn, "a.test", source_imap="imaps://x"))
    assert store.read_now("list", domains.listing) == []


async def test_many_writers_wait_for_their_turn(store: Database, open_store: OpenStore) -> None:
    other = open_store()
    add_domain(store)

    def count_up(conn):
        rows = conn.execute(
            text(
                "SELECT window_days FROM domains WHERE name='a.test' FOR UPDATE"[
                    : 51 if conn.dialect.name == "sqlite" else None
                ]
            )
        )
        days = rows.scalar_one()
        conn.execute(text("UPDATE domains SET window_days=:days WHERE name='a.test'"), {"days": days + 1})

    await defer.gatherResults([(store, other)[n % 2].run("count", count_up) for n in range(60)])
    assert store.read_now("get", lambda conn: domains.get(conn, "a.test")).window_days == 90


def test_the_database_has_a_clock_and_tests_may_replace_it(store: Database, open_store: OpenStore) -> None:
    import time

    assert abs(store.read_now("now", db_now) - time.time()) < 5
    assert open_store(now=lambda: 1234.5).read_now("now", db_now) == 1234.5


def test_a_database_does_not_survive_a_fork(store: Database) -> None:
    store._process = -1
    with pytest.raises(RuntimeError, match="does not survive a fork"):
        store.read_now("any", domains.listing)


def test_the_known_versions_are_those_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", "mailferry:store")
    config.set_main_option("path_separator", "os")
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == KNOWN
