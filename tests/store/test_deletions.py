"""Deletions that sessions saw: told by running sums, summed by account, taken off by the copier."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection

from mailferry.model.tap import UNKNOWN_MANY
from mailferry.store import cutovers, deletions, nodes, sessions
from mailferry.store.database import Database
from mailferry.store.faults import StillOpen
from tests.kit.stores import OpenStore
from tests.store.rows import Account, node, open_session, precopy

BOX = b"Work"


def tell(store: Database, **numbers: int) -> None:
    told = {int(name.removeprefix("s")): {BOX: number} for name, number in numbers.items()}
    store.run_now("tell", lambda conn: deletions.tell(conn, told))


def seen(store: Database, account: Account) -> int:
    return store.read_now("seen", lambda conn: deletions.seen(conn, account.id)).get(BOX, 0)


def take_off(store: Database, account: Account, number: int) -> None:
    store.run_now("take off", lambda conn: deletions.take_off(conn, account.id, {BOX: number}))


def test_each_session_tells_its_running_sum_and_the_account_bears_them_all(store: Database) -> None:
    account, other, here = precopy(store), precopy(store, "other@a.test"), node(store)
    one, two = open_session(store, account, here), open_session(store, account, here)
    third = open_session(store, other, here)
    assert seen(store, account) == 0
    tell(store, **{f"s{one}": 3, f"s{two}": 4, f"s{third}": 9})
    tell(store, **{f"s{one}": 3, f"s{two}": 5})
    tell(store, **{f"s{one}": 2})
    assert (seen(store, account), seen(store, other)) == (8, 9)


def test_the_last_word_of_a_session_goes_with_its_row(store: Database) -> None:
    account, here = precopy(store), node(store)
    row = open_session(store, account, here)
    tell(store, **{f"s{row}": 3})
    with pytest.raises(StillOpen):
        store.run_now("freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, 4e9))
    for _ in range(2):
        store.run_now("close", lambda conn: sessions.close_session(conn, row, deletions_seen={BOX: 12}))
    tell(store, **{f"s{row}": 20})
    assert seen(store, account) == 12
    store.run_now("freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, 4e9))


def test_a_process_that_was_declared_dead_tells_nothing_more(store: Database) -> None:
    account, here = precopy(store), node(store)
    row = open_session(store, account, here)
    store.run_now("void", lambda conn: nodes.void(conn, here))
    store.run_now("close", lambda conn: sessions.close_session(conn, row, deletions_seen={BOX: 12}))
    assert seen(store, account) == 0


@pytest.mark.parametrize(
    ("told", "off", "left"), [(12, 5, 7), (12, 12, 0), (12, 13, 0), (0, 1, 0), (UNKNOWN_MANY + 2, 3, UNKNOWN_MANY - 1)]
)  # fmt: skip
def test_what_is_taken_off_is_never_more_than_there_is(
    store: Database, told: int, off: int, left: int
) -> None:
    account = precopy(store)
    row = open_session(store, account, node(store))
    tell(store, **{f"s{row}": told})
    take_off(store, account, off)
    assert seen(store, account) == left


def test_deletions_that_are_told_while_others_are_taken_off_stay(
    store: Database, open_store: OpenStore
) -> None:
    account = precopy(store)
    row = open_session(store, account, node(store))
    tell(store, **{f"s{row}": 100})
    second = open_store()

    def more() -> None:
        for number in range(101, 151):
            second.run_now("tell", lambda conn, number=number: deletions.tell(conn, {row: {BOX: number}}))

    telling = threading.Thread(target=more)
    telling.start()
    for _ in range(50):
        take_off(store, account, 2)
    telling.join()
    assert seen(store, account) == 50


def test_mailboxes_are_counted_and_taken_off_apart(store: Database) -> None:
    account = precopy(store)
    row = open_session(store, account, node(store))
    numbers = {b"INBOX": 5, b"Work": 7}
    store.run_now("tell", lambda conn: deletions.tell(conn, {row: numbers}))
    store.run_now("off", lambda conn: deletions.take_off(conn, account.id, {b"Work": 7, b"Else": 3}))
    store.run_now("tell", lambda conn: deletions.tell(conn, {row: {**numbers, b"INBOX": 6}}))
    assert store.read_now("seen", lambda conn: deletions.seen(conn, account.id)) == {b"INBOX": 6}


def test_sessions_that_ended_are_counted_apart_until_a_pass_has_looked(store: Database) -> None:
    account, here = precopy(store), node(store)

    def ended(conn: Connection) -> int:
        return deletions.sessions_ended(conn, account.id)

    first, second = open_session(store, account, here), open_session(store, account, here)
    assert store.read_now("ended", ended) == 0
    store.run_now("close", lambda conn: sessions.close_session(conn, first))
    store.run_now("close", lambda conn: sessions.close_session(conn, first))
    assert store.read_now("ended", ended) == 1, "safe to repeat"
    store.run_now("void", lambda conn: nodes.void(conn, here))
    assert store.read_now("ended", ended) == 2, f"session {second} ended with its process"
    assert store.read_now("seen", lambda conn: deletions.seen(conn, account.id)) == {}
    store.run_now("looked", lambda conn: deletions.looked_at_ended(conn, account.id, 1))
    assert store.read_now("ended", ended) == 1, "what ended meanwhile stays"
