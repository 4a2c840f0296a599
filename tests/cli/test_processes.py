"""`mailferry process`: what is told of our processes, and that only a silent one is declared dead."""

from __future__ import annotations

import time

from mailferry.store import nodes
from mailferry.store.database import Database
from tests.cli.place import Place


def test_processes_are_listed_and_a_silent_one_is_declared_dead(empty: Place) -> None:
    database = Database(f"sqlite:///{empty.database}")
    gone, alive = (
        database.run_now(
            "node", lambda conn, at=at, pid=pid: nodes.register(conn, "proxy", "here", "boot", pid, now=at)
        )
        for pid, at in ((11, 0.0), (12, time.time()))
    )
    database.close()
    listed = empty.well("process", "list", "--json").json
    assert [(one["id"], one["role"], one["pid"], one["silent"]) for one in listed] == [
        (gone, "proxy", 11, True),
        (alive, "proxy", 12, False),
    ]
    table = empty.well("process", "list").out.splitlines()
    assert [line.split()[-1] for line in table] == ["state", "silent", "alive"]
    assert f"process {alive} is alive" in empty.fails("process", "declare-dead", str(alive))
    assert f"process {gone}" in empty.well("process", "declare-dead", str(gone)).out
    assert [one["id"] for one in empty.well("process", "list", "--json").json] == [alive]
