"""`mailferry db`, and every command on a database that is not as it should be: one line, nothing changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from mailferry.model.account import Phase
from tests.cli.place import DOMAIN, Place, address

READS = (
    ("domain", "list"),
    ("account", "list"),
    ("account", "show", address(Phase.IDLE)),
    ("watch", "--once"),
)
WRITES = (("domain", "pause", DOMAIN), ("account", "retry", address(Phase.BLOCKED)), ("db", "upgrade"))


def test_a_database_is_made_once_and_told_about(bare: Place) -> None:
    assert "before none" in bare.well("db", "upgrade").out
    assert "before none" not in bare.well("db", "upgrade").out
    shown = bare.well("db", "status", "--json").json
    assert (shown["kind"], shown["place"]) == ("sqlite", str(bare.database))
    assert shown["versions"]["present"] == shown["versions"]["newest"]
    assert shown["octets"] > 0
    assert str(bare.database) in bare.well("db", "status").out
    assert bare.database.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("words", [*READS, ("db", "status"), ("account", "export", "-")], ids=" ".join)
def test_a_database_that_was_never_made_is_told_and_not_made_by_looking(
    bare: Place, words: tuple[str, ...]
) -> None:
    assert "or run `mailferry db upgrade`" in bare.fails(*words)
    assert not bare.database.exists()


@pytest.mark.parametrize(
    "words", [("domain", "list"), ("account", "list"), ("watch", "--once")], ids=" ".join
)
def test_a_store_with_nothing_in_it_is_shown_as_such(empty: Place, words: tuple[str, ...]) -> None:
    assert empty.well(*words).out
    if words[-1] != "--once":
        assert empty.well(*words, "--json").json == []


@pytest.mark.hazard("D19")
def test_a_database_of_a_newer_program_is_left_alone(filled: Place) -> None:
    with contextlib.closing(sqlite3.connect(filled.database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = filled.database.read_bytes()
    for words in (*READS, *WRITES):
        assert "install the newer mailferry again" in filled.fails(*words)
    assert filled.database.read_bytes() == before


@pytest.mark.hazard("D19")
def test_what_is_no_database_is_left_alone(bare: Place) -> None:
    diary = b"Dear diary, " * 1000
    bare.database.write_bytes(diary)
    for words in (*READS, *WRITES):
        assert "is not a database of mailferry" in bare.fails(*words)
    assert bare.database.read_bytes() == diary


@pytest.mark.hazard("D19")
def test_a_database_that_somebody_keeps_locked_is_read_but_not_written(filled: Place) -> None:
    with contextlib.closing(sqlite3.connect(filled.database, isolation_level=None)) as stranger:
        stranger.execute("PRAGMA journal_mode=WAL")
        stranger.execute("BEGIN IMMEDIATE")
        assert "is locked by another process" in filled.fails("domain", "pause", DOMAIN)
        assert filled.well("domain", "show", DOMAIN, "--json").json["paused"] is False
    filled.well("domain", "pause", DOMAIN)


@pytest.mark.hazard("D19")
def test_a_full_disk_is_one_line_and_loses_nothing(filled: Place) -> None:
    filled.well("domain", "list")  # the write-ahead log is there
    said = filled.run("domain", "pause", DOMAIN, largest_file=4096)
    assert said.status == 1
    assert "the disk is full" in said.fault or "reading or writing failed" in said.fault
    assert filled.well("domain", "show", DOMAIN, "--json").json["paused"] is False
    filled.well("domain", "pause", DOMAIN)
    with contextlib.closing(sqlite3.connect(filled.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.hazard("D18")
def test_a_restored_back_up_is_brought_up_to_the_flips_that_happened(filled: Place) -> None:
    moved = address(Phase.PRECOPY)
    before = filled.database.read_bytes()
    filled.well("account", "switch", moved, "--force")
    flips = [json.loads(line) for line in (filled.state / "flips.log").read_text().splitlines()]
    assert [flip["address"] for flip in flips][-1] == moved
    for path in filled.state.glob("mailferry.db*"):
        path.unlink()
    filled.database.write_bytes(before)  # the back-up knows nothing of it
    assert filled.well("account", "show", moved, "--json").json["phase"] == "PRECOPY"
    told = filled.well("db", "reconcile").out
    assert f"{moved}: on the target" in told
    assert filled.well("account", "show", moved, "--json").json["phase"] not in {"PRECOPY", "IDLE"}
    assert filled.well("db", "reconcile").out == "nothing was missing\n"
