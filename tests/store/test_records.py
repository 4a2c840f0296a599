"""Samples for the charts, the audit log, console sign-ins."""

from __future__ import annotations

from mailferry.store import audit, samples, sign_ins
from mailferry.store.database import Database
from mailferry.store.samples import Sample
from tests.store.rows import add_domain


def test_samples_add_up_by_minute_and_domain(store: Database) -> None:
    def fill(conn):
        for name in ("a.test", "b.test"):
            add_domain(conn, name)
        samples.add(conn, "a.test", messages=3, octets=300, now=65.0)
        samples.add(conn, "a.test", messages=2, late=1, logins=4, now=119.9)
        samples.add(conn, "b.test", messages=10, skipped=1, now=120.0)
        samples.add(conn, "a.test", messages=1, now=700.0)

    store.run_now("fill", fill)

    def series(**span):
        return store.read_now("series", lambda conn: samples.series(conn, **span))

    assert series(since=0, until=600) == [
        Sample(60.0, messages=5, octets=300, late=1, skipped=0, logins=4),
        Sample(120.0, messages=10, octets=0, late=0, skipped=1, logins=0),
    ]
    assert [s.messages for s in series(since=0, until=1000, domain="a.test")] == [5, 1]
    assert [(s.at, s.messages) for s in series(since=0, until=1000, step=10)] == [(0.0, 15), (600.0, 1)]
    assert store.run_now("prune", lambda conn: samples.prune(conn, before=600.0)) == 2
    assert [s.messages for s in series(since=0, until=1000)] == [1]


def test_the_audit_log_is_read_newest_first_in_pages(store: Database) -> None:
    def fill(conn):
        for number in range(5):
            audit.write(
                conn,
                who="anna",
                what="account.retry",
                subject=f"u{number % 2}@a.test",
                detail=str(number),
                now=7.0,
            )

    store.run_now("fill", fill)

    def listed(**wanted):
        return store.read_now("list", lambda conn: audit.listing(conn, **wanted))

    assert [row.detail for row in listed()] == ["4", "3", "2", "1", "0"]
    assert [row.detail for row in listed(subject="u1@a.test")] == ["3", "1"]
    page = listed(limit=2)
    assert [row.detail for row in listed(before=page[-1].id)] == ["2", "1", "0"]
    assert (page[0].who, page[0].what, page[0].at) == ("anna", "account.retry", 7.0)


def test_a_sign_in_is_put_replaced_and_removed(store: Database) -> None:
    def put(name: str, verifier: str) -> None:
        store.run_now("put", lambda conn: sign_ins.put(conn, name, verifier, now=5.0))

    put("anna", "v1")
    put("bert", "v2")
    put("anna", "v3")
    found = store.read_now("find", lambda conn: sign_ins.find(conn, "anna"))
    assert (found.verifier, found.added_at) == ("v3", 5.0)
    assert [one.name for one in store.read_now("list", sign_ins.listing)] == ["anna", "bert"]
    assert store.run_now("remove", lambda conn: sign_ins.remove(conn, "anna"))
    assert not store.run_now("remove", lambda conn: sign_ins.remove(conn, "anna"))
