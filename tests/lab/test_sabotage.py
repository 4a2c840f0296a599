"""What reaches into the store is tried on the store's own tables, so that it cannot rot unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailferry.lab.passwd_file import stored_hash
from mailferry.lab.sabotage import SABOTAGES, Scene
from mailferry.model.account import Phase
from mailferry.store import accounts, domains, uidls
from mailferry.store.database import Database

ADDRESS = "wang@example.test"


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    path = tmp_path / "mailferry.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()

    def fill(conn: Any) -> None:
        domains.add(conn, "example.test", source_imap="imaps://localhost:1")
        account = accounts.ensure(conn, ADDRESS, domain="example.test")
        rows = [
            uidls.MappedUidl(None, b"hidden"),
            uidls.MappedUidl(b"one", b"t1"),
            uidls.MappedUidl(b"two", b"t2"),
        ]
        uidls.save_map(conn, account.id, uidls.pack_map(rows))

    database.run_now("fill", fill)
    yield Scene(ADDRESS, None, tmp_path / "users", path), database  # type: ignore[arg-type]
    database.close()


def test_one_uidl_of_the_map_is_changed(scene: Any) -> None:
    assert SABOTAGES["uidl"](scene[0])

    def read(conn: Any) -> Any:
        return [row.source_uidl for row in uidls.load_map(conn, accounts.find(conn, ADDRESS).id)]  # type: ignore[union-attr]

    assert scene[1].read_now("map", read) == [None, b"spoilt", b"two"]


def test_the_account_is_put_back_to_before_the_move(scene: Any) -> None:
    before = scene[1].read_now("account", lambda conn: accounts.find(conn, ADDRESS))
    assert SABOTAGES["wrong-side"](scene[0])
    after = scene[1].read_now("account", lambda conn: accounts.find(conn, ADDRESS))
    assert (after.phase, after.epoch, after.paused) == (Phase.PRECOPY, before.epoch + 1, True)


def test_the_password_at_the_new_host_is_replaced(scene: Any) -> None:
    assert SABOTAGES["password"](scene[0])
    assert stored_hash(scene[0].passwd_file, ADDRESS) == "{PLAIN}somebody else's"


def test_an_account_that_is_not_there_cannot_be_sabotaged(scene: Any) -> None:
    other = Scene("nobody@example.test", None, scene[0].passwd_file, scene[0].database)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="nobody"):
        SABOTAGES["uidl"](other)
