"""Rules of the site's own password table: what they refuse is refused by policy, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from mailferry.model.access import Secret
from mailferry.model.causes import Unavailable
from mailferry.passwords.backend import PushResult
from mailferry.passwords.schemes import UnfitPassword
from mailferry.passwords.sql import SqlTable
from mailferry.passwords.work_threads import WorkThreads
from tests.kit.stores import empty_database
from tests.passwords.beds import new

USER = "u@a.test"
SELECT = "SELECT password FROM mailbox WHERE username = :address"
UPDATE = "UPDATE mailbox SET password = :hash WHERE username = :address"
CREATE = "INSERT INTO mailbox VALUES (:address, :hash)"
TABLE = """CREATE TABLE mailbox (
    username TEXT PRIMARY KEY,
    password TEXT CONSTRAINT modern CHECK (password NOT LIKE '{MD5}%')
)"""
RAISES = {
    "sqlite": (
        (
            "CREATE TRIGGER rule BEFORE UPDATE ON mailbox WHEN NEW.password LIKE '{X}%' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF NEW.password LIKE '{X}%' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER rule BEFORE UPDATE ON mailbox FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
}


@pytest.fixture
def site(store_kind: str, tmp_path: Path) -> Iterator[Engine]:
    url, gone = empty_database(store_kind, tmp_path)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as conn:
        conn.execute(text(TABLE))
        conn.execute(text(f"INSERT INTO mailbox VALUES ('{USER}', '{{CRYPT}}old')"))
        for statement in RAISES[store_kind]:
            conn.exec_driver_sql(statement.replace("%", "%%") if store_kind == "postgresql" else statement)
    yield engine
    engine.dispose()
    gone()


@pytest.fixture
def backend(site: Engine, threads: WorkThreads) -> SqlTable:
    url = site.url.render_as_string(hide_password=False)
    return SqlTable(Secret(url.encode()), select=SELECT, update=UPDATE, create=CREATE, threads=threads)


@pytest.mark.parametrize(
    ("stored", "said"), [("{MD5}x", "modern|CHECK"), ("{X}x", "not this one")], ids=["check", "trigger"]
)
async def test_a_rule_of_the_table_refuses_by_policy_and_the_old_password_stays(
    backend: SqlTable, stored: str, said: str
) -> None:
    with pytest.raises(UnfitPassword, match=said) as caught:
        await backend.push(USER, new(stored), expected="{CRYPT}old")
    assert stored not in str(caught.value), "the server's further lines show the row"
    assert await backend.current(USER) == "{CRYPT}old"
    assert await backend.push(USER, new("{CRYPT}new"), expected="{CRYPT}old") is PushResult.DONE


async def test_a_new_account_obeys_the_rules_as_well(backend: SqlTable) -> None:
    with pytest.raises(UnfitPassword):
        await backend.push("new@a.test", new("{MD5}x"), expected=None)
    assert await backend.current("new@a.test") is None


async def test_another_fault_of_the_table_is_no_matter_of_policy(
    site: Engine, backend: SqlTable, threads: WorkThreads
) -> None:
    doubled = SqlTable(
        Secret(site.url.render_as_string(hide_password=False).encode()),
        select=SELECT,
        update=UPDATE,
        create=f"INSERT INTO mailbox SELECT '{USER}', :hash WHERE :address <> ''",
        threads=threads,
    )
    with pytest.raises(Unavailable):
        await doubled.push("new@a.test", new("{CRYPT}x"), expected=None)
