"""Messages recognised although a target altered them, and told apart where they differ in more."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.copying.likeness import Likeness, LooseDigest, likenesses, match_alike
from mailferry.remote.message_sink import FetchOutcome, MessageSink

pytestmark = pytest.mark.hazard("D26")


def loose(*pieces: bytes) -> bytes:
    digest = LooseDigest()
    for piece in pieces:
        digest.feed(piece)
    return digest.value()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r\r\n", b"ab\r\n"),
        (b"end", b"end\r\n"),
        (b"", b"\r\n"),
        (b"text\r\n\r\n\r\n", b"text\r\n"),
        (b"n\0l\r\n", b"n\x80l\r\n"),
        (b"Subject: \xc4\xfa\r\n", b"Subject: XX\r\n"),
    ],
)
def test_what_targets_were_seen_to_do_makes_no_other_message(sent: bytes, kept: bytes) -> None:
    assert loose(sent) == loose(kept)


@pytest.mark.parametrize(
    ("one", "two"), [(b"a\r\nb\r\n", b"ab\r\n"), (b"a\r\n\r\nb", b"a\r\nb"), (b"\nx", b"x"), (b"a", b"b")]
)
def test_other_words_and_lines_do(one: bytes, two: bytes) -> None:
    assert loose(one) != loose(two)


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\xff", b""]), max_size=12))
def test_pieces_do_not_matter(pieces: list[bytes]) -> None:
    assert loose(*pieces) == loose(b"".join(pieces))


def alike(exact: str, loosely: str = "") -> Likeness:
    return Likeness(exact.encode(), (loosely or exact).encode(), 0)


def test_equal_messages_are_paired_before_those_that_are_alike_and_each_once() -> None:
    mine = {1: alike("a", "x"), 2: alike("b", "x"), 3: alike("c", "x"), 4: alike("d", "y")}
    there = {10: alike("z", "x"), 11: alike("a", "x"), 12: alike("w", "y")}
    assert match_alike(mine, there) == {1: 11, 2: 10, 4: 12}


class Bodies:
    """A source of two messages, one of which does not come."""

    async def fetch_bodies(self, uids: Collection[int], sink: MessageSink) -> FetchOutcome:
        sink.begin(1, 3)
        sink.chunk(b"ab")
        sink.chunk(b"c")
        sink.end()
        sink.begin(2, 9)
        sink.chunk(b"half")
        sink.broken()
        return FetchOutcome(missing=tuple(uid for uid in uids if uid != 1))


async def test_what_does_not_come_whole_has_no_likeness() -> None:
    found = await likenesses(Bodies(), [1, 2])  # type: ignore[arg-type]
    assert {uid: one.octets for uid, one in found.items()} == {1: 3}
