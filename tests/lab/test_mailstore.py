from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailferry.lab.mailstore import Mailstore, StoreRefusal, differences
from mailferry.lab.names import decode_name, encode_name

WHEN = datetime(2020, 1, 1, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", b"INBOX"),
        ("台北", b"&U,BTFw-"),
        ("A&B", b"A&-B"),
        ("其他文件夹", b"&UXZO1mWHTvZZOQ-"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("😀 x", b"&2D3eAA- x"),
    ],
)
def test_names_go_to_modified_utf7_and_back(name: str, wire: bytes) -> None:
    assert encode_name(name) == wire
    assert decode_name(wire) == name


def test_a_name_that_does_not_decode_is_shown_as_it_is() -> None:
    assert decode_name(b"&*-") == "&*-"


def test_a_new_store_has_an_inbox_found_in_any_case() -> None:
    store = Mailstore()
    assert store.find(b"inbox") is store.inbox
    assert [m.name for m in store] == [b"INBOX"]


def test_creating_makes_parents_and_a_second_time_is_refused() -> None:
    store = Mailstore()
    store.create(b"a/b/c")
    assert [m.name for m in store] == [b"INBOX", b"a", b"a/b", b"a/b/c"]
    with pytest.raises(StoreRefusal, match="exists"):
        store.create(b"a/b")


def test_uidvalidity_differs_for_each_mailbox() -> None:
    store = Mailstore(first_uidvalidity=70)
    store.create(b"a")
    assert [m.uidvalidity for m in store] == [70, 71]


def test_a_deleted_mailbox_with_children_stays_as_a_name() -> None:
    store = Mailstore()
    store.create(b"a/b")
    store.delete(b"a")
    assert not store.mailbox(b"a").selectable
    with pytest.raises(StoreRefusal, match="children"):
        store.delete(b"a")
    store.delete(b"a/b")
    store.delete(b"a")
    assert [m.name for m in store] == [b"INBOX"]


def test_renaming_takes_children_along_and_inbox_gives_only_its_mail() -> None:
    store = Mailstore()
    store.create(b"a/b")
    store.rename(b"a", b"z")
    assert [m.name for m in store] == [b"INBOX", b"z", b"z/b"]
    store.deliver(b"x")
    store.rename(b"INBOX", b"old")
    assert len(store.inbox.messages) == 0
    assert len(store.mailbox(b"old").messages) == 1


def test_stores_with_the_same_mail_have_no_differences_whatever_delimiter_uid_and_zone() -> None:
    one, two = Mailstore(delimiter=b"/"), Mailstore(delimiter=b".", first_uidvalidity=5, first_uid=900)
    one.create(b"a/b")
    two.create(b"a.b")
    one.create(b"Sent Messages", role=b"\\Sent")
    two.create(b"Gesendet", role=b"\\Sent")
    there = WHEN.astimezone(timezone(timedelta(hours=8)))
    one.deliver(b"m", mailbox=b"a/b", flags=[b"\\Seen", b"$X"], internal_date=WHEN)
    two.deliver(b"m", mailbox=b"a.b", flags=[b"$X", b"\\Seen", b"\\Recent"], internal_date=there)
    one.deliver(b"n", mailbox=b"Sent Messages", internal_date=WHEN)
    two.deliver(b"n", mailbox=b"Gesendet", internal_date=WHEN)
    assert one.fingerprint() == two.fingerprint()
    assert differences(one.fingerprint(), two.fingerprint()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.inbox.remove([1]), ["missing 1x"]),
        (lambda s: s.deliver(b"m", internal_date=WHEN), ["too many 1x"]),
        (lambda s: s.inbox.reflag(1, [b"\\Seen"]), ["missing 1x", "too many 1x"]),
        (lambda s: s.inbox.reflag(1, [b"$Label"]), ["missing 1x", "too many 1x"]),
    ],
)
def test_a_lost_doubled_or_reflagged_message_is_told(change: object, said: list[str]) -> None:
    one, two = Mailstore(), Mailstore()
    for store in (one, two):
        store.deliver(b"m", internal_date=WHEN)
    change(two)  # type: ignore[operator]
    told = differences(one.fingerprint(), two.fingerprint())
    assert [line[: len(start)] for line, start in zip(told, said, strict=True)] == said
    assert all("INBOX" in line for line in told)
