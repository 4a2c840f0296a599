"""The whole at a glance, the audit log, processes, and who may sign in."""

from __future__ import annotations

import time

import pytest

from mailferry.model.access import Secret
from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.roster import overview, sign_ins
from mailferry.roster.refusals import RosterRefusal
from mailferry.store import accounts as rows
from mailferry.store import samples
from mailferry.store.database import Database
from tests.kit.stores import OpenStore
from tests.roster.rows import WHO, audited, with_domain
from tests.store.rows import apply, node, precopy


def test_the_overview_counts_and_estimates(open_store: OpenStore) -> None:
    store = open_store(now=lambda: 10_000.0)
    with_domain(store)
    with_domain(store, "b.test")
    account = precopy(store)
    apply(store, precopy(store, "bad@b.test"), Event.GAVE_UP, cause=Cause.EXPIRED)

    def fill(conn):
        rows.note(conn, account.id, total=1000, copied=400, bytes_total=9000, bytes_copied=10)
        samples.add(conn, "a.test", messages=300, octets=10, now=9_900.0)
        samples.add(conn, "a.test", messages=999, now=1_000.0)

    store.run_now("fill", fill)
    whole = overview.overview(store)
    assert (whole["accounts"]["in_progress"], whole["accounts"]["failed"]) == (1, 1)
    assert whole["causes"] == {"expired": 1}
    assert whole["messages"] == {"total": 1000, "copied": 400, "remaining": 600, "skipped": 0}
    assert whole["bytes"] == {"total": 9000, "copied": 10}
    assert (whole["messages_per_second"], whole["eta_seconds"]) == (0.5, 1200)
    assert overview.overview(store, "b.test")["eta_seconds"] is None
    assert overview.overview(store, "b.test")["accounts"]["in_progress"] == 0
    points = overview.series(store, hours=24)
    assert sum(point["messages"] for point in points) == 1299
    assert {point["minutes"] for point in points} == {3}


@pytest.mark.hazard("D15")
def test_processes_are_listed_and_a_dead_one_is_declared(store: Database) -> None:
    here = node(store, now=0.0)
    there = node(store, pid=12, now=time.time())
    assert [(one["id"], one["silent"]) for one in overview.processes(store)] == [(here, True), (there, False)]
    with pytest.raises(RosterRefusal, match=f"process {there} is alive"):
        overview.declare_dead(store, there, who=WHO)
    overview.declare_dead(store, here, who=WHO)
    assert [one["id"] for one in overview.processes(store)] == [there]
    assert audited(store) == [(WHO, "process.declare-dead", str(here))]


def test_the_audit_log_is_paged(store: Database) -> None:
    with_domain(store)
    with_domain(store, "b.test")
    newest = overview.audit_log(store, limit=1)
    assert [(row["what"], row["subject"]) for row in newest] == [("domain.add", "b.test")]
    older = overview.audit_log(store, before=newest[0]["id"])
    assert [row["subject"] for row in older] == ["a.test"]
    assert overview.audit_log(store, subject="c.test") == []


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
def test_a_sign_in_needs_its_own_password(store: Database) -> None:
    sign_ins.add(store, "anna", Secret(b"long enough, really"), who=WHO)
    assert sign_ins.is_theirs(store, "anna", Secret(b"long enough, really"))
    assert not sign_ins.is_theirs(store, "anna", Secret(b"something else"))
    assert not sign_ins.is_theirs(store, "bert", Secret(b"nobody has this password"))
    assert [one["name"] for one in sign_ins.listing(store)] == ["anna"]
    for name, password in (("a b", b"long enough"), ("bert", b"short")):
        with pytest.raises(RosterRefusal):
            sign_ins.add(store, name, Secret(password), who=WHO)
    sign_ins.remove(store, "anna", who=WHO)
    with pytest.raises(RosterRefusal, match="there is no sign-in anna"):
        sign_ins.remove(store, "anna", who=WHO)
    assert [what for _, what, _ in audited(store)] == ["admin.add", "admin.remove"]
