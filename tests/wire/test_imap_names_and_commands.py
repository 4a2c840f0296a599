from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.wire.imap_commands import (
    BadArgument,
    Literal,
    astring,
    flag_list,
    is_flag,
    quoted,
    segments,
    uid_sets,
)
from mailferry.wire.imap_names import BadMailboxName, decode_strict, encode_mailbox

NAMES = [
    ("INBOX", b"INBOX"),
    ("其他文件夹/X", b"&UXZO1mWHTvZZOQ-/X"),
    ("已发送", b"&XfJT0ZAB-"),
    ("草稿箱", b"&g0l6P3ux-"),
    ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
    ("R&D", b"R&-D"),
    ("&", b"&-"),
    ("😀", b"&2D3eAA-"),
    ("a\tb", b"a&AAk-b"),
    ("", b""),
]


@pytest.mark.parametrize(("name", "raw"), NAMES)
def test_names_are_encoded_and_decoded(name: str, raw: bytes) -> None:
    assert encode_mailbox(name) == raw
    assert decode_strict(raw) == name


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=30))
def test_every_name_comes_back(name: str) -> None:
    raw = encode_mailbox(name)
    assert raw.isascii()
    assert decode_strict(raw) == name


@pytest.mark.hazard("T19")
@pytest.mark.parametrize(
    "raw",
    [
        b"&",
        b"&AAA-",
        b"&*-",
        b"a&b",
        b"&AGE-",
        b"&U,BTFw-&ZeVnLIqe-",
        b"\xb2\xdd",
        "日本".encode(),
        b"&2D0-",
        b"a\x00",
        b"&AAA",
        b"&AAoA-",
    ],
)
def test_names_that_would_not_come_back_are_refused(raw: bytes) -> None:
    with pytest.raises(BadMailboxName):
        decode_strict(raw)


@given(st.binary(max_size=60))
def test_names_are_one_to_one_whatever_the_octets(raw: bytes) -> None:
    try:
        name = decode_strict(raw)
    except BadMailboxName:
        return
    assert encode_mailbox(name) == raw


@pytest.mark.parametrize("name", ["a\r\nX DELETE b", "a\0", "\ud800"])
def test_names_that_end_a_line_are_never_encoded(name: str) -> None:
    with pytest.raises(BadMailboxName):
        encode_mailbox(name)


def test_quoted_strings_escape_what_they_must() -> None:
    assert quoted(b'a"b\\c\xff\t') == b'"a\\"b\\\\c\xff\t"'
    for octets in (b"a\r", b"a\n", b"a\0"):
        with pytest.raises(BadArgument):
            quoted(octets)


def test_strings_go_as_literals_where_they_must() -> None:
    assert astring(b"a b") == b'"a b"'
    assert astring(b"\xff") == Literal(b"\xff")
    assert astring(b"a\r\nb") == Literal(b"a\r\nb")
    assert "ff" not in repr(Literal(b"\xff"))
    with pytest.raises(BadArgument):
        astring(b"a\0")


@pytest.mark.hazard("T19")
@pytest.mark.parametrize(
    "flag",
    [b"", b"a b", b"a)", b"(a", b"a\r\n", b"\\*", b"a*", b"\\", b"\xff", b'a"', b"a]", b"{3}", b"\\\\a"],
)
def test_what_is_no_flag_never_gets_into_a_list(flag: bytes) -> None:
    assert not is_flag(flag)
    with pytest.raises(BadArgument):
        flag_list([b"\\Seen", flag])


def test_flag_lists_are_sorted() -> None:
    assert flag_list([b"b", b"\\Seen", b"$Forwarded", b"TEST:FLAG"]) == b"($Forwarded TEST:FLAG \\Seen b)"
    assert flag_list([]) == b"()"


@given(st.lists(st.integers(1, 400), max_size=200), st.integers(10, 60))
def test_uid_sets_hold_each_uid_once_ascending_and_short(uids: list[int], limit: int) -> None:
    found: list[int] = []
    for piece in uid_sets(uids, limit):
        assert len(piece) <= limit
        for part in piece.split(b","):
            first, _, last = part.partition(b":")
            found += range(int(first), int(last or first) + 1)
    assert found == sorted(set(uids))


@pytest.mark.parametrize("uid", [0, -1, 1 << 32])
def test_uids_are_32_bits(uid: int) -> None:
    with pytest.raises(BadArgument):
        list(uid_sets([uid], 100))


@pytest.mark.parametrize(
    ("plus", "minus", "expected"),
    [
        (False, False, [b"t X {2}\r\n", b"ab y {5000}\r\n", b"z" * 5000 + b"\r\n"]),
        (True, False, [b"t X {2+}\r\nab y {5000+}\r\n" + b"z" * 5000 + b"\r\n"]),
        (False, True, [b"t X {2+}\r\nab y {5000}\r\n", b"z" * 5000 + b"\r\n"]),
    ],
)
def test_a_command_is_cut_where_a_continuation_is_waited_for(
    plus: bool, minus: bool, expected: list[bytes]
) -> None:
    pieces = [b"X", Literal(b"ab"), b"y", Literal(b"z" * 5000)]
    assert segments(b"t", pieces, literal_plus=plus, literal_minus=minus) == expected
