"""Wrong tries: reserved before the source is asked, counted for a while, remembered, forgotten on request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, event, func, select

from mailferry.model.causes import Cause
from mailferry.store import domain_refusals, wrong_tries
from mailferry.store.database import Database
from mailferry.store.schema import wrong_tries as table
from mailferry.store.wrong_tries import Full, Reservation, TryKeys, TryLimits
from tests.kit.stores import OpenStore
from tests.store.rows import idle

LIMITS = TryLimits(per_account=3, per_source_minute=5)
LI = TryKeys(b"a" * 16, b"0" * 16, "old.test", "li@a.test")
AWAITED = Reservation(full=Full.SAME_PASSWORD, passing=True)


def guess(number: int, keys: TryKeys = LI) -> TryKeys:
    return replace(keys, password=number.to_bytes(16, "big"))


def someone(number: int) -> TryKeys:
    return guess(number, replace(LI, account=number.to_bytes(16, "big"), address=f"{number}@a.test"))


def reserve(store: Database, keys: TryKeys, now: float = 0.0, limits: TryLimits = LIMITS) -> Reservation:
    return store.run_now("reserve", lambda conn: wrong_tries.reserve(conn, keys, limits, now=now))


def wrong(
    store: Database, keys: TryKeys, now: float = 0.0, cause: Cause = Cause.BAD_CREDENTIALS
) -> Reservation:
    got = reserve(store, keys, now)
    if got.row is not None:
        store.run_now("refused", lambda conn: wrong_tries.refused(conn, got.row, cause, now=now))
    return got


def standing(store: Database, keys: TryKeys, now: float = 0.0) -> Reservation | None:
    return store.read_now("standing", lambda conn: wrong_tries.standing(conn, keys, LIMITS, now=now))


def test_an_account_has_so_many_tries_in_fifteen_minutes(store: Database) -> None:
    assert [wrong(store, guess(n), now=n * 100.0).row is not None for n in range(3)] == [True] * 3
    assert wrong(store, guess(3), now=300.0) == Reservation(full=Full.ACCOUNT)
    assert wrong(store, someone(9), now=300.0).row is not None
    assert wrong(store, guess(3), now=899.0) == Reservation(full=Full.ACCOUNT)
    assert wrong(store, guess(3), now=900.0).row is not None


def test_a_source_has_so_many_tries_in_a_minute(store: Database) -> None:
    assert [wrong(store, someone(n)).row is not None for n in range(5)] == [True] * 5
    assert wrong(store, someone(5), now=59.0) == Reservation(full=Full.SOURCE)
    elsewhere = replace(someone(5), source="other.test")
    assert wrong(store, elsewhere, now=59.0).row is not None
    assert wrong(store, someone(6), now=60.0).row is not None


@pytest.mark.parametrize(
    ("cause", "remembered"),
    [
        (Cause.BAD_CREDENTIALS, True),
        (Cause.UNKNOWN_USER, True),
        (Cause.AMBIGUOUS_REFUSAL, False),
        (Cause.PROTOCOL_DISABLED, False),
        (Cause.UNKNOWN, False),
    ],
)
def test_only_a_certain_refusal_is_remembered_and_for_ten_minutes(
    store: Database, cause: Cause, remembered: bool
) -> None:
    wrong(store, guess(1), cause=cause)
    assert standing(store, guess(1), 599.0) == (Reservation(refused=cause) if remembered else None)
    assert standing(store, guess(1), 600.0) is None
    assert standing(store, guess(2), 1.0) is None


def test_a_try_that_is_awaited_counts_and_its_password_is_not_asked_twice(store: Database) -> None:
    first = reserve(store, guess(1))
    assert reserve(store, guess(1)) == AWAITED
    reserve(store, guess(2))
    wrong(store, guess(3))
    assert reserve(store, guess(4)) == Reservation(full=Full.ACCOUNT, passing=True)
    store.run_now("release", lambda conn: wrong_tries.release(conn, first.row))
    assert reserve(store, guess(1)).row is not None


def test_a_try_whose_process_died_goes_on_to_count_but_holds_nobody_up(store: Database) -> None:
    reserve(store, guess(1))
    assert reserve(store, guess(1), now=119.0) == AWAITED
    assert reserve(store, guess(1), now=120.0).row is not None
    reserve(store, guess(2), now=120.0)
    assert reserve(store, guess(3), now=250.0) == Reservation(full=Full.ACCOUNT)


def test_a_known_password_that_was_refused_is_remembered_and_counts_nowhere(store: Database) -> None:
    for number in range(9):
        keys = guess(number)
        store.run_now(
            "known",
            lambda conn, keys=keys: domain_refusals.refused(conn, keys, Cause.BAD_CREDENTIALS, now=0.0),
        )
    assert standing(store, guess(3), 1.0) == Reservation(refused=Cause.BAD_CREDENTIALS)
    assert standing(store, guess(9), 1.0) is None


def at_home(number: int, network: bytes, *, trusted: bool = False) -> TryKeys:
    return replace(someone(number), network=network, trusted=trusted)


@pytest.mark.hazard("T29")
def test_a_network_has_its_share_and_the_last_quarter_is_for_networks_that_logged_in(store: Database) -> None:
    limits = TryLimits(per_account=3, per_source_minute=8)

    def tried(network: bytes, first: int, count: int, **more: bool) -> list[Full | None]:
        return [
            reserve(store, at_home(number, network, **more), limits=limits).full
            for number in range(first, first + count)
        ]

    net, no_more = Full.NETWORK, Full.SOURCE
    assert tried(b"n" * 8, 0, 4) == [None, None, net, net]
    assert tried(b"o" * 8, 10, 3) == [None, None, net]
    assert tried(b"p" * 8, 20, 3) == [None, None, net]
    assert tried(b"q" * 8, 30, 2) == [no_more, no_more]
    assert tried(b"h" * 8, 40, 3, trusted=True) == [None, None, no_more]
    assert reserve(store, at_home(50, b"z" * 8), 60.0, limits).row is not None


@pytest.mark.hazard("T29")
def test_a_network_that_logged_in_leaves_a_quarter_to_the_others(store: Database) -> None:
    limits = TryLimits(per_account=3, per_source_minute=8)
    office = [reserve(store, at_home(n, b"h" * 8, trusted=True), limits=limits).full for n in range(8)]
    assert office == [None] * 6 + [Full.NETWORK] * 2
    other = [reserve(store, at_home(10 + n, b"i" * 8, trusted=True), limits=limits).full for n in range(3)]
    assert other == [None, None, Full.SOURCE]


def test_a_password_is_the_same_from_whatever_network(store: Database) -> None:
    wrong(store, replace(guess(1), network=b"n" * 8))
    assert standing(store, replace(guess(1), network=b"o" * 8)) == Reservation(refused=Cause.BAD_CREDENTIALS)


@pytest.mark.hazard("T29")
def test_an_answer_that_is_noted_while_somebody_looks_is_not_missed(store: Database, store_kind: str) -> None:
    """PostgreSQL shows each statement of a writing transaction what was committed before it."""
    row = reserve(store, guess(1)).row
    assert row is not None

    def look(conn: Connection) -> Reservation | None:
        looked: list[str] = []

        def note_between(_conn: object, _cursor: object, statement: str, *_more: object) -> None:
            looked.append(statement)
            if sum("wrong_tries" in one for one in looked) == 1:
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(
                        store.run_now,
                        "refused",
                        lambda c: wrong_tries.refused(c, row, Cause.BAD_CREDENTIALS, now=0.0),
                    ).result()

        event.listen(conn, "after_cursor_execute", note_between)
        try:
            return wrong_tries.standing(conn, guess(1), LIMITS, now=0.0)
        finally:
            event.remove(conn, "after_cursor_execute", note_between)

    run = store.run_now if store_kind == "postgresql" else store.read_now  # SQLite has one writer at a time
    assert run("look", look) in (Reservation(refused=Cause.BAD_CREDENTIALS), AWAITED)
    assert standing(store, guess(1)) == Reservation(refused=Cause.BAD_CREDENTIALS)


def test_forgotten_tries_count_at_the_source_only(store: Database) -> None:
    account = idle(store, LI.address)
    for number in range(3):
        wrong(store, guess(number), now=1.0)
    assert standing(store, guess(9), 2.0) == Reservation(full=Full.ACCOUNT)
    store.run_now("forget", lambda conn: wrong_tries.forget(conn, account.id, now=2.0))
    assert standing(store, guess(0), 3.0) is None
    for number in range(2):
        assert wrong(store, guess(number), now=3.0).row is not None
    assert standing(store, guess(9), 4.0) == Reservation(full=Full.SOURCE)


def test_old_tries_go_by_themselves(store: Database) -> None:
    for number in range(3):
        wrong(store, guess(number))
    wrong(store, someone(1), now=900.0)
    left = store.read_now(
        "count", lambda conn: conn.execute(select(func.count()).select_from(table)).scalar()
    )
    assert left == 1


@pytest.mark.hazard("T29")
def test_parallel_tries_in_several_processes_stay_within_both_limits(
    store: Database, open_store: OpenStore
) -> None:
    databases = [store, open_store()]

    def try_one(number: int) -> bool:
        keys = guess(number) if number % 2 else someone(number)
        return reserve(databases[number % 3 % 2], keys).row is not None

    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(try_one, range(60)))
    of_account = sum(granted[1::2])
    assert (of_account <= 3, sum(granted)) == (True, 5)
