"""Short writes on the reactor's own thread: whole or not at all, and never waiting for anybody."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest

from mailferry.model.account import Event, Phase
from mailferry.store import sessions
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.glances import Locked
from mailferry.store.jots import IN_A_ROW
from mailferry.store.write_turn import WriteTurn
from tests.kit.stores import OpenStore
from tests.store.rows import apply, idle, node, opening

only_sqlite = pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)


def jotted(account: Account, here: int, **other: object) -> Callable[[sqlite3.Connection, float], int | None]:
    about = replace(opening(account, here), **other)
    return lambda driver, at: sessions.jot_open(driver, at, about)


def begun(store: Database) -> Account:
    return apply(store, idle(store, "a@a.test"), Event.SOURCE_ACCEPTED)


def rows_of(store: Database, account: Account) -> list[int]:
    return [row.id for row in store.read_now("rows", lambda conn: sessions.of_account(conn, account.id))]


@only_sqlite
def test_a_jotted_session_is_there_for_every_process_when_the_call_returns(
    store: Database, open_store: OpenStore
) -> None:
    account, here = begun(store), node(store)
    row = store.jot("open", jotted(account, here))
    assert row is not None
    assert rows_of(open_store(), account) == [row]
    store.jot("close", lambda driver, _at: sessions.jot_closed(driver, row))
    assert rows_of(open_store(), account) == []


@only_sqlite
@pytest.mark.parametrize(
    "other", [{"epoch": 99}, {"phase": Phase.BLOCKED}, {"phase": Phase.FREEZE}, {"node_id": 99}]
)
def test_what_stands_against_a_session_stands_against_a_jotted_one(
    store: Database, other: dict[str, object]
) -> None:
    account, here = begun(store), node(store)
    assert store.jot("open", jotted(account, here, **other)) is None
    assert rows_of(store, account) == []


@only_sqlite
@pytest.mark.hazard("D15")
@pytest.mark.deadline(10)
def test_whoever_has_the_turn_to_write_is_not_waited_for(store: Database) -> None:
    account, here = begun(store), node(store)
    assert store.place.sqlite_path is not None
    other = WriteTurn(store.place.sqlite_path.with_name(store.place.sqlite_path.name + "-turn"))
    other.take(1.0)
    with pytest.raises(Locked):
        store.jot("open", jotted(account, here))
    other.give()
    other.close()
    assert rows_of(store, account) == []
    assert store.jot("open", jotted(account, here)) is not None


@only_sqlite
@pytest.mark.deadline(10)
def test_a_stranger_who_writes_without_the_turn_is_not_waited_for_either(store: Database) -> None:
    account, here = begun(store), node(store)
    assert store.place.sqlite_path is not None
    stranger = sqlite3.connect(store.place.sqlite_path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(Locked):
        store.jot("open", jotted(account, here))
    stranger.execute("ROLLBACK")
    stranger.close()
    assert store.jot("open", jotted(account, here)) is not None


@only_sqlite
@pytest.mark.hazard("D15")
@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), ValueError("ours")])
def test_nothing_stays_of_a_jot_that_breaks_and_the_next_one_goes_well(
    store: Database, error: Exception
) -> None:
    account, here = begun(store), node(store)
    write = jotted(account, here)

    def breaks(driver: sqlite3.Connection, at: float) -> None:
        write(driver, at)
        raise error

    with pytest.raises(Locked if isinstance(error, sqlite3.Error) else ValueError):
        store.jot("open", breaks)
    assert rows_of(store, account) == []
    assert store.jot("open", write) is not None


@pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)
def test_elsewhere_than_on_sqlite_nothing_is_jotted(store: Database) -> None:
    account, here = begun(store), node(store)
    with pytest.raises(Locked):
        store.jot("open", jotted(account, here))


@only_sqlite
def test_one_write_of_a_hundred_goes_to_a_thread_so_that_the_log_is_emptied_there(store: Database) -> None:
    begun(store)
    for _ in range(2):
        for _ in range(IN_A_ROW):
            store.jot("nothing", lambda _driver, _at: None)
        with pytest.raises(Locked):
            store.jot("nothing", lambda _driver, _at: None)


@only_sqlite
def test_a_store_that_nobody_opened_yet_is_opened_by_a_thread(open_store: OpenStore) -> None:
    with pytest.raises(Locked):
        open_store().jot("open", lambda _driver, _at: None)
