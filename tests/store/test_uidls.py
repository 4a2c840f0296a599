"""UIDLs learnt on both sides, and the map that POP3 sessions after the flip are renumbered by."""

from __future__ import annotations

import pytest

from mailferry.model.access import Side
from mailferry.store import uidls
from mailferry.store.database import Database
from mailferry.store.uidls import MappedUidl, UidlFact
from tests.store.rows import precopy


@pytest.mark.hazard("D13")
def test_the_map_comes_back_in_the_order_of_the_sources_list_hidden_mail_included(store: Database) -> None:
    account, other = precopy(store), precopy(store, "other@a.test")
    rows = [
        MappedUidl(b"zz", 1, b"0001"),
        MappedUidl(b"aa", 2, None),
        MappedUidl(b"\xff\x80", 5, None),
        MappedUidl(None, 7, b"0003"),
        MappedUidl(None, 7, b"0004"),
    ]

    def load(account_id: int):
        return store.read_now("load", lambda conn: uidls.load_map(conn, account_id))

    def has(account_id: int) -> bool:
        return store.read_now("has", lambda conn: uidls.has_map(conn, account_id))

    assert not has(account.id)
    store.run_now("save", lambda conn: uidls.save_map(conn, account.id, [*rows[2:], *rows[:2]]))
    assert load(account.id) == rows
    assert has(account.id)
    assert load(other.id) == []
    store.run_now("pair", lambda conn: uidls.pair(conn, account.id, b"aa", b"0002"))
    assert load(account.id)[1] == MappedUidl(b"aa", 2, b"0002")
    store.run_now("save", lambda conn: uidls.save_map(conn, account.id, rows[:1]))
    assert load(account.id) == rows[:1]


@pytest.mark.parametrize(
    "rows",
    [
        [MappedUidl(b"a", 1, b"x"), MappedUidl(b"a", 2, b"y")],
        [MappedUidl(b"a", 1, b"x"), MappedUidl(b"b", 2, b"x")],
        [MappedUidl(None, 1, None)],
    ],
)
@pytest.mark.hazard("D13")
def test_no_two_messages_ever_share_a_uidl(store: Database, rows: list[MappedUidl]) -> None:
    account = precopy(store)
    with pytest.raises(Exception, match=r"(?i)unique|check"):
        store.run_now("save", lambda conn: uidls.save_map(conn, account.id, rows))
    assert not store.read_now("has", lambda conn: uidls.has_map(conn, account.id))


def test_what_was_learnt_of_a_message_is_kept_by_side(store: Database) -> None:
    account = precopy(store)

    def facts(side: Side) -> set[UidlFact]:
        return set(store.read_now("facts", lambda conn: uidls.facts(conn, account.id, side)))

    def learn(side: Side, *learnt: UidlFact) -> None:
        store.run_now("learn", lambda conn: uidls.learn(conn, account.id, side, learnt))

    learn(Side.SOURCE, UidlFact(b"a", b"1" * 16), UidlFact(b"b", b"2" * 16, 7))
    learn(Side.TARGET, UidlFact(b"a", b"9" * 16))
    learn(Side.SOURCE, UidlFact(b"a", b"3" * 16, 8))
    learn(Side.SOURCE)
    assert facts(Side.SOURCE) == {UidlFact(b"a", b"3" * 16, 8), UidlFact(b"b", b"2" * 16, 7)}
    assert facts(Side.TARGET) == {UidlFact(b"a", b"9" * 16)}
    many = [UidlFact(b"m%d" % number, b"4" * 16) for number in range(1200)]
    learn(Side.SOURCE, *many)
    store.run_now(
        "forget",
        lambda conn: uidls.forget(conn, account.id, Side.SOURCE, {b"a", *(fact.uidl for fact in many)}),
    )
    assert facts(Side.SOURCE) == {UidlFact(b"b", b"2" * 16, 7)}
