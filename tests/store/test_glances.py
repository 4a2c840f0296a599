"""Short questions on the reactor's own thread, and statements that are made once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, update
from twisted.internet.defer import ensureDeferred

from mailferry.model.account import Event, Phase
from mailferry.model.causes import Cause
from mailferry.store import accounts, domain_refusals, domains, login_rows, passwords, wrong_tries
from mailferry.store.database import Database
from mailferry.store.domain_refusals import DomainRefusals
from mailferry.store.glances import Glances, Locked
from mailferry.store.prepared import Prepared
from mailferry.store.schema import domains as domain_table
from mailferry.store.wrong_tries import TryKeys
from tests.kit.stores import OpenStore
from tests.store.rows import add_domain, apply, idle

only_sqlite = pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)

NAME = Prepared(
    select(domain_table.c.name, domain_table.c.paused).where(domain_table.c.name == bindparam("name"))
)
ADDRESS = {"address": "a@a.test", "domain": "a.test"}
KEYS = TryKeys(account=b"a" * 16, password=b"p" * 16, source="old.test", address="a@a.test")
SHIELD = {
    **ADDRESS,
    "domain_before": domain_refusals.before("a.test"),
    "account_key": KEYS.account,
    "password_key": KEYS.password,
    "good_seconds": 600.0,
}


async def test_a_glance_says_what_a_transaction_says_types_included(store: Database) -> None:
    store.run_now("domain", add_domain)
    seen = await store.glance("name", NAME, {"name": "a.test"})
    assert list(seen.rows) == [("a.test", False)] or [list(row) for row in seen.rows] == [["a.test", False]]
    assert seen.rows[0][1] is False
    assert store.read_now("name", lambda conn: list(map(tuple, NAME.on(conn, {"name": "a.test"})))) == [
        ("a.test", False)
    ]
    assert not (await store.glance("name", NAME, {"name": "b.test"})).rows


@only_sqlite
async def test_once_the_store_is_open_a_glance_waits_for_no_thread(store: Database) -> None:
    store.run_now("domain", add_domain)
    assert ensureDeferred(store.glance("name", NAME, {"name": "a.test"})).called


@only_sqlite
async def test_a_glance_sees_what_others_committed_and_not_what_they_are_writing(
    store: Database, open_store: OpenStore
) -> None:
    store.run_now("domain", add_domain)
    await store.glance("name", NAME, {"name": "a.test"})
    assert store.place.sqlite_path is not None
    other = sqlite3.connect(store.place.sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE domains SET paused = 1")
    during = ensureDeferred(store.glance("name", NAME, {"name": "a.test"}))
    assert during.called
    assert (await during).rows[0][1] is False
    other.execute("COMMIT")
    assert (await store.glance("name", NAME, {"name": "a.test"})).rows[0][1] is True
    other.close()


@only_sqlite
async def test_a_glance_cannot_write(store: Database) -> None:
    store.run_now("domain", add_domain)
    pause = Prepared(update(domain_table).values(paused=True))
    with pytest.raises(Exception, match=r"read-only|readonly"):
        await store.glance("pause", pause, {})
    assert (await store.glance("name", NAME, {"name": "a.test"})).rows[0][1] is False


def test_a_file_that_is_locked_is_waited_for_by_nobody_on_the_reactor(tmp_path: Path) -> None:
    place = tmp_path / "plain.db"
    stranger = sqlite3.connect(place, isolation_level=None)
    stranger.execute("CREATE TABLE domains (name TEXT, paused INTEGER)")
    stranger.execute("INSERT INTO domains VALUES ('a.test', 1)")
    glances = Glances(lambda: sqlite3.connect(place, timeout=0, isolation_level=None))
    stranger.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Locked):
        glances.rows(NAME, {"name": "a.test"})
    stranger.execute("ROLLBACK")
    assert [list(row) for row in glances.rows(NAME, {"name": "a.test"})] == [["a.test", True]]
    glances.close()
    stranger.close()


@only_sqlite
async def test_where_the_file_is_locked_the_threads_ask(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.run_now("domain", add_domain)

    def locked(*_: object) -> None:
        raise Locked

    monkeypatch.setattr(Glances, "rows", locked)
    asked = ensureDeferred(store.glance("name", NAME, {"name": "a.test"}))
    assert not asked.called
    assert (await asked).rows[0][0] == "a.test"


async def test_a_logins_place_is_what_its_three_rows_are(store: Database) -> None:
    account = apply(store, idle(store, "a@a.test"), Event.SOURCE_ACCEPTED)
    store.run_now(
        "verified",
        lambda conn: passwords.verified(
            conn, account.id, password_epoch=0, verifier="slow", sealed=b"\0\1", window_number=1, over="imap"
        ),
    )
    placed = login_rows.placed(await store.glance("login", login_rows.PLACE, ADDRESS))
    assert placed is not None
    rows = store.read_now(
        "rows",
        lambda conn: (
            domains.get(conn, "a.test"),
            accounts.get(conn, account.id),
            passwords.get(conn, account.id),
        ),
    )
    assert (placed.domain, placed.account, placed.password) == rows
    assert placed.account is not None
    assert placed.account.phase is Phase.PRECOPY
    nobody = login_rows.placed(
        await store.glance("login", login_rows.PLACE, {**ADDRESS, "address": "x@a.test"})
    )
    assert nobody is not None
    assert (nobody.account, nobody.password) == (None, None)
    assert (
        login_rows.placed(await store.glance("login", login_rows.PLACE, {**ADDRESS, "domain": "x"})) is None
    )


async def test_the_shields_question_says_what_stands_against_a_known_password(open_store: OpenStore) -> None:
    now = [1000.0]
    store = open_store(now=lambda: now[0])
    account = idle(store, "a@a.test")

    async def standing() -> login_rows.Standing:
        found = login_rows.standing(await store.glance("shield", login_rows.SHIELD, SHIELD))
        assert found is not None
        return found

    clean = await standing()
    assert (clean.refused, clean.of_domain, clean.source_login) == (None, DomainRefusals(), None)
    assert clean.password == passwords.PasswordRecord(account.id)
    store.run_now("refused", lambda c: domain_refusals.refused(c, KEYS, Cause.BAD_CREDENTIALS))
    after = await standing()
    assert (after.refused, after.of_domain) == (Cause.BAD_CREDENTIALS, DomainRefusals(1, watched=True))
    now[0] += wrong_tries.REMEMBERED_SECONDS
    assert (await standing()).refused is None
    store.run_now("refused", lambda c: domain_refusals.refused(c, KEYS, Cause.BAD_CREDENTIALS))
    now[0] += 1
    store.run_now("forget", lambda c: wrong_tries.forget(c, account.id))
    assert (await standing()).refused is None
    nobody = await store.glance("shield", login_rows.SHIELD, {**SHIELD, "address": "x@a.test"})
    assert login_rows.standing(nobody) is None
