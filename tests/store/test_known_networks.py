"""Networks that logged in, as rows: seen again, asked for from a moment on, and never more than so many."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from mailferry.store import known_networks
from mailferry.store.database import Database

pytestmark = pytest.mark.hazard("T29")

NOW = 2_000_000_000.0


def note(store: Database, networks: Collection[bytes], at: float, most: int = 9) -> None:
    store.run_now("note", lambda conn: known_networks.note(conn, networks, most=most, now=at), durable=False)


def seen(store: Database, since: float = 0.0, now: float = NOW) -> list[tuple[bytes, float]]:
    at, found = store.read_now("seen", lambda conn: known_networks.seen_since(conn, since, now=now))
    assert at == now
    return list(found)


def test_a_network_is_known_by_when_it_was_seen_last(store: Database) -> None:
    note(store, {b"one", b"two"}, NOW - 100)
    note(store, {b"two", b"three"}, NOW - 10)
    note(store, set(), NOW)
    assert seen(store) == [(b"one", 100.0), (b"three", 10.0), (b"two", 10.0)]
    assert seen(store, since=NOW - 50) == [(b"three", 10.0), (b"two", 10.0)]
    assert seen(store, since=NOW) == []


def test_beyond_so_many_those_seen_longest_ago_go(store: Database) -> None:
    for number in range(12):
        note(store, {b"%02d" % number}, NOW - 100 + number, most=4)
    assert [network for network, _ in seen(store)] == [b"08", b"09", b"10", b"11"]
    note(store, {b"08"}, NOW - 50, most=4)
    note(store, {b"new"}, NOW - 49, most=4)
    assert [network for network, _ in seen(store)] == [b"10", b"11", b"08", b"new"]


def test_thousands_come_in_one_transaction(store: Database) -> None:
    many = {number.to_bytes(8) for number in range(2500)}
    note(store, many, NOW, most=2000)
    assert len(seen(store)) == 2000
    note(store, many, NOW + 1, most=2600)
    assert {network for network, _ in seen(store, now=NOW + 1)} == many
