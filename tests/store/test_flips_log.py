"""`flips.log`: a restored back-up that knows fewer flips than the log is found out and brought up."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection

from mailferry.model.account import Event, Phase
from mailferry.store import accounts, cutovers, flips_log
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.store.flips_log import Flip
from tests.kit.stores import OpenStore, fresh_database
from tests.store.rows import add_domain, apply, idle, now_of, precopy


def switched(store: Database, address: str) -> accounts.Account:
    account = precopy(store, address)
    frozen = store.run_now("freeze", lambda conn: cutovers.freeze(conn, account.id, account.epoch, 4e9))
    return store.run_now("flip", lambda conn: cutovers.flip(conn, frozen.id, frozen.epoch))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "flips.log"


def test_each_change_of_side_is_logged_once_and_nothing_else(store: Database, log: Path) -> None:
    flipped = switched(store, "a@a.test")
    early = apply(store, precopy(store, "b@a.test"), Event.EARLY_SWITCH)
    at_once = apply(store, idle(store, "c@a.test"), Event.SOURCE_ACCEPTED_AT_ONCE)
    apply(store, idle(store, "d@a.test"), Event.TARGET_ONLY)
    apply(store, flipped, Event.WINDOW_OVER)
    assert flips_log.catch_up(store, log) == 3
    assert flips_log.catch_up(store, log) == 0
    assert [(flip.address, flip.epoch, flip.phase) for flip in flips_log.read_log(log)] == [
        ("a@a.test", flipped.epoch, Phase.SWITCHED),
        ("b@a.test", early.epoch, Phase.BACKFILL),
        ("c@a.test", at_once.epoch, Phase.BACKFILL),
    ]
    assert log.stat().st_mode & 0o777 == 0o600
    assert flips_log.behind(store, log) == 0


def test_what_is_not_logged_yet_is_found_without_reading_every_flip(store: Database) -> None:
    def plan(conn: Connection) -> str:
        explain = "EXPLAIN QUERY PLAN"
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET enable_seqscan = off")  # the table is too small for any index
            explain = "EXPLAIN"
        asked = flips_log.UNLOGGED.compile(conn, compile_kwargs={"literal_binds": True})
        return str(conn.exec_driver_sql(f"{explain} {asked}").all())

    assert "ix_flips_unlogged" in store.read_now("plan", plan)


def test_a_flip_whose_process_died_before_logging_is_logged_by_the_next(
    store: Database, open_store: OpenStore, log: Path
) -> None:
    switched(store, "a@a.test")
    assert flips_log.read_log(log) == []
    assert flips_log.catch_up(open_store(), log) == 1
    assert flips_log.behind(store, log) == 0


def test_a_line_cut_off_by_a_crash_is_passed_over_and_written_anew(store: Database, log: Path) -> None:
    switched(store, "a@a.test")
    flips_log.catch_up(store, log)
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"address": "b@a.te')
    assert len(flips_log.read_log(log)) == 1
    switched(store, "b@a.test")
    flips_log.catch_up(store, log)
    assert [flip.address for flip in flips_log.read_log(log)] == ["a@a.test", "b@a.test"]
    assert log.read_bytes().startswith(whole)


def test_a_damaged_line_is_named(store: Database, log: Path) -> None:
    log.write_text('{"address": "a@a.test", "epoch": 1, "phase": "SWITCHED", "at": 1}\nrubbish\n')
    with pytest.raises(StoreUnavailable, match=r"flips.log, line 2: is damaged"):
        flips_log.read_log(log)


def test_a_log_that_cannot_be_written_says_so_and_the_flip_stays_to_be_logged(
    store: Database, tmp_path: Path
) -> None:
    switched(store, "a@a.test")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        flips_log.catch_up(store, tmp_path / "missing" / "flips.log")
    assert flips_log.catch_up(store, tmp_path / "flips.log") == 1


def test_a_restored_store_is_found_out_and_reconciled(
    store: Database, store_kind: str, tmp_path: Path, log: Path
) -> None:
    """The back-up is another database that has the accounts as they were before their flips."""
    switched(store, "a@a.test")
    apply(store, precopy(store, "b@a.test"), Event.EARLY_SWITCH)
    switched(store, "new@a.test")
    switched(store, "gone@gone.test")
    flips_log.catch_up(store, log)

    url, remove = fresh_database(store_kind, tmp_path)
    restored = Database(url)
    try:
        a, b = precopy(restored, "a@a.test"), precopy(restored, "b@a.test")
        untouched = precopy(restored, "c@a.test")
        assert flips_log.behind(restored, log) == 4
        missing = flips_log.reconcile(restored, log)
        assert {flip.address for flip in missing} == {"a@a.test", "b@a.test", "new@a.test", "gone@gone.test"}
        assert now_of(restored, a).phase is Phase.SWITCHED
        assert now_of(restored, b).phase is Phase.BACKFILL
        assert now_of(restored, b).next_due_at is not None
        assert now_of(restored, untouched) == untouched
        made = restored.read_now("find", lambda conn: accounts.find(conn, "new@a.test"))
        assert made is not None
        assert made.phase is Phase.SWITCHED
        history = restored.read_now("log", lambda conn: accounts.log(conn, a.id))
        assert (history[0].event, history[0].phase_to) == ("reconciled", Phase.SWITCHED)
        assert now_of(restored, a).epoch > now_of(store, a).epoch
        assert flips_log.behind(restored, log) == 0
        assert flips_log.reconcile(restored, log) == []
        assert flips_log.catch_up(restored, log) == 0
    finally:
        restored.close()
        remove()


@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
@pytest.mark.hazard("D18")
def test_a_copy_of_the_files_taken_at_any_moment_starts(store: Database, tmp_path: Path, log: Path) -> None:
    """Copies made between writes, as a power cut leaves them: the log ahead is told, nothing else is wrong."""
    source = next(tmp_path.rglob("*.db"))
    store.run_now("domain", add_domain)
    for number in range(8):
        switched(store, f"u{number}@a.test")
        flips_log.catch_up(store, log)
        copy = tmp_path / f"copy{number}"
        copy.mkdir()
        for name in (source.name, f"{source.name}-wal"):
            (copy / name).write_bytes(source.with_name(name).read_bytes())
        again = Database(f"sqlite:///{copy / source.name}")
        again.upgrade()
        assert flips_log.behind(again, log) == 0
        again.close()
        checked = sqlite3.connect(copy / source.name)
        assert checked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        checked.close()


def test_the_log_is_one_json_object_a_line(store: Database, log: Path) -> None:
    switched(store, "a@a.test")
    flips_log.catch_up(store, log)
    row = json.loads(log.read_text())
    assert set(row) == {"address", "epoch", "phase", "at"}
    assert flips_log.read_log(log) == [Flip(row["address"], row["epoch"], Phase(row["phase"]), row["at"])]
