from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.wire.line_buffer import LineBuffer, LineTooLong, PlaintextBehindUpgrade


def lines_of(pieces: list[bytes], max_line: int) -> tuple[list[bytes], str]:
    buffer = LineBuffer(max_line)
    lines: list[bytes] = []
    try:
        for piece in pieces:
            buffer.feed(piece)
            while (line := buffer.next_line()) is not None:
                lines.append(line)
    except LineTooLong:
        return lines, "too long"
    return lines, buffer.take_rest().decode("latin-1")


@given(
    st.lists(st.sampled_from([b"a", b"bcd", b"\r", b"\n", b"\r\n", b"\0"]), max_size=30),
    st.data(),
)
def test_feeding_any_split_gives_what_feeding_all_gives(words: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(words) + b"\n" * 3
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert lines_of(pieces, 5) == lines_of([whole], 5)


def test_lines_end_with_crlf_or_a_bare_lf_and_keep_other_octets() -> None:
    assert lines_of([b"a b\r\nc\n\r\n\r\r\nd"], 10) == ([b"a b", b"c", b"", b"\r"], "d")


@pytest.mark.parametrize(("octets", "fits"), [(b"x" * 10 + b"\r\n", True), (b"x" * 11 + b"\r\n", False)])
def test_the_limit_counts_octets_without_the_line_end(octets: bytes, fits: bool) -> None:
    assert (lines_of([octets], 10)[1] != "too long") is fits


def test_an_endless_line_is_refused_before_it_ends() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"x" * 12)
    with pytest.raises(LineTooLong):
        buffer.next_line()


def test_counted_octets_and_lines_mix() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"12345line\r\nrest")
    assert buffer.take(5) == b"12345"
    assert buffer.next_line() == b"line"
    assert (buffer.next_line(), len(buffer), buffer.take_rest(), len(buffer)) == (None, 4, b"rest", 0)


@pytest.mark.hazard("T1")
def test_an_upgrade_with_octets_in_the_buffer_fails_and_forgets_them() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"NOOP\r\n")
    with pytest.raises(PlaintextBehindUpgrade):
        buffer.upgrade()
    assert len(buffer) == 0
    buffer.upgrade()
