"""A size speaks against a message only where sizes have proved true."""

from __future__ import annotations

import pytest

from mailferry.plan.completeness import seems_header_only
from mailferry.plan.true_sizes import TrueSizes, is_short

pytestmark = pytest.mark.hazard("D25")


@pytest.mark.parametrize(
    ("exact", "other", "believed", "may_be"),
    [
        (0, 0, False, True),
        (2, 0, False, True),
        (3, 0, True, True),
        (3, 1, True, True),
        (3, 2, False, True),
        (8, 3, False, False),
        (9, 3, True, True),
        (0, 3, False, False),
    ],
)
def test_three_messages_and_three_of_four_must_have_the_size_that_was_told(
    exact: int, other: int, believed: bool, may_be: bool
) -> None:
    sizes = TrueSizes()
    for _ in range(exact):
        sizes.note(100, 100)
    for _ in range(other):
        sizes.note(100, 300)
    sizes.note(100, None)
    assert (sizes.believed, sizes.may_be_believed) == (believed, may_be)
    estimated = TrueSizes(False, exact, other)
    assert (estimated.believed, estimated.may_be_believed) == (False, False)


@pytest.mark.parametrize(
    ("octets", "announced", "bodyless", "short"),
    [
        (100, None, True, False),
        (100, 163, True, False),
        (100, 164, True, True),
        (100, 164, False, True),
        (1000, 1064, False, False),
        (15_000, 16_000, False, True),
        (15_001, 16_000, False, False),
        (20_971_520, 22_369_622, False, True),
        (300, 100, True, False),
    ],
)
def test_what_is_missing_must_be_more_than_lines_are_counted_for(
    octets: int, announced: int | None, bodyless: bool, short: bool
) -> None:
    assert is_short(octets, announced, bodyless=bodyless) is short


def test_no_message_is_without_an_octet() -> None:
    assert seems_header_only(0, 5, 0)
    assert not seems_header_only(0, 0, 0)
    assert not seems_header_only(0, None, 0)
