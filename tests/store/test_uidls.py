"""UIDLs learnt on both sides, and the map that POP3 sessions after the flip are renumbered by."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.store import uidls
from mailferry.store.database import Database
from mailferry.store.uidl_packing import Packer, Unpacker
from mailferry.store.uidls import BLOCK_FACTS, FactsOf, MappedUidl, UidlFact, pack_map, unpack_map
from tests.store.rows import precopy


@pytest.mark.hazard("D13")
def test_the_map_comes_back_in_the_order_of_the_sources_list_hidden_mail_included(store: Database) -> None:
    account, other = precopy(store), precopy(store, "other@a.test")
    rows = [
        MappedUidl(b"zz", b"0001"),
        MappedUidl(b"aa", None),
        MappedUidl(b"\xff\x80", None),
        MappedUidl(None, b"0003"),
        MappedUidl(None, b"0004"),
    ]

    def load(account_id: int):
        return store.read_now("load", lambda conn: uidls.load_map(conn, account_id))

    for drawn in (rows, rows[:1], [], rows):
        store.run_now("save", lambda conn, drawn=drawn: uidls.save_map(conn, account.id, pack_map(drawn)))
        assert load(account.id) == drawn
    assert load(other.id) == []


@pytest.mark.parametrize(
    "rows",
    [
        [MappedUidl(b"a", b"x"), MappedUidl(b"a", b"y")],
        [MappedUidl(b"a", b"x"), MappedUidl(b"b", b"x")],
        [MappedUidl(None, None)],
    ],
)
@pytest.mark.hazard("D13")
def test_no_two_messages_ever_share_a_uidl(rows: list[MappedUidl]) -> None:
    with pytest.raises(ValueError, match=r"unique|side"):
        pack_map(rows)


def test_what_was_learnt_of_a_message_is_kept_by_kind_and_in_its_order(store: Database) -> None:
    account = precopy(store)

    def facts(of: FactsOf) -> list[UidlFact]:
        return store.read_now("facts", lambda conn: uidls.facts(conn, account.id, of))

    def learn(of: FactsOf, *learnt: UidlFact) -> None:
        store.run_now("learn", lambda conn: uidls.learn(conn, account.id, of, learnt))

    learn(FactsOf.SOURCE, UidlFact(b"a", b"1" * 16), UidlFact(b"b", b"2" * 16, 7, 1000))
    learn(FactsOf.TARGET, UidlFact(b"a", b"9" * 16))
    learn(FactsOf.SOURCE, UidlFact(b"a", b"", 8))
    learn(FactsOf.SOURCE)
    assert facts(FactsOf.SOURCE) == [UidlFact(b"a", b"", 8), UidlFact(b"b", b"2" * 16, 7, 1000)]
    assert facts(FactsOf.TARGET) == [UidlFact(b"a", b"9" * 16)]
    assert facts(FactsOf.HIDDEN) == []
    many = [UidlFact(b"m%d" % number, b"", number, 0) for number in range(2 * BLOCK_FACTS + 5)]
    learn(FactsOf.SOURCE, *many)
    learn(FactsOf.SOURCE, UidlFact(b"m7", b"", 70_000))
    many[7] = UidlFact(b"m7", b"", 70_000)
    assert facts(FactsOf.SOURCE)[2:] == many
    gone = {b"a", *(fact.uidl for fact in many[3:])}
    store.run_now("forget", lambda conn: uidls.forget(conn, account.id, FactsOf.SOURCE, gone))
    assert [fact.uidl for fact in facts(FactsOf.SOURCE)] == [b"b", b"m0", b"m1", b"m2"]
    learn(FactsOf.SOURCE, UidlFact(b"z", b""))
    assert facts(FactsOf.SOURCE)[-1] == UidlFact(b"z", b"")


NAMES = st.lists(
    st.binary(max_size=12)
    | st.from_regex(rb"[0-9a-f]{16}", fullmatch=True)
    | st.from_regex(rb"(UID)?[0-9]{1,21}[-.%][0-9]{1,9}", fullmatch=True),
    max_size=6,
)


@settings(max_examples=200)
@given(NAMES)
def test_names_come_back_as_they_were(names: list[bytes]) -> None:
    for column in (names, names[:1] * 3):
        packer = Packer()
        packer.names(column)
        packer.octets(column)
        unpacker = Unpacker(packer.packed(), len(column))
        assert (unpacker.names(), unpacker.octets()) == (column, column)


@pytest.mark.parametrize("form", [b"%08x5f3c2a10", b"1234567.%d", b"UID%d-1234567", b"1234567-%d"])
def test_uidls_that_a_server_makes_by_a_formula_take_next_to_nothing(form: bytes) -> None:
    rows = [MappedUidl(form % (3 * number), b"%08x00000007" % number) for number in range(1, 10_000)]
    packed = pack_map(rows)
    assert len(packed.packed) < 2000
    assert unpack_map(packed) == rows
