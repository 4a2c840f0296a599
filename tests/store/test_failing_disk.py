"""Writes and syncs of the database's files that the disk fails: what was promised stands, what failed did not happen.

strace lets the calls of a process fail that switches accounts and empties its log, over and over; afterwards
the file is opened without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailferry.model.account import Phase
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.store.engines import SQLITE_FILE
from tests.kit import debian
from tests.kit.peer_plugin import lacking
from tests.kit.stores import fresh_database
from tests.store.rows import add_domain, idle

ACCOUNTS = 30
SWITCHING = """
import json, sys
from mailferry.model.account import Event
from mailferry.store import accounts
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable

store = Database(sys.argv[1])

def tried(work):
    try:
        return "done", work()
    except StoreUnavailable as error:
        return str(error), None

for number in range(1, int(sys.argv[2]) + 1):
    for attempt in range(4):
        told, _ = tried(lambda: store.run_now("switch", lambda conn: accounts.apply(
            conn, number, Event.SOURCE_ACCEPTED_AT_ONCE, epoch=0)))
        _, seen = tried(lambda: store.read_now("see", lambda conn: accounts.get(conn, number).phase.value))
        print(json.dumps([number, told, seen]), flush=True)
        if told == "done":
            break
    if number % 3 == 0:
        print(json.dumps([0, tried(store.scrub)[0], None]), flush=True)
"""
"""Each account is switched, by four tries at most, and looked at behind each try."""


@pytest.fixture
def strace() -> debian.Found:
    try:
        return debian.find("strace")
    except debian.PeerMissing as missing:
        lacking(str(missing))


@pytest.mark.hazard("D19")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("call", "each"),
    [
        ("pwrite64", 41),
        ("fdatasync,fsync", 3),
        ("ftruncate", 2),
        *(pytest.param("pwrite64", each, marks=pytest.mark.slow) for each in (1, 7, 29, 53, 97)),
        *(pytest.param("fdatasync,fsync", each, marks=pytest.mark.slow) for each in (1, 2)),
    ],
)
def test_a_switch_is_told_only_when_it_is_on_the_disk_and_what_failed_did_not_happen(
    strace: debian.Found, tmp_path: Path, call: str, error: str, each: int
) -> None:
    url, _ = fresh_database("sqlite", tmp_path)
    store = Database(url)
    store.run_now("domain", add_domain)
    for number in range(ACCOUNTS):
        assert idle(store, f"u{number}@a.test").id == number + 1
    store.close()
    path = next(tmp_path.glob(f"*/{SQLITE_FILE}"))
    files = [word for end in ("", "-wal") for word in ("-P", f"{path}{end}")]
    fault = f"inject={call}:error={error}:when={each}+{each}"
    command = [
        str(strace.program),
        "-f",
        "-qq",
        "-y",
        "-o",
        str(tmp_path / "calls"),
        *files,
        "-e",
        f"trace={call}",
        "-e",
        fault,
    ]
    done = subprocess.run(
        [*command, sys.executable, "-c", SWITCHING, url, str(ACCOUNTS)],
        capture_output=True,
        text=True,
        env={**os.environ, **strace.env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text()
    assert "(INJECTED)" in calls, "no call was made to fail"
    promised: set[int] = set()
    told: set[str] = set()
    for number, words, seen in map(json.loads, done.stdout.splitlines()):
        told.add(words)
        assert words == "done" or "the disk is full" in words or "reading or writing failed" in words
        if number:
            assert seen in {(Phase.BACKFILL if words == "done" else Phase.IDLE).value, None}, (number, words)
        if number and words == "done":
            promised.add(number)
    if "sync" in call:
        assert calls.count("-wal>") >= len(promised), "a switch did not wait for the disk"
    found = {
        number: store.read_now("see", lambda conn, number=number: accounts.get(conn, number).phase)
        for number in range(1, ACCOUNTS + 1)
    }
    assert {number for number, phase in found.items() if phase is Phase.BACKFILL} == promised
    assert set(found.values()) <= {Phase.BACKFILL, Phase.IDLE}
    whole = store.read_now("ok", lambda conn: conn.exec_driver_sql("PRAGMA integrity_check").scalar())
    assert whole == "ok"
    assert any(f"({'scrub' if call == 'ftruncate' else 'switch'})" in words for words in told)
    store.close()
