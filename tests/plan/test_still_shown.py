"""Which messages that left IMAP's listing POP3 still shows."""

from __future__ import annotations

import pytest

from mailferry.plan.still_shown import Departed, OverPop3, still_shown

HEADERS_ALONE = b"none"


def shown(name: bytes, header: bytes, whole: bytes = HEADERS_ALONE) -> OverPop3:
    return OverPop3(name, header, whole)


@pytest.mark.parametrize(
    ("departed", "over_pop3", "names", "unclear"),
    [
        ([], [shown(b"a", b"h")], {}, set()),
        ([Departed(1, b"w", b"h", b"a")], [], {}, set()),
        ([Departed(1, b"w", None, b"a")], [shown(b"a", b"other")], {1: b"a"}, set()),
        ([Departed(1, b"w")], [shown(b"a", b"h", b"w")], {1: b"a"}, set()),
        ([Departed(1, b"w", b"h")], [shown(b"a", b"h")], {1: b"a"}, set()),
        ([Departed(1, b"w", b"h")], [shown(b"a", b"other")], {}, set()),
        (
            [Departed(1, b"w", b"h"), Departed(2, b"v", b"h", b"a")],
            [shown(b"a", b"h")],
            {2: b"a"},
            set(),
        ),
        (
            [Departed(1, b"w", b"h"), Departed(2, b"v", b"h")],
            [shown(b"a", b"h", b"v")],
            {2: b"a"},
            set(),
        ),
        ([Departed(1, b"w", b"h"), Departed(2, b"w", b"h")], [shown(b"a", b"h")], {1: b"a"}, set()),
        ([Departed(1, b"w", b"h"), Departed(2, b"v", b"h")], [shown(b"a", b"h")], {1: b"a"}, {2}),
        (
            [Departed(1, b"w", b"h"), Departed(2, b"v", b"h")],
            [shown(b"a", b"h"), shown(b"b", b"h")],
            {1: b"a", 2: b"b"},
            set(),
        ),
        ([Departed(1, b"w", b"h", b"gone")], [shown(b"new", b"h")], {1: b"new"}, set()),
    ],
    ids=[
        "none left",
        "none shown",
        "by name, whatever the header",
        "by octets",
        "by header",
        "another message",
        "a name before a header",
        "octets before a header",
        "twins in order",
        "one header and two bodies",
        "as many as left",
        "a new name",
    ],
)
def test_it_is_told_by_name_then_by_octets_then_by_header(
    departed: list[Departed], over_pop3: list[OverPop3], names: dict[int, bytes], unclear: set[int]
) -> None:
    assert still_shown(departed, over_pop3) == (names, frozenset(unclear))


@pytest.mark.parametrize(("digest", "unclear"), [(b"w", set()), (b"v", {2})], ids=["a twin", "another body"])
def test_what_shares_its_header_with_a_guess_is_as_unclear_as_that(digest: bytes, unclear: set[int]) -> None:
    found = still_shown([Departed(2, digest, b"h"), Departed(3, digest, b"i")], [], {b"h": b"w"})
    assert found == ({}, frozenset(unclear))
