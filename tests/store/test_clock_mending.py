"""A clock that was wrong for a while leaves moments far ahead: they are taken back, and nothing else is (D22)."""

from __future__ import annotations

import pytest

from mailferry.model.causes import Cause
from mailferry.store import accounts, clock_mending, known_networks, leases, nodes, wrong_tries
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.wrong_tries import Full, Reservation, TryKeys, TryLimits
from tests.store.rows import node, now_of, precopy

pytestmark = pytest.mark.hazard("D22")

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365 * DAY
NOW = 2_000_000_000.0
KEYS = TryKeys(account=b"a" * 16, password=b"p" * 16, source="old.test", address="user@a.test")
OTHER_PASSWORD = TryKeys(account=b"a" * 16, password=b"q" * 16, source="old.test", address="user@a.test")
LIMITS = TryLimits(per_account=1, per_source_minute=1)


def mend(store: Database, now: float = NOW) -> int:
    ahead = store.read_now("ahead?", lambda conn: clock_mending.ahead(conn, now=now))
    mended = store.run_now("mend", lambda conn: clock_mending.mend(conn, now=now))
    assert ahead == (mended > 0)
    return mended


def noted(store: Database, account: Account, **moments: float) -> Account:
    store.run_now("note", lambda conn: accounts.note(conn, account.id, **moments))
    return now_of(store, account)


def take(store: Database, node_id: int, now: float) -> list[int]:
    found = store.run_now(
        "take", lambda conn: leases.take(conn, node_id, limit=9, lease_seconds=60.0, now=now)
    )
    return [one.account.id for one in found]


@pytest.mark.parametrize("jump", [2 * DAY, YEAR])
def test_what_was_planned_by_a_clock_that_was_ahead_is_due_again(store: Database, jump: float) -> None:
    account = noted(store, precopy(store), next_due_at=NOW + jump + 300)
    copier = node(store, role="copier", now=NOW)
    store.run_now(
        "window", lambda conn: conn.exec_driver_sql(f"UPDATE domains SET window_ends_at = {NOW + DAY}")
    )
    assert take(store, copier, NOW) == []
    assert mend(store) == 1
    assert take(store, copier, NOW) == [account.id]


def test_a_lease_taken_while_the_clock_was_ahead_goes_to_another_and_its_holder_is_outrun(
    store: Database,
) -> None:
    account = noted(store, precopy(store), next_due_at=NOW)
    store.run_now(
        "window", lambda conn: conn.exec_driver_sql(f"UPDATE domains SET window_ends_at = {NOW + 2 * YEAR}")
    )
    first, second = node(store, role="copier", now=NOW), node(store, role="copier", pid=12, now=NOW)
    assert take(store, first, NOW + YEAR) == [account.id]
    before = now_of(store, account)
    assert take(store, second, NOW + 600) == []
    assert mend(store) == 1
    assert take(store, second, NOW + 1) == [account.id]
    assert now_of(store, account).lease_number == (before.lease_number or 0) + 1


def test_wrong_passwords_of_another_year_lock_nobody_out(store: Database) -> None:
    def reserve(keys: TryKeys, now: float) -> Reservation:
        return store.run_now("reserve", lambda conn: wrong_tries.reserve(conn, keys, LIMITS, now=now))

    row = reserve(KEYS, NOW + YEAR).row
    assert row is not None
    store.run_now(
        "refused", lambda conn: wrong_tries.refused(conn, row, Cause.BAD_CREDENTIALS, now=NOW + YEAR)
    )
    assert reserve(OTHER_PASSWORD, NOW).full in {Full.ACCOUNT, Full.SOURCE}
    assert mend(store) == 1
    assert reserve(OTHER_PASSWORD, NOW).row is not None


@pytest.mark.parametrize("held", ["freeze_until", "drain_until"])
def test_nobody_waits_until_tomorrow_for_a_cutover(store: Database, held: str) -> None:
    account = precopy(store)
    store.run_now("hold", lambda conn: conn.exec_driver_sql(f"UPDATE accounts SET {held} = {NOW + DAY}"))
    assert mend(store) == 1
    assert getattr(now_of(store, account), held) == NOW


def test_a_node_that_died_in_the_future_is_silent_now(store: Database) -> None:
    node(store, now=NOW + YEAR)
    assert mend(store) == 1
    assert [found.renewed_at for found in store.read_now("nodes", nodes.listing)] == [NOW]


def test_a_network_that_was_seen_in_the_future_is_forgotten_in_its_turn(store: Database) -> None:
    store.run_now("seen", lambda conn: known_networks.note(conn, {b"ahead"}, now=NOW + YEAR))
    assert mend(store) == 1
    store.run_now("seen", lambda conn: known_networks.note(conn, {b"now"}, most=1, now=NOW + 1))
    _, seen = store.read_now("seen", lambda conn: known_networks.seen_since(conn, 0.0, now=NOW + 1))
    assert seen == [(b"now", 0.0)]


def test_what_is_planned_for_the_next_hours_stays(store: Database) -> None:
    account = noted(store, precopy(store), next_due_at=NOW + 24 * HOUR, next_retry_at=NOW + 24 * HOUR)
    node(store, now=NOW)
    held = f"lease_until = {NOW + 120}, drain_until = {NOW + 10}, freeze_until = {NOW + 30}"
    store.run_now("hold", lambda conn: conn.exec_driver_sql(f"UPDATE accounts SET {held}"))
    account = now_of(store, account)
    row = store.run_now("try", lambda conn: wrong_tries.reserve(conn, KEYS, LIMITS, now=NOW)).row
    assert row is not None
    assert mend(store) == 0
    assert now_of(store, account) == account
