from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.wire.pop3_replies import (
    BadReply,
    BodyEnd,
    DotReader,
    Pop3Reply,
    is_continuation,
    parse_capabilities,
    parse_list_line,
    parse_stat,
    parse_status,
    parse_uidl_line,
    reply_follows,
)
from tests.kit.dot_stuffing import stuffed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"+OK", Pop3Reply(True, None, b"")),
        (b"+ok core mail", Pop3Reply(True, None, b"core mail")),
        (b"-ERR [AUTH] no", Pop3Reply(False, "AUTH", b"no")),
        (b"-ERR [sys/temp]no", Pop3Reply(False, "SYS/TEMP", b"no")),
        (b"+OK 67 message(s) [3603306 byte(s)]", Pop3Reply(True, None, b"67 message(s) [3603306 byte(s)]")),
        (b"-ERR \xb5\xc7\xc2\xbc", Pop3Reply(False, None, b"\xb5\xc7\xc2\xbc")),
    ],
)
def test_status_lines(line: bytes, expected: Pop3Reply) -> None:
    assert parse_status(line) == expected


@pytest.mark.parametrize("line", [b"", b"+OKAY", b"OK", b"* OK", b"+ ", b"-ERROR x", b" +OK"])
def test_what_is_no_status_line(line: bytes) -> None:
    with pytest.raises(BadReply):
        parse_status(line)


def test_continuations() -> None:
    assert [is_continuation(line) for line in (b"+ ", b"+", b"+ VXNl", b"+OK", b"-ERR")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"1 abc", (1, b"abc")), (b"12  xtbB!~ more", (12, b"xtbB!~")), (b"3 " + b"x" * 200, (3, b"x" * 200))],
)
def test_uidl_lines(line: bytes, expected: tuple[int, bytes]) -> None:
    assert parse_uidl_line(line) == expected


@pytest.mark.parametrize(
    "line", [b"", b"1", b"x abc", b"0 abc", b"1 a\xff", b"1 " + b"x" * 256, b"-1 a", b"99999999999 a"]
)
def test_bad_uidl_lines(line: bytes) -> None:
    with pytest.raises(BadReply):
        parse_uidl_line(line)


def test_list_and_stat_lines() -> None:
    assert parse_list_line(b"3 1200") == (3, 1200)
    assert parse_stat(b"3 1200 more") == (3, 1200)
    for wrong in (b"3 x", b"3 -1", b"3 " + b"9" * 20):
        with pytest.raises(BadReply):
            parse_list_line(wrong)
        with pytest.raises(BadReply):
            parse_stat(wrong)
    with pytest.raises(BadReply):
        parse_stat(b"")


def test_capabilities() -> None:
    assert parse_capabilities([b"top", b"SASL plain LOGIN", b"", b"X"]) == {
        "TOP": (),
        "SASL": ("PLAIN", "LOGIN"),
        "X": (),
    }


BODY = st.lists(
    st.sampled_from([b".", b"..", b"\r\n", b"\r", b"x", b"\r\n.", b"\n", b".\r\n"]), max_size=20
).map(b"".join)
PLACES = st.lists(st.integers(0, 80), max_size=8)


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({min(place, len(whole)) for place in places})
    return [whole[a:b] for a, b in zip([0, *marks], [*marks, len(whole)], strict=True)]


@settings(max_examples=150)
@given(BODY, PLACES, st.sampled_from([b"", b"+OK next\r\n.\r\n"]))
def test_reading_in_pieces_gives_the_body_and_what_follows(
    body: bytes, places: list[int], after: bytes
) -> None:
    wire = stuffed(body) + after
    reader = DotReader()
    read = b"".join(reader.feed(piece) for piece in cut(wire, places))
    ended = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert (read, reader.done, reader.rest) == (ended, True, after)


@settings(max_examples=150)
@given(BODY, PLACES)
def test_the_end_of_a_body_is_found_in_pieces(body: bytes, places: list[int]) -> None:
    wire = stuffed(body) + b"+OK\r\n"
    finder = BodyEnd()
    seen = 0
    for piece in cut(wire, places):
        end = finder.feed(piece)
        if end is not None:
            assert seen + end == len(wire) - 5
            return
        seen += len(piece)
    pytest.fail("no end found")


def test_a_server_that_ends_lines_with_lf_alone_is_understood() -> None:
    reader = DotReader()
    assert reader.feed(b"a\n..b\n.\n+OK") == b"a\n.b\n"
    assert (reader.done, reader.rest) == (True, b"+OK")
    assert reader.feed(b" x") == b""
    assert reader.rest == b"+OK x"


def read(wire: bytes, places: list[int], reader: DotReader) -> bytes:
    """Read as a session does: an end that no reply follows is taken back."""
    out, ahead, ended = b"", b"", False
    for piece in cut(wire, places):
        data = ahead + piece
        while data:
            if ended and (follows := reply_follows(data)) is not False:
                ahead, data = (data, b"") if follows is None else (b"", b"")
                if follows:
                    return out
                break
            out += (reader.resume() if ended else b"") + reader.feed(data)
            ended, ahead = reader.done, b""
            data = reader.rest if ended else b""
    return out


ANY_SIZE = st.none() | st.integers(0, 60)


@settings(max_examples=300)
@given(BODY, PLACES, ANY_SIZE)
def test_a_right_server_is_read_right_whatever_size_it_announced(
    body: bytes, places: list[int], size: int | None
) -> None:
    reader = DotReader(expected=size)
    ended = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert read(stuffed(body) + b"+OK\r\n", places, reader) == ended
    assert (reader.done, reader.bare, reader.doubtful) == (True, False, False)


@pytest.mark.hazard("D4")
@settings(max_examples=300)
@given(BODY, PLACES, ANY_SIZE)
def test_a_server_that_stuffs_nothing_is_found_out_and_read_whole(
    body: bytes, places: list[int], size: int | None
) -> None:
    body += b"" if body.endswith(b"\r\n") or not body else b"\r\n"
    wire = body + b".\r\n+OK\r\n"
    reader = DotReader(expected=size)
    found = read(wire, places, reader)
    if reader.doubtful:
        found = read(wire, places, DotReader(bare=True, expected=size))
    if reader.bare:
        assert found == body
    else:  # only lines with two dots or more: nothing on the wire tells
        assert found == b"\n".join(line[1:] if line.startswith(b"..") else line for line in body.split(b"\n"))


@pytest.mark.hazard("D4")
@settings(max_examples=200)
@given(BODY, PLACES)
def test_a_body_whose_last_line_has_no_end_stops_at_its_announced_size(
    body: bytes, places: list[int]
) -> None:
    body = body.rstrip(b"\r\n.") + b"x"
    wire = stuffed(body).removesuffix(b"\r\n.\r\n") + b".\r\n+OK\r\n"
    for size in (len(body), len(body) + 2):
        assert read(wire, places, DotReader(expected=size)) == body


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", None),
        (b"+", None),
        (b"-ER", None),
        (b"+OK", None),
        (b"+OK\r", True),
        (b"-err x", True),
        (b"+OKAY", False),
        (b"x", False),
        (b"\r\n", False),
        (b"-ERRATIC", False),
        (b"+O ", False),
    ],
)
def test_a_reply_is_known_by_its_first_octets(octets: bytes, told: bool | None) -> None:
    assert reply_follows(octets) is told
