from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.mail import MessageFacts
from mailferry.plan.differences import HIGHEST_UID, Comparison, Differences, Held, brake, flags_key

SEEN = frozenset({b"\\Seen"})


def facts(uid: int, flags: frozenset[bytes] = frozenset()) -> MessageFacts:
    return MessageFacts(uid, flags, b"01-Jan-2020 00:00:00 +0000", 10)


def compare(
    listing: dict[int, frozenset[bytes]], ledger: dict[int, frozenset[bytes]], **how: object
) -> Differences:
    comparison = Comparison({uid: flags_key(flags) for uid, flags in ledger.items()})
    for uid, flags in listing.items():
        comparison.feed(facts(uid, flags))
    return comparison.result(**how)  # type: ignore[arg-type]


def test_new_vanished_and_reflagged_messages_are_told_apart() -> None:
    found = compare({1: SEEN, 2: SEEN, 4: frozenset()}, {1: SEEN, 2: frozenset(), 3: SEEN})
    assert [f.uid for f in found.new] == [4]
    assert found.vanished == (3,)
    assert [f.uid for f in found.reflagged] == [2]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({b"\\Seen", b"\\Recent"}, {b"\\seen"}, True),
        ({b"a", b"b"}, {b"B", b"A"}, True),
        ({b"ab"}, {b"a", b"b"}, False),
        (set(), {b"\\Seen"}, False),
    ],
)
def test_flags_keys_stand_for_sets_of_flags(one: set[bytes], other: set[bytes], same: bool) -> None:
    assert (flags_key(one) == flags_key(other)) is same
    assert len(flags_key(one)) == 4


@pytest.mark.hazard("D17")
@pytest.mark.parametrize(
    ("ledgered", "listed", "vanished", "acknowledged", "held"),
    [
        (10, 9, 1, 0, None),
        (10, 8, 2, 0, Held.TOO_MANY),
        (9, 5, 4, 0, None),
        (9, 0, 9, 0, Held.EMPTY),
        (1, 0, 1, 0, Held.EMPTY),
        (1, 0, 1, 1, None),
        (100, 81, 19, 0, None),
        (100, 80, 20, 0, Held.TOO_MANY),
        (100, 80, 20, 1, None),
        (10_000, 9_501, 499, 0, None),
        (10_000, 9_500, 500, 0, Held.TOO_MANY),
        (10_000, 9_500, 500, 1, None),
        (100, 0, 100, 99, Held.EMPTY),
        (3, 0, 3, 2, Held.EMPTY),
        (100, 60, 40, 20, Held.TOO_MANY),
        (100, 60, 40, 21, None),
        (10, 10, 0, 0, None),
        (100, 0, 100, 100, None),
    ],
)
def test_the_brake(ledgered: int, listed: int, vanished: int, acknowledged: int, held: Held | None) -> None:
    assert brake(ledgered, listed, range(vanished), acknowledged) is held


def test_an_approval_lifts_the_brake_and_what_was_held_stays_held_until_then() -> None:
    ledger = dict.fromkeys(range(1, 101), SEEN)
    listing = dict.fromkeys(range(1, 100), SEEN)
    assert compare(listing, ledger).held is None
    assert compare(listing, ledger, held_before=1).held is Held.TOO_MANY
    assert compare(listing, ledger, held_before=1, approved=True).held is None
    assert compare(ledger, ledger, held_before=1).held is None


@pytest.mark.hazard("D17")
@pytest.mark.parametrize(
    ("vanished", "acknowledged", "held_before", "excused", "held"),
    [
        (100, 100, 0, 100, None),
        (100, 1 << 30, 0, 100, None),
        (100, 99, 0, 99, Held.EMPTY),
        (30, 12, 0, 12, None),
        (30, 10, 0, 10, Held.TOO_MANY),
        (0, 12, 0, 0, None),
        (3, 12, 0, 3, None),
        (30, 12, 30, 0, Held.TOO_MANY),  # what comes later is about other messages
        (33, 12, 30, 3, Held.TOO_MANY),
        (5, 12, 30, 0, Held.TOO_MANY),
    ],
)
def test_deletions_that_our_sessions_saw_do_not_count(
    vanished: int, acknowledged: int, held_before: int, excused: int, held: Held | None
) -> None:
    ledger = dict.fromkeys(range(1, 101), SEEN)
    listing = dict.fromkeys(range(vanished + 1, 101), SEEN)
    found = compare(listing, ledger, acknowledged=acknowledged, held_before=held_before)
    assert (len(found.vanished), found.excused, found.held) == (vanished, excused, held)


@pytest.mark.hazard("D6")
def test_messages_that_a_new_uidvalidity_hides_are_never_excused() -> None:
    ledger = dict.fromkeys([*range(1, 101), HIGHEST_UID, HIGHEST_UID - 1], SEEN)
    listing = dict.fromkeys(range(3, 101), SEEN)
    found = compare(listing, ledger, acknowledged=1 << 30)
    assert (found.held, found.excused) == (Held.UIDVALIDITY, 2)
    approved = compare(listing, ledger, approved=True)
    assert (approved.held, len(approved.vanished)) == (None, 4)


def test_sizes_are_summed_as_far_as_they_are_told() -> None:
    comparison = Comparison({1: flags_key(SEEN)}, skipped={2})
    for uid, size in ((1, 10), (2, 20), (3, 40), (3, 40), (4, None)):
        comparison.feed(MessageFacts(uid, SEEN, b"", size))
    assert (comparison.octets, comparison.skipped_octets) == (70, 20)


def test_a_skipped_message_is_not_new_and_a_uid_listed_twice_counts_once() -> None:
    comparison = Comparison({}, skipped={7})
    for uid in (7, 8, 8, 9):
        comparison.feed(facts(uid))
    assert [f.uid for f in comparison.result().new] == [8, 9]
    assert comparison.listed == {7, 8, 9}


uids = st.integers(1, 40)


@given(st.sets(uids), st.dictionaries(uids, st.booleans()))
def test_every_uid_ends_in_exactly_one_place(listed: set[int], ledger: dict[int, bool]) -> None:
    found = compare(
        dict.fromkeys(listed, SEEN), {uid: SEEN if seen else frozenset() for uid, seen in ledger.items()}
    )
    new = {f.uid for f in found.new}
    reflagged = {f.uid for f in found.reflagged}
    assert new == listed - set(ledger)
    assert set(found.vanished) == set(ledger) - listed
    assert reflagged == {uid for uid in listed & set(ledger) if not ledger[uid]}
