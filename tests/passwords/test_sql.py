from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mailferry.model.access import Secret
from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import PushResult
from mailferry.passwords.sql import BadSqlBackend, SqlTable
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.canary import canary
from tests.passwords.beds import new

SELECT = "SELECT password FROM mailbox WHERE username = :address"
UPDATE = "UPDATE mailbox SET password = :hash WHERE username = :address"


def table(folder: Path, threads: WorkThreads, **statements: str) -> SqlTable:
    url = f"sqlite:///{folder}/mail.db"
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE mailbox (username TEXT, password TEXT, changed TEXT)"))
        conn.execute(text("INSERT INTO mailbox VALUES ('u@a.test', 'old', ''), ('null@a.test', NULL, '')"))
        conn.execute(
            text("INSERT INTO mailbox VALUES ('twin@a.test', 'old', ''), ('twin@a.test', 'old', '')")
        )
    engine.dispose()
    return SqlTable(
        Secret(url.encode()), threads=threads, **{"select": SELECT, "update": UPDATE, **statements}
    )


async def test_an_empty_column_is_an_account_without_a_password(tmp_path: Path, threads: WorkThreads) -> None:
    backend = table(tmp_path, threads)
    assert await backend.current("null@a.test") == ""
    assert await backend.push("null@a.test", new("{X}new"), expected="") is PushResult.DONE
    assert await backend.current("null@a.test") == "{X}new"


async def test_a_statement_may_name_the_expected_hash_and_hold_colons(
    tmp_path: Path, threads: WorkThreads
) -> None:
    update = (
        "UPDATE mailbox SET password = :hash, changed = '12\\:30' "
        "WHERE username = :address AND password = :expected"
    )
    backend = table(tmp_path, threads, update=update)
    assert await backend.push("u@a.test", new("{X}new"), expected="old") is PushResult.DONE


async def test_a_statement_that_hits_several_rows_is_undone(tmp_path: Path, threads: WorkThreads) -> None:
    backend = table(tmp_path, threads, update="UPDATE mailbox SET password = :hash WHERE :address <> ''")
    with pytest.raises(Unavailable, match="changed 4 rows"):
        await backend.push("u@a.test", new("{X}new"), expected="old")
    assert await backend.current("u@a.test") == "old"
    with pytest.raises(Unavailable, match="more than one row"):
        await backend.current("twin@a.test")


async def test_a_statement_that_hits_nobody_changed_nothing(tmp_path: Path, threads: WorkThreads) -> None:
    backend = table(
        tmp_path, threads, update="UPDATE mailbox SET password = :hash WHERE username = '' || :address || 'x'"
    )
    assert await backend.push("u@a.test", new("{X}new"), expected="old") is PushResult.CONFLICT


async def test_a_creating_statement_that_makes_nothing_made_no_account(
    tmp_path: Path, threads: WorkThreads
) -> None:
    create = (
        "INSERT INTO mailbox (username, password, changed) "
        "SELECT :address, :hash, :local_part || ' at ' || :domain WHERE :domain = 'a.test'"
    )
    backend = table(tmp_path, threads, create=create)
    assert await backend.push("new@b.test", new("{X}new"), expected=None) is PushResult.MISSING
    assert await backend.push("new@a.test", new("{X}new"), expected=None) is PushResult.CREATED
    assert await backend.current("new@a.test") == "{X}new"


@pytest.mark.hazard("T31")
def test_a_url_that_cannot_work_is_told_without_its_password(threads: WorkThreads) -> None:
    word = canary("pw").replace("/", "").replace(" ", "")
    for url in (f"nosuch://u:{word}@h/d", f"not a url {word}"):
        with pytest.raises(BadSqlBackend) as caught:
            SqlTable(Secret(url.encode()), select=SELECT, update=UPDATE, threads=threads)
        assert word not in f"{caught.value!r} {caught.value.__cause__!r}"
