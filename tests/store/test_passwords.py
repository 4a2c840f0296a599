"""Passwords: compare-and-set on the password epoch, what was pushed and proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailferry.store import passwords
from mailferry.store.database import Database
from mailferry.store.faults import Conflict
from mailferry.store.passwords import PasswordRecord
from tests.kit.stores import OpenStore
from tests.store.rows import idle


def verified(store: Database, account_id: int, epoch: int, verifier: str = "v1", **more) -> PasswordRecord:
    values = {"sealed": b"sealed-" + verifier.encode(), "window_number": 1, "at": 100.0, **more}
    return store.run_now(
        "verified",
        lambda conn: passwords.verified(conn, account_id, password_epoch=epoch, verifier=verifier, **values),
    )


def test_an_account_begins_without_a_password(store: Database) -> None:
    account = idle(store)
    assert store.read_now("get", lambda conn: passwords.get(conn, account.id)) == PasswordRecord(account.id)


def test_of_two_racing_logins_the_second_is_told(store: Database) -> None:
    account = idle(store)
    first = verified(store, account.id, 0)
    assert (first.password_epoch, first.verifier, first.verified_at, first.sealed) == (
        1,
        "v1",
        100.0,
        b"sealed-v1",
    )
    with pytest.raises(Conflict):
        verified(store, account.id, 0, "v2")
    second = verified(store, account.id, 1, "v2")
    assert (second.password_epoch, second.verifier, second.sealed) == (2, "v2", b"sealed-v2")


def test_a_push_belongs_to_the_password_it_was_made_from(store: Database) -> None:
    account = idle(store)
    verified(store, account.id, 0)

    def pushed(epoch: int):
        return store.run_now(
            "pushed",
            lambda conn: passwords.pushed(conn, account.id, password_epoch=epoch, pushed_hash="{X}h", at=1.0),
        )

    def proved(epoch: int):
        return store.run_now(
            "proved", lambda conn: passwords.proved(conn, account.id, password_epoch=epoch, at=2.0)
        )

    assert (pushed(1).pushed_hash, pushed(1).proved_at) == ("{X}h", None)
    assert proved(1).proved_at == 2.0
    replaced = verified(store, account.id, 1, "v2")
    assert (replaced.pushed_hash, replaced.pushed_at, replaced.proved_at) == ("{X}h", 1.0, None)
    for late in (pushed, proved):
        with pytest.raises(Conflict):
            late(1)
    assert proved(2).proved_at == 2.0


def test_a_repeated_login_only_renews_its_time(store: Database) -> None:
    account = idle(store)
    verified(store, account.id, 0)
    for epoch, at in ((1, 200.0), (0, 300.0)):
        store.run_now(
            "again",
            lambda conn, e=epoch, at=at: passwords.seen_again(conn, account.id, password_epoch=e, at=at),
        )
    assert store.read_now("get", lambda conn: passwords.get(conn, account.id)).verified_at == 200.0


def test_an_imported_password_is_sealed_but_not_verified(store: Database) -> None:
    account = idle(store)
    record = store.run_now(
        "import",
        lambda conn: passwords.imported(conn, account.id, password_epoch=0, sealed=b"s", window_number=1),
    )
    assert (record.sealed, record.sealed_by_import, record.verifier, record.verified_at) == (
        b"s",
        True,
        None,
        None,
    )
    assert not verified(store, account.id, 1).sealed_by_import
    assert store.read_now("never", lambda conn: passwords.never_verified(conn, "a.test")) == 0
    idle(store, "other@a.test")
    assert store.read_now("never", lambda conn: passwords.never_verified(conn, "a.test")) == 1


def test_the_target_wins_until_it_is_reset(store: Database) -> None:
    account = idle(store)
    verified(store, account.id, 0)
    store.run_now(
        "pushed", lambda conn: passwords.pushed(conn, account.id, password_epoch=1, pushed_hash="h")
    )
    won = store.run_now("wins", lambda conn: passwords.target_wins(conn, account.id))
    assert (won.target_wins, won.pushed_hash) == (True, "h")
    reset = store.run_now("reset", lambda conn: passwords.target_wins(conn, account.id, wins=False))
    assert (reset.target_wins, reset.pushed_hash, reset.verifier) == (False, None, "v1")


def test_passwords_once_refused_are_remembered_once(store: Database) -> None:
    account, other = idle(store), idle(store, "other@a.test")
    for verifier in ("v1", "v2", "v1"):
        store.run_now("refused", lambda conn, v=verifier: passwords.remember_refused(conn, account.id, v))
    assert store.read_now("refused", lambda conn: passwords.refused(conn, account.id)) == ["v2", "v1"]
    assert store.read_now("refused", lambda conn: passwords.refused(conn, other.id)) == []


def test_sealed_passwords_go_one_by_one_or_by_window(store: Database) -> None:
    one, two, three = (idle(store, address) for address in ("a@a.test", "b@a.test", "c@b.test"))
    verified(store, one.id, 0, window_number=1)
    verified(store, two.id, 0, window_number=2)
    verified(store, three.id, 0, window_number=1)
    assert store.read_now("windows", lambda conn: passwords.sealed_windows(conn, "a.test")) == [1, 2]
    assert store.run_now("window", lambda conn: passwords.forget_sealed_of_window(conn, "a.test", 1)) == 1
    store.run_now("one", lambda conn: passwords.forget_sealed(conn, two.id))
    assert store.read_now("windows", lambda conn: passwords.sealed_windows(conn, "a.test")) == []
    assert store.read_now("windows", lambda conn: passwords.sealed_windows(conn, "b.test")) == [1]
    assert store.read_now("get", lambda conn: passwords.get(conn, one.id)).verifier == "v1"


@pytest.mark.hazard("T32")
@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
def test_what_was_sealed_is_in_no_file_once_it_is_forgotten(
    store: Database, open_store: OpenStore, tmp_path: Path
) -> None:
    marks = [b"canary-%d-" % number * 30 for number in range(40)]
    ids = [idle(store, f"u{number}@a.test").id for number in range(40)]
    for account_id, mark in zip(ids, marks, strict=True):
        verified(store, account_id, 0, sealed=mark)

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())

    assert all(mark in files() for mark in marks)
    for account_id in ids:
        store.run_now("forget", lambda conn, a=account_id: passwords.forget_sealed(conn, a))
    store.scrub()
    left = files()
    assert not [mark for mark in marks if mark[:60] in left]
