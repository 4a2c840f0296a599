"""What a server calls gone, against the messages that were known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan.differences import Comparison
from mailferry.remote.imap_changes import Vanished, uid_ranges

UIDS = st.integers(1, 60)


@given(known=st.sets(UIDS), ranges=st.lists(st.tuples(UIDS, UIDS).map(lambda pair: (min(pair), max(pair)))))
def test_gone_is_what_lies_in_one_of_the_ranges(known: set[int], ranges: list[tuple[int, int]]) -> None:
    gone = {uid for uid in known if any(first <= uid <= last for first, last in ranges)}
    assert Vanished(ranges).among(sorted(known)) == gone


@given(ledgered=st.sets(UIDS), skipped=st.sets(UIDS), gone=st.sets(UIDS))
def test_a_listing_of_changes_leaves_what_it_does_not_name(
    ledgered: set[int], skipped: set[int], gone: set[int]
) -> None:
    comparison = Comparison(dict.fromkeys(ledgered, b"\0"), skipped)
    comparison.feed_unchanged(Vanished([(uid, uid) for uid in gone]).among)
    assert comparison.listed == (ledgered | skipped) - gone
    assert comparison.result(approved=True).vanished == tuple(sorted(ledgered & gone))


def test_a_set_of_uids_may_name_millions_that_were_gone_before() -> None:
    ranges = uid_ranges(b"1:4294967295,7,x,9:8")
    assert ranges == [(1, 4294967295), (7, 7), (8, 9)]
    assert Vanished(ranges).among([5, 7]) == {5, 7}
