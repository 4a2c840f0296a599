"""Flags and dates of a foreign listing, before they go into a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.remote.sendable import sendable_date, sendable_flags
from mailferry.wire.imap_commands import flag_list

ANY = {b"\\Seen", b"\\Deleted", b"\\*"}


@pytest.mark.hazard("D8")
@pytest.mark.parametrize(
    ("flags", "permanent", "kept", "left"),
    [
        ({b"\\Seen", b"$Forwarded"}, None, {b"\\Seen", b"$Forwarded"}, set()),
        ({b"\\Seen", b"\\Recent", b"\\recent"}, None, {b"\\Seen"}, set()),
        ({b"\\SEEN", b"x"}, ANY, {b"\\SEEN", b"x"}, set()),
        ({b"x"}, {b"\\Seen", b"X"}, {b"x"}, set()),
        ({b"x", b"\\Seen"}, {b"\\Seen"}, {b"\\Seen"}, {b"x"}),
        ({b"\\Odd", b"\\*"}, ANY, set(), {b"\\Odd", b"\\*"}),
        (
            {b"a)b", b"a b", b"a\r\nb", b"", b"\xff", b'"'},
            None,
            set(),
            {b"a)b", b"a b", b"a\r\nb", b"", b"\xff", b'"'},
        ),
        ({b"Work", b"work"}, None, {b"Work"}, set()),
        ({b"TEST:FLAG"}, ANY, {b"TEST:FLAG"}, set()),
    ],
)
def test_flags_are_kept_or_left_by_name(
    flags: set[bytes], permanent: set[bytes] | None, kept: set[bytes], left: set[bytes]
) -> None:
    assert sendable_flags(flags, permanent) == (kept, left)


@given(st.frozensets(st.binary(max_size=12), max_size=8))
def test_what_is_kept_always_fits_a_command(flags: frozenset[bytes]) -> None:
    kept, _ = sendable_flags(flags, None)
    flag_list(kept)


@pytest.mark.hazard("D9")
@pytest.mark.parametrize(
    ("told", "sent"),
    [
        (b"17-Jul-1996 02:44:25 -0700", b"17-Jul-1996 02:44:25 -0700"),
        (b" 7-Jul-1996 02:44:25 +1400", b" 7-Jul-1996 02:44:25 +1400"),
        (b"7-Jul-1996 02:44:25 -1200", b" 7-Jul-1996 02:44:25 -1200"),
        (b"01-Jan-1970 00:00:00 +0000", b"01-Jan-1970 00:00:00 +0000"),
        (b"19-Jan-2038 03:14:08 +0000", b"19-Jan-2038 03:14:08 +0000"),
        (b"", None),
        (b"yesterday", None),
        (b'17-Jul-1996 02:44:25 -0700" {5}', None),
        (b"17-Jul-1996 02:44:25 -0700\r\n", b"17-Jul-1996 02:44:25 -0700"),
        (b"17-XYZ-1996 02:44:25 -0700", None),
        (b"17-JUL-1996 02:44:25 -0700", b"17-Jul-1996 02:44:25 -0700"),
        (b"7-jul-1996 02:44:25 -0700", b" 7-Jul-1996 02:44:25 -0700"),
        (b"31-Dec-1969 23:00:00 -0330", b" 1-Jan-1970 02:30:00 +0000"),
        (b"01-Jan-1970 00:00:00 +0800", b" 1-Jan-1970 00:00:01 +0000"),
        (b"01-Jan-1900 00:00:00 +0000", b" 1-Jan-1970 00:00:01 +0000"),
        (b"31-Dec-2016 23:59:60 +0000", b" 1-Jan-2017 00:00:00 +0000"),
        (b"30-Feb-2016 23:59:59 +0000", None),
        (b"01-Jan-2016 24:00:00 +0000", None),
        (b"01-Jan-2016 00:00:61 +0000", None),
    ],
)
def test_dates_go_on_as_the_same_second_or_not_at_all(told: bytes, sent: bytes | None) -> None:
    assert sendable_date(told) == sent
