from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.wire.imap_framing import Frame, FramingError, ImapFramer, LineText, LiteralChunk
from mailferry.wire.imap_outline import ImapOutline


def framed(pieces: list[bytes], *, server: bool = True, max_line: int = 64) -> tuple[list[object], str]:
    """Frames with the pieces of each literal joined, and the fault that ended them."""
    framer = ImapFramer(server=server, max_line=max_line)
    frames: list[Frame] = []
    fault = ""
    for piece in pieces:
        try:
            frames += framer.feed(piece)
        except FramingError as error:
            frames += error.frames
            fault = str(error)
            break
    out: list[object] = []
    body: bytes | None = None
    for frame in frames:
        if isinstance(frame, LineText):
            out.append(frame)
            body = b"" if frame.literal is not None else None
            continue
        assert body is not None
        body += frame.data
        if frame.left == 0:
            out.append(body)
    return out, fault


WORDS = st.sampled_from(
    [
        b"* 1 FETCH (",
        b"a OK {3}",
        b"{3}\r\n",
        b"{3+}\r\n",
        b"~{2}\n",
        b"{0}\r\n",
        b"abc",
        b")\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"{-1}\r\n",
        b"{99999999999999999999}\r\n",
        b"\0",
        b"{",
        b"}",
        b"+ {5}\r\n",
        b"x" * 70,
        b"* NO {-1}\r\n",
    ]
)


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=20), st.booleans(), st.data())
def test_any_split_is_framed_alike(words: list[bytes], server: bool, data: st.DataObject) -> None:
    whole = b"".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert framed(pieces, server=server) == framed([whole], server=server)


def test_a_response_with_literals_comes_as_lines_and_pieces() -> None:
    framer = ImapFramer(server=True)
    assert framer.feed(b"* 1 FETCH (BODY[] {5}\r\nab") == [
        LineText(b"* 1 FETCH (BODY[] {5}", 5, False, b"\r\n"),
        LiteralChunk(b"ab", 3),
    ]
    assert not framer.at_boundary
    assert framer.feed(b"cde)\nm1 OK") == [LiteralChunk(b"cde", 0), LineText(b")", None, False, b"\n")]
    assert framer.held == 5


def test_an_empty_literal_gives_one_empty_piece() -> None:
    assert ImapFramer(server=True).feed(b"x {0}\r\n\r\n")[1:] == [
        LiteralChunk(b"", 0),
        LineText(b"", None, False, b"\r\n"),
    ]


@pytest.mark.parametrize(
    ("line", "literal", "non_sync"),
    [
        (b"a LOGIN {7}", 7, False),
        (b"a LOGIN {7+}", 7, True),
        (b"a APPEND x ~{7}", 7, False),
        (b"a NOOP {x}", None, False),
        (b"a NOOP {}", None, False),
        (b"a NOOP {+}", None, False),
        (b"a NOOP 7}", None, False),
        (b'a LOGIN "{7}"', None, False),
        (b"a LOGIN {1234567890123456789}", 1234567890123456789, False),
    ],
)
def test_what_announces_a_literal(line: bytes, literal: int | None, non_sync: bool) -> None:
    [frame] = ImapFramer(server=False).feed(line + b"\r\n")[:1]
    assert frame == LineText(line, literal, non_sync, b"\r\n")


@pytest.mark.parametrize(
    "line", [b"* OK see {5}", b"m1 NO [X] {5}", b"+ go {5}", b"* BYE {-1}", b"m2 BAD {5}"]
)
def test_a_servers_free_text_announces_nothing(line: bytes) -> None:
    assert ImapFramer(server=True).feed(line + b"\r\n") == [LineText(line, None, False, b"\r\n")]


def test_behind_a_literal_the_response_goes_on_whatever_it_looks_like() -> None:
    frames = ImapFramer(server=True).feed(b"* LIST {1}\r\na OK {2}\r\nbc\r\n")
    assert [frame.literal for frame in frames if isinstance(frame, LineText)] == [1, 2, None]


@pytest.mark.hazard("T9")
@pytest.mark.parametrize("line", [b"a LOGIN {-1}", b"a LOGIN {12345678901234567890}", b"a \0", b"x" * 65])
def test_what_is_not_imap_is_refused(line: bytes) -> None:
    with pytest.raises(FramingError):
        ImapFramer(server=False, max_line=64).feed(line + b"\r\n")


def test_a_literal_over_the_limit_is_refused_before_it_comes() -> None:
    framer = ImapFramer(server=False, max_literal=10)
    framer.feed(b"a {10}\r\n0123456789\r\n")
    with pytest.raises(FramingError):
        framer.feed(b"a {11}\r\n")


@pytest.mark.hazard("T16")
def test_an_endless_line_is_refused_with_little_kept() -> None:
    framer = ImapFramer(server=True, max_line=1000)
    for _ in range(10):
        framer.feed(b"x" * 100)
    with pytest.raises(FramingError):
        framer.feed(b"xx")
    assert framer.held <= 1002


def test_fifty_thousand_small_lines_are_framed_quickly() -> None:
    line = (
        b'* 12345 FETCH (UID 45678 FLAGS (\\Seen $Forwarded) INTERNALDATE "17-Jul-2020 02:44:25 +0800")\r\n'
    )
    stream = line * 50_000
    best = 0.0
    for _ in range(3):
        framer = ImapFramer(server=True)
        began = time.process_time()
        count = sum(len(framer.feed(stream[at : at + 65536])) for at in range(0, len(stream), 65536))
        best = max(best, count / (time.process_time() - began))
    assert best > 100_000  # lines a second; several times that on a quiet machine


# ---- the outline of the same stream


def outlined(pieces: list[bytes], *, server: bool) -> tuple[list[object], str, bool]:
    outline = ImapOutline(server=server)
    seen: list[object] = []
    try:
        for piece in pieces:
            seen += outline.feed(piece)
    except FramingError as fault:
        return [], str(fault), False
    return seen, "", outline.at_boundary


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=20), st.booleans(), st.data())
def test_any_split_has_the_same_outline(words: list[bytes], server: bool, data: st.DataObject) -> None:
    whole = b"".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert outlined(pieces, server=server) == outlined([whole], server=server)


@given(st.lists(WORDS.filter(lambda w: b"\0" not in w and len(w) < 70), max_size=20), st.booleans())
def test_the_outline_sees_the_lines_that_the_framer_sees(words: list[bytes], server: bool) -> None:
    whole = b"".join(words)
    seen, fault, _ = outlined([whole], server=server)
    lines, framer_fault = framed([whole], server=server, max_line=10_000)
    assert fault == framer_fault
    if not fault:
        assert [(o.head, o.literal, o.non_sync) for o in seen] == [
            (line.text, line.literal, line.non_sync) for line in lines if isinstance(line, LineText)
        ]


def test_a_line_of_any_length_passes_the_outline_with_little_kept() -> None:
    outline = ImapOutline(server=True)
    assert outline.feed(b"* SEARCH" + b" 1234567" * 10_000) == []
    for _ in range(100):
        assert outline.feed(b" 1234567" * 1000) == []
    [end] = outline.feed(b" (BODY[] {5}\r\n")
    assert (end.head[:16], end.literal, len(end.head), outline.left) == (b"* SEARCH 1234567", 5, 512, 5)


@pytest.mark.parametrize(
    ("line", "clean"), [(b"a X {3}", True), (b"a X ({3}", True), (b"a X ~{3}", True), (b"a X{3}", False)]
)
def test_a_marker_that_no_argument_begins_with_is_not_clean(line: bytes, clean: bool) -> None:
    [end] = ImapOutline(server=False).feed(line + b"\r\n")
    assert end.clean is clean


def test_a_size_longer_than_what_is_kept_is_refused() -> None:
    with pytest.raises(FramingError):
        ImapOutline(server=False).feed(b"a X {" + b"9" * 100 + b"}\r\n")
