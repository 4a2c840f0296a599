"""A database that is locked, full, damaged, gone or stopped: one clear line, nothing half done."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailferry.model.account import Event
from mailferry.store import domains, flips_log
from mailferry.store.database import Database
from mailferry.store.engines import database_url, place_of
from mailferry.store.faults import StoreUnavailable
from mailferry.store.write_turn import TurnMissed, WriteTurn
from tests.kit.stores import OpenStore, fresh_database
from tests.store.rows import add_domain, apply, idle

only_sqlite = pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("store_kind", ["postgresql"], indirect=True)


def file_of(store: Database) -> Path:
    assert store.place.sqlite_path is not None
    return store.place.sqlite_path


@only_sqlite
@pytest.mark.hazard("D19")
def test_a_stranger_that_keeps_the_file_locked_is_named(store: Database, open_store: OpenStore) -> None:
    hasty = open_store(busy_seconds=0.2)
    store.run_now("domain", add_domain)
    stranger = sqlite3.connect(file_of(store), isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"is locked by another process; find it"):
        hasty.run_now("add", lambda conn: add_domain(conn, "b.test"))
    assert len(hasty.read_now("list", domains.listing)) == 1
    stranger.execute("ROLLBACK")
    stranger.close()
    hasty.run_now("add", lambda conn: add_domain(conn, "b.test"))


@only_sqlite
@pytest.mark.hazard("D19")
def test_a_process_of_ours_that_hangs_while_writing_is_named(store: Database, open_store: OpenStore) -> None:
    hasty = open_store(busy_seconds=0.2)
    turn = WriteTurn(file_of(store).with_name(file_of(store).name + "-turn"))
    turn.take(1)
    with pytest.raises(StoreUnavailable, match=r"another process has been writing for 0.2 s"):
        hasty.run_now("add", add_domain)
    turn.give()
    turn.close()
    hasty.run_now("add", add_domain)


@only_sqlite
@pytest.mark.hazard("D19")
def test_a_full_disk_is_told_and_what_was_there_stays(store: Database) -> None:
    store.run_now("domain", add_domain)

    def fill(conn):
        for number in range(400):
            add_domain(conn, f"d{number}.test", login_form="x" * 5000)

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = file_of(store).with_name(file_of(store).name + "-wal")
    # a limit on the size of files is a full disk in miniature: SQLite reports SQLITE_FULL or an I/O error
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100_000, limit[1]))
    try:
        with pytest.raises(StoreUnavailable, match=r"the disk is full|reading or writing failed"):
            store.run_now("fill", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [domain.name for domain in store.read_now("list", domains.listing)] == ["a.test"]
    store.run_now("add", lambda conn: add_domain(conn, "b.test"))


@only_sqlite
@pytest.mark.hazard("D19")
def test_damage_is_told_and_never_papered_over(store: Database, open_store: OpenStore) -> None:
    store.run_now(
        "domain", lambda conn: [add_domain(conn, f"d{n}.test", login_form="x" * 3000) for n in range(60)]
    )
    store.scrub()
    store.close()
    path = file_of(store)
    octets = bytearray(path.read_bytes())
    for at in range(4096 * 60, len(octets), 4096):
        octets[at : at + 200] = os.urandom(200)
    path.write_bytes(octets)
    with pytest.raises(StoreUnavailable, match=r"is damaged; stop mailferry, keep a copy.*db reconcile"):
        open_store().read_now("list", domains.listing)
    assert path.read_bytes() == bytes(octets)


@only_sqlite
@pytest.mark.hazard("D19")
def test_what_is_no_database_is_left_alone(store: Database, tmp_path: Path) -> None:
    path = tmp_path / "mailferry.db"
    path.write_bytes(b"Dear diary, " * 1000)
    other = Database(f"sqlite:///{path}")
    for ask in (other.upgrade, lambda: other.read_now("list", domains.listing)):
        with pytest.raises(StoreUnavailable, match="is not a database of mailferry"):
            ask()
    other.close()
    assert path.read_bytes().startswith(b"Dear diary")


@only_sqlite
@pytest.mark.hazard("D19")
def test_a_file_that_is_missing_is_not_made_anew_by_asking(store: Database, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'gone.db'}")
    with pytest.raises(StoreUnavailable, match="cannot be opened; check that it exists"):
        other.read_now("list", domains.listing)
    assert not (tmp_path / "gone.db").exists()
    nowhere = Database(f"sqlite:///{tmp_path / 'no' / 'where.db'}")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        nowhere.upgrade()


@only_sqlite
def test_the_files_are_their_owners_alone(store: Database, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'a b%?#.db'}")
    other.upgrade()
    other.run_now("add", add_domain)
    files = sorted(path for path in tmp_path.iterdir() if path.name.startswith("a b"))
    assert len(files) >= 3
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    other.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
@only_sqlite
def test_what_root_makes_belongs_to_the_folders_owner(store: Database, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    other = Database(f"sqlite:///{folder / 'mailferry.db'}")
    other.upgrade()
    account = idle(other)
    apply(other, account, Event.SOURCE_ACCEPTED_AT_ONCE)
    flips_log.catch_up(other, folder / "flips.log")
    made = {path.name: path.stat().st_uid for path in folder.iterdir()}
    assert set(made) >= {"mailferry.db", "mailferry.db-turn", "mailferry.db-wal", "flips.log"}
    assert set(made.values()) == {65534}
    other.close()


@only_sqlite
@pytest.mark.hazard("D18")
def test_a_process_killed_while_writing_leaves_a_whole_database(store: Database) -> None:
    store.run_now("domain", add_domain)
    script = (
        "import sys\n"
        "from mailferry.store import samples\n"
        "from mailferry.store.database import Database\n"
        "store = Database(sys.argv[1])\n"
        "for n in range(100000):\n"
        "    store.run_now('add', lambda conn: samples.add(conn, 'a.test', messages=1, now=60.0 * n))\n"
        "    print(n, flush=True)\n"
    )
    done = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", script, f"sqlite:///{file_of(store)}"], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            for _ in range(20):
                done += bool(writer.stdout.readline())
            writer.kill()
    assert done == 40
    kept = store.read_now(
        "count", lambda conn: conn.exec_driver_sql("SELECT sum(messages) FROM samples").scalar()
    )
    assert kept >= 40
    assert store.read_now("ok", lambda conn: conn.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
    store.run_now("add", lambda conn: add_domain(conn, "b.test"))


@only_sqlite
@pytest.mark.hazard("D19")
def test_no_commit_happens_while_another_connection_runs_a_checkpoint(
    store: Database, open_store: OpenStore
) -> None:
    """SQLite's write lock does not cover checkpoints; ours does (the WAL-reset bug of SQLite up to 3.51.2)."""
    turn, missed = store._turn, []
    assert turn is not None
    inside = threading.Event()
    go_on = threading.Event()

    def work(conn):
        inside.set()
        go_on.wait(5)

    writer = threading.Thread(target=lambda: store.run_now("slow", work))
    writer.start()
    assert inside.wait(5)
    other = open_store(busy_seconds=0.1)
    for attempt in (other.scrub, lambda: other.run_now("add", add_domain)):
        try:
            attempt()
        except StoreUnavailable as error:
            missed.append(str(error))
    go_on.set()
    writer.join()
    assert len(missed) == 2
    other.scrub()


def test_the_turn_goes_from_thread_to_thread(tmp_path: Path) -> None:
    turn = WriteTurn(tmp_path / "turn")
    turn.take(1)
    with pytest.raises(TurnMissed):
        turn.take(0.01)
    turn.give()
    turn.take(1)
    turn.give()
    turn.close()
    with pytest.raises(OSError):
        WriteTurn(tmp_path / "no" / "where").take(1)


@only_postgresql
@pytest.mark.hazard("D19")
def test_a_server_that_cannot_be_reached_is_named_without_its_password(store_kind: str) -> None:
    gone = Database("postgresql://boss:s3cret@127.0.0.1:1/mail", busy_seconds=1)
    with pytest.raises(StoreUnavailable, match=r"postgresql://127.0.0.1/mail: cannot be reached") as told:
        gone.read_now("list", domains.listing)
    assert "s3cret" not in str(told.value)
    gone.close()


@only_postgresql
@pytest.mark.hazard("D19")
def test_connections_that_the_server_ended_are_made_anew(store: Database, store_url: str) -> None:
    store.run_now("domain", add_domain)

    def end_all() -> None:
        with psycopg.connect(store_url, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    end_all()
    assert len(store.read_now("list", domains.listing)) == 1
    end_all()
    store.run_now("add", lambda conn: add_domain(conn, "b.test"))
    ended: list[bool] = []

    def in_the_middle(conn):
        add_domain(conn, "c.test")
        if not ended:
            ended.append(True)
            end_all()
        add_domain(conn, "d.test")

    store.run_now("middle", in_the_middle)
    assert [d.name for d in store.read_now("list", domains.listing)] == [
        "a.test",
        "b.test",
        "c.test",
        "d.test",
    ]


@only_postgresql
@pytest.mark.hazard("D19")
def test_a_commit_that_nobody_answered_is_not_done_again_and_told_as_what_it_is(
    store: Database, store_url: str
) -> None:
    """It may have happened: whoever did it once more might do it twice."""
    begun: list[int] = []

    def ended_behind_it(conn):
        begun.append(1)
        add_domain(conn, "a.test")
        pid = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with psycopg.connect(store_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
            for _ in range(500):
                if not other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
                    break

    with pytest.raises(StoreUnavailable, match="lost during a commit, which may have happened or not"):
        store.run_now("behind", ended_behind_it)
    assert begun == [1]
    assert store.read_now("list", domains.listing) == []
    store.run_now("again", add_domain)


@pytest.mark.peer("postgresql")
@pytest.mark.hazard("D19")
def test_a_postgresql_that_is_killed_in_a_transaction_is_told_and_asked_again_when_it_is_back(
    start_peer: Callable[..., Any],
) -> None:
    server = start_peer("postgresql", durable=True)
    store = Database(server.fresh_database(), busy_seconds=2)
    store.upgrade()
    store.run_now("before", lambda conn: add_domain(conn, "a.test"))
    stopped: list[bool] = []

    def in_the_middle(conn):
        add_domain(conn, "b.test")
        if not stopped:
            stopped.append(True)
            server.kill()
        add_domain(conn, "c.test")

    with pytest.raises(StoreUnavailable, match="cannot be reached; check that it runs"):
        store.run_now("middle", in_the_middle)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.read_now("list", domains.listing)
    server.start()
    assert [domain.name for domain in store.read_now("list", domains.listing)] == ["a.test"]
    store.run_now("after", in_the_middle)
    assert len(store.read_now("list", domains.listing)) == 3
    store.close()


@only_postgresql
def test_a_deadlock_is_run_again(store: Database, open_store: OpenStore) -> None:
    store.run_now("domains", lambda conn: [add_domain(conn, name) for name in ("a.test", "b.test")])
    meet = threading.Barrier(2)
    tries: list[str] = []
    done: list[str] = []

    def crossing(database: Database, first: str, second: str) -> None:
        def work(conn):
            tries.append(first)
            domains.set_rules(conn, first, language="zh")
            if len(tries) <= 2:
                meet.wait(5)
            domains.set_rules(conn, second, language="zh")

        database.run_now("crossing", work)
        done.append(first)

    pair = [("a.test", "b.test", store), ("b.test", "a.test", open_store())]
    threads = [threading.Thread(target=crossing, args=(one[2], one[0], one[1])) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["a.test", "b.test"]
    # One more try is the rule. The one that lost may take its row again before the other has
    # woken up, and then they meet once more.
    assert len(tries) >= 3


def test_an_address_that_is_no_database_of_ours_is_refused(tmp_path: Path) -> None:
    for wrong in ("mysql://x/y", "sqlite://", "sqlite:///:memory:", "rubbish"):
        with pytest.raises(StoreUnavailable, match="write sqlite, or postgresql://"):
            place_of(wrong)
    assert place_of(database_url("sqlite", tmp_path)).sqlite_path == tmp_path / "mailferry.db"
    assert database_url("postgresql://x/y", tmp_path) == "postgresql://x/y"


def test_a_mistake_of_ours_is_no_fault_of_the_database(store_kind: str, tmp_path: Path) -> None:
    url, remove = fresh_database(store_kind, tmp_path)
    store = Database(url)
    with pytest.raises(Exception, match="no_such_table") as told:
        store.run_now("wrong", lambda conn: conn.exec_driver_sql("SELECT 1 FROM no_such_table"))
    assert not isinstance(told.value, StoreUnavailable)
    store.close()
    remove()
