from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan.uidl_pairing import (
    ImapMessage,
    PopMessage,
    pair_by_bodies,
    pair_by_formula,
    pair_by_headers,
)

pytestmark = pytest.mark.hazard("D13")


def pops(*digests: bytes) -> list[PopMessage]:
    return [PopMessage(number, b"u%d" % number, digest) for number, digest in enumerate(digests, 1)]


def imaps(*digests: bytes) -> list[ImapMessage]:
    return [ImapMessage(uid * 10, digest) for uid, digest in enumerate(digests, 1)]


def test_headers_of_their_own_pair_at_once_and_the_rest_is_named() -> None:
    found = pair_by_headers(pops(b"a", b"b", b"b", b"c"), imaps(b"b", b"a", b"b", b"d"))
    assert found.pairs == {b"u1": 20}
    assert [({p.uidl for p in mine}, {m.uid for m in others}) for mine, others in found.ambiguous] == [
        ({b"u2", b"u3"}, {10, 30})
    ]
    assert [p.uidl for p in found.unpaired] == [b"u4"]
    assert [m.uid for m in found.hidden] == [40]


def test_one_header_at_one_and_at_two_messages_is_ambiguous() -> None:
    assert pair_by_headers(pops(b"a"), imaps(b"a", b"a")).pairs == {}
    assert pair_by_headers(pops(b"a", b"a"), imaps(b"a")).pairs == {}


def test_twins_are_paired_in_order_and_what_is_too_much_is_left() -> None:
    found = pair_by_bodies(pops(b"a", b"a", b"b", b"a"), imaps(b"a", b"b", b"a", b"c"))
    assert found.pairs == {b"u1": 10, b"u2": 30, b"u3": 20}
    assert [p.uidl for p in found.unpaired] == [b"u4"]
    assert [m.uid for m in found.hidden] == [40]


@pytest.mark.parametrize(
    ("uidls", "expected"),
    [
        ([b"0000000500000064", b"0000000700000064"], {b"0000000500000064": 5, b"0000000700000064": 7}),
        ([b"100.7", b"100.5"], {b"100.7": 7, b"100.5": 5}),
        ([b"100-5"], {b"100-5": 5}),
        ([b"UID5-100"], {b"UID5-100": 5}),
        ([b"0000000500000064", b"odd"], {b"0000000500000064": 5}),
        ([b"0000000500000064", b"odd", b"odder"], {}),
        ([b"5", b"7"], {}),
        ([b"0000000600000064"], {}),
        ([], {}),
    ],
)
def test_a_formula_counts_only_when_it_explains_half_of_the_uidls(
    uidls: list[bytes], expected: dict[bytes, int]
) -> None:
    assert pair_by_formula(uidls, [5, 7, 9], 100) == expected


digests = st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=10)


@given(digests, digests)
def test_never_one_message_twice_and_never_two_that_differ(pop: list[bytes], imap: list[bytes]) -> None:
    here, there = pops(*pop), imaps(*imap)
    for pairing in (pair_by_headers(here, there), pair_by_bodies(here, there)):
        by_uidl = {p.uidl: p.digest for p in here}
        by_uid = {m.uid: m.digest for m in there}
        assert len(set(pairing.pairs.values())) == len(pairing.pairs)
        assert all(by_uidl[uidl] == by_uid[uid] for uidl, uid in pairing.pairs.items())
        waiting = [p for mine, _ in pairing.ambiguous for p in mine]
        assert len(pairing.pairs) + len(pairing.unpaired) + len(waiting) == len(here)
    both = pair_by_bodies(here, there)
    assert len(both.pairs) == (Counter(pop) & Counter(imap)).total()
