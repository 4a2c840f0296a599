"""Leases: one holder at a time, a number that only grows, and nodes whose death frees what they held."""

from __future__ import annotations

import threading

import pytest

from mailferry.model.account import Event, Phase
from mailferry.store import accounts, domains, leases, nodes
from mailferry.store.database import Database
from mailferry.store.faults import LeaseLost, NodeVoid
from tests.kit.stores import OpenStore
from tests.store.rows import apply, idle, node, now_of, precopy

LATER = 10_000.0


def due_at(store: Database, account: accounts.Account, at: float | None) -> None:
    store.run_now("due", lambda conn: accounts.note(conn, account.id, next_due_at=at))


def at_source(store: Database, address: str = "user@a.test", *, due: float = 0.0) -> accounts.Account:
    account = precopy(store, address)
    due_at(store, account, due)
    return account


def take(
    store: Database, node_id: int, *, now: float = LATER, limit: int = 10, seconds: float = 60.0, **more
):
    return store.run_now(
        "take",
        lambda conn: leases.take(conn, node_id, limit=limit, lease_seconds=seconds, now=now, **more),
    )


def test_what_is_due_is_taken_longest_due_first_and_only_once(store: Database) -> None:
    first, second = at_source(store, "a@a.test", due=20.0), at_source(store, "b@a.test", due=10.0)
    at_source(store, "c@a.test", due=LATER + 1)
    idle(store, "d@a.test")
    here, there = node(store, role="copier"), node(store, role="copier", pid=12)
    taken = take(store, here, limit=1)
    assert [one.account.id for one in taken] == [second.id]
    assert [one.account.id for one in take(store, there)] == [first.id]
    assert take(store, here) == []


def test_a_lease_that_ran_out_goes_to_another_and_its_first_holder_writes_nothing_more(
    store: Database,
) -> None:
    account = at_source(store)
    here, there = node(store, role="copier"), node(store, role="copier", pid=12)
    old = take(store, here)[0].lease
    assert take(store, there, now=LATER + 59) == []
    new = take(store, there, now=LATER + 60)[0].lease
    assert new.number == old.number + 1

    def hold(lease, now):
        return store.run_now("hold", lambda conn: leases.hold(conn, lease, now=now))

    with pytest.raises(LeaseLost):
        hold(old, LATER + 61)
    with pytest.raises(LeaseLost):
        store.run_now("renew", lambda conn: leases.renew(conn, old, lease_seconds=60, now=LATER + 61))
    store.run_now("release", lambda conn: leases.release(conn, old, next_due_at=5.0))
    assert hold(new, LATER + 61).id == account.id
    renewed = store.run_now("renew", lambda conn: leases.renew(conn, new, lease_seconds=60, now=LATER + 100))
    assert hold(renewed, LATER + 159).lease_until == LATER + 160


@pytest.mark.hazard("D24")
def test_a_lease_taken_anew_by_the_same_node_is_another_lease(store: Database) -> None:
    at_source(store)
    here = node(store, role="copier")
    old = take(store, here)[0].lease
    new = take(store, here, now=LATER + 60)[0].lease
    with pytest.raises(LeaseLost):
        store.run_now("hold", lambda conn: leases.hold(conn, old, now=LATER + 61))
    with pytest.raises(LeaseLost):
        store.run_now("renew", lambda conn: leases.renew(conn, old, lease_seconds=60, now=LATER + 61))
    store.run_now("hold", lambda conn: leases.hold(conn, new, now=LATER + 61))


def test_a_holder_whose_own_lease_ran_out_writes_nothing_even_if_nobody_took_it(store: Database) -> None:
    at_source(store)
    lease = take(store, node(store))[0].lease
    with pytest.raises(LeaseLost):
        store.run_now("hold", lambda conn: leases.hold(conn, lease, now=LATER + 60))


def test_a_released_account_is_due_when_said(store: Database) -> None:
    account = at_source(store)
    here = node(store)
    lease = take(store, here)[0].lease
    store.run_now("release", lambda conn: leases.release(conn, lease, next_due_at=LATER + 300))
    assert take(store, here, now=LATER + 299) == []
    again = take(store, here, now=LATER + 300)[0]
    store.run_now("release", lambda conn: leases.release(conn, again.lease, next_due_at=None))
    assert now_of(store, account).next_due_at is None


def test_an_account_that_was_woken_during_its_run_is_due_at_once(store: Database) -> None:
    account = at_source(store)
    here = node(store)
    lease = take(store, here)[0].lease
    store.run_now("wake", lambda conn: accounts.wake(conn, account.id, now=LATER + 5))
    store.run_now("release", lambda conn: leases.release(conn, lease, next_due_at=LATER + 300))
    again = take(store, here, now=LATER + 10)
    assert [one.account.id for one in again] == [account.id]
    store.run_now("release", lambda conn: leases.release(conn, again[0].lease, next_due_at=LATER + 300))
    assert take(store, here, now=LATER + 20) == []


def test_a_login_that_starts_the_copy_anew_is_not_lost_on_a_running_copier(store: Database) -> None:
    account = apply(store, at_source(store), Event.GAVE_UP, next_due_at=1.0)
    here = node(store)
    lease = take(store, here)[0].lease
    apply(store, account, Event.RETRIED, who="anna", now=LATER + 1)
    store.run_now("release", lambda conn: leases.release(conn, lease, next_due_at=LATER + 900))
    assert take(store, here, now=LATER + 2)[0].account.phase is Phase.PRECOPY


def test_paused_accounts_and_domains_rest(store: Database) -> None:
    one, two = at_source(store, "u@a.test"), at_source(store, "u@b.test")
    here = node(store)
    store.run_now("pause", lambda conn: accounts.note(conn, one.id, paused=True))
    store.run_now("pause", lambda conn: domains.set_rules(conn, "b.test", paused=True))
    assert take(store, here) == []
    store.run_now("resume", lambda conn: domains.set_rules(conn, "b.test", paused=False))
    assert [one.account.id for one in take(store, here)] == [two.id]


def test_of_each_domain_as_many_are_taken_as_its_share_and_of_others_none(store: Database) -> None:
    for number in range(4):
        at_source(store, f"u{number}@a.test", due=float(number))
        at_source(store, f"u{number}@b.test", due=100.0 + number)
    here = node(store)
    taken = take(store, here, limit=4, shares={"b.test": 1, "a.test": 2, "c.test": 5})
    assert [one.account.address for one in taken] == ["u0@b.test", "u0@a.test", "u1@a.test"]
    held = store.read_now("held", lambda conn: leases.held_by_domain(conn, now=LATER + 1))
    assert held == {"a.test": 2, "b.test": 1}
    assert store.read_now("held", lambda conn: leases.held_by_domain(conn, now=LATER + 60)) == {}


@pytest.mark.parametrize("enough", [2, 3, 100])
def test_the_domains_that_have_work_are_told_with_their_oldest(store: Database, enough: int) -> None:
    for number in range(4):
        at_source(store, f"u{number}@a.test", due=50.0 - number)
    at_source(store, "u@b.test", due=7.0)
    at_source(store, "u@c.test", due=LATER + 1)
    paused = at_source(store, "v@b.test")
    store.run_now("pause", lambda conn: accounts.note(conn, paused.id, paused=True))
    take(store, node(store), shares={"a.test": 1}, limit=1)
    found = store.read_now("due", lambda conn: leases.due_domains(conn, enough=enough, now=LATER + 1))
    assert {(one.domain, one.accounts, one.due_at) for one in found} == {
        ("a.test", min(3, enough), 48.0),
        ("b.test", 1, 7.0),
        ("c.test", 1, LATER + 1),
    }


def test_a_copy_goes_on_thirty_days_after_its_window_and_no_longer(store: Database) -> None:
    account = at_source(store)
    here = node(store)
    ends = store.read_now("domain", lambda conn: domains.get(conn, account.domain)).window_ends_at
    assert take(store, here, now=ends + 30 * 86400.0) == []
    assert len(take(store, here, now=ends + 30 * 86400.0 - 1)) == 1


@pytest.mark.hazard("D24")
def test_of_many_copiers_one_gets_an_account(store: Database, open_store: OpenStore) -> None:
    for number in range(12):
        at_source(store, f"u{number}@a.test")
    databases = [store, open_store(), open_store()]
    ids = [node(store, pid=20 + number) for number in range(3)]
    got: list[int] = []

    def copier(database: Database, node_id: int) -> None:
        for _ in range(6):
            got.extend(one.account.id for one in take(database, node_id, limit=2))

    copiers = [threading.Thread(target=copier, args=pair) for pair in zip(databases, ids, strict=True)]
    for thread in copiers:
        thread.start()
    for thread in copiers:
        thread.join()
    assert sorted(got) == sorted(set(got))
    assert len(got) == 12


def test_a_dead_copier_frees_what_it_held(store: Database) -> None:
    account = at_source(store)
    here, there = node(store, role="copier", pid=11), node(store, role="copier", pid=12)
    lease = take(store, here)[0].lease
    store.run_now("void", lambda conn: nodes.void_process(conn, "here", 11))
    with pytest.raises(LeaseLost):
        store.run_now("hold", lambda conn: leases.hold(conn, lease, now=LATER))
    assert [one.account.id for one in take(store, there)] == [account.id]
    assert take(store, here) == []
    with pytest.raises(NodeVoid):
        store.run_now("renew", lambda conn: nodes.renew(conn, here))


def test_a_host_that_started_anew_voids_its_earlier_nodes_and_no_others(store: Database) -> None:
    old = node(store, host="h1", boot="b1", pid=1)
    elsewhere = node(store, host="h2", boot="b1", pid=1)
    same_boot = node(store, host="h1", boot="b1", pid=2)
    new = node(store, host="h1", boot="b2", pid=1)
    left = {n.id for n in store.read_now("nodes", nodes.listing)}
    assert left == {elsewhere, new}
    assert len({old, elsewhere, same_boot, new}) == 4


def test_renewal_ends_silence(store: Database) -> None:
    here = node(store, now=0.0)

    def silent(now: float) -> list[int]:
        return [n.id for n in store.read_now("silent", lambda conn: nodes.silent(conn, now=now))]

    assert silent(61.0) == [here]
    store.run_now("renew", lambda conn: nodes.renew(conn, here, now=50.0))
    assert silent(61.0) == []


def test_the_queue_counts_what_waits(store: Database) -> None:
    at_source(store, "a@a.test")
    at_source(store, "b@a.test")
    take(store, node(store), limit=1)
    assert store.read_now("queue", lambda conn: leases.queue_length(conn, now=LATER)) == 1
