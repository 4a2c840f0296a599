"""Which deletions an IMAP session has to answer for, as the server's stream tells them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.model.tap import ANY_MAILBOX, BELOW, UNKNOWN_MANY, Deletions
from mailferry.taps.boundaries_imap import ImapBoundaries

Steps = list[tuple[str, bytes]]

SELECT: Steps = [("c", b"s SELECT INBOX\r\n"), ("s", b"* 9 EXISTS\r\n* FLAGS (\\Deleted)\r\ns OK\r\n")]
MARK: Steps = [("c", b"m STORE 1:3 +FLAGS.SILENT (\\Deleted)\r\n"), ("s", b"m OK\r\n")]
THREE = b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 1 expunge\r\n"

TABLE: list[tuple[str, Steps, Deletions]] = [
    ("nothing", [*SELECT, ("c", b"a NOOP\r\n"), ("s", b"a OK\r\n")], Deletions()),
    ("expunge", [*SELECT, *MARK, ("c", b"a EXPUNGE\r\n"), ("s", THREE + b"a OK\r\n")], Deletions(3)),
    ("in part", [*SELECT, ("c", b"a EXPUNGE\r\n"), ("s", THREE + b"a NO the disk\r\n")], Deletions(3)),
    ("before its end", [*SELECT, ("c", b"a EXPUNGE\r\n"), ("s", THREE)], Deletions(3)),
    ("uid expunge", [*SELECT, ("c", b"a uid expunge 1:3\r\n"), ("s", THREE + b"a OK\r\n")], Deletions(3)),
    ("move", [*SELECT, ("c", b"a UID MOVE 1:3 x\r\n"), ("s", THREE + b"a OK\r\n")], Deletions(3)),
    (
        "to a mailbox named by a literal",
        [*SELECT, ("c", b"a MOVE 1:3 {1+}\r\nx\r\n"), ("s", THREE + b"a OK\r\n")],
        Deletions(3),
    ),
    (
        "pipelined",
        [
            *SELECT,
            ("c", b"a EXPUNGE\r\nb NOOP\r\nc SELECT other\r\n"),
            ("s", THREE + b"a OK\r\n* 1 EXPUNGE\r\nb OK\r\n* 4 EXISTS\r\nc OK\r\n"),
        ],
        Deletions(3),
    ),
    ("by others", [*SELECT, ("c", b"a NOOP\r\n"), ("s", THREE + b"a OK\r\n")], Deletions()),
    ("by others in IDLE", [*SELECT, ("c", b"a IDLE\r\n"), ("s", b"+ \r\n" + THREE)], Deletions()),
    (
        "by others after ours",
        [
            *SELECT,
            *MARK,
            ("c", b"a EXPUNGE\r\n"),
            ("s", THREE + b"a OK\r\n"),
            ("c", b"b NOOP\r\n"),
            ("s", b"* 1 EXPUNGE\r\nb OK\r\n"),
        ],
        Deletions(3),
    ),
    (
        "a server that deletes what is marked",
        [*SELECT, *MARK, ("c", b"f FETCH 9 FLAGS\r\n"), ("s", b"f OK\r\n"), ("c", b"n NOOP\r\n"), ("s", THREE)],
        Deletions(3),
    ),
    (
        "and others after that",
        [*SELECT, *MARK, ("c", b"n NOOP\r\n"), ("s", b"n OK\r\n"), ("c", b"o NOOP\r\n"), ("s", THREE)],
        Deletions(),
    ),
    (
        "vanished",
        [*SELECT, ("c", b"a UID EXPUNGE 1:99\r\n"), ("s", b"* VANISHED 4,7:9,11\r\na OK\r\n")],
        Deletions(5),
    ),
    (
        "vanished with holes",
        [*SELECT, ("c", b"a UID EXPUNGE 1:99\r\n"), ("s", b"* VANISHED 1:4294967295\r\na OK\r\n")],
        Deletions(9),
    ),
    (
        "vanished long ago",
        [("c", b"a SELECT x (QRESYNC (1 2))\r\nb EXPUNGE\r\n"), ("s", b"* VANISHED (EARLIER) 1:5\r\n")],
        Deletions(),
    ),
    (
        "vanished, a long list",
        [
            *SELECT,
            ("c", b"a UID EXPUNGE 1:9999\r\n"),
            ("s", b"* VANISHED " + b",".join(b"%d" % n for n in range(1, 999, 2)) + b"\r\na OK\r\n"),
        ],
        Deletions(9),
    ),
    ("close", [*SELECT, *MARK, ("c", b"a CLOSE\r\n"), ("s", b"a OK\r\n")], Deletions(9)),
    (
        "close, marked by an earlier session",
        [
            *SELECT,
            ("c", b"f FETCH 1:* FLAGS\r\n"),
            ("s", b"* 1 FETCH (UID 7 FLAGS (\\Seen \\Deleted))\r\nf OK\r\n"),
            ("c", b"a CLOSE\r\n"),
            ("s", b"a OK\r\n"),
        ],
        Deletions(9),
    ),
    ("close without a number", [("c", b"s SELECT x\r\n"), ("s", b"s OK\r\n"), *MARK, ("c", b"a CLOSE\r\n"), ("s", b"a OK\r\n")], Deletions(0, 1)),
    ("close of what has nothing marked", [*SELECT, ("c", b"a CLOSE\r\n"), ("s", b"a OK\r\n")], Deletions()),
    ("close refused", [*SELECT, *MARK, ("c", b"a CLOSE\r\n"), ("s", b"a NO\r\n")], Deletions()),
    (
        "close after an expunge",
        [*SELECT, *MARK, ("c", b"a EXPUNGE\r\nb CLOSE\r\n"), ("s", THREE + b"a OK\r\nb OK\r\n")],
        Deletions(3),
    ),
    (
        "close of a mailbox opened to read",
        [("c", b"s EXAMINE x\r\n"), ("s", b"* 9 EXISTS\r\ns OK\r\n"), *MARK, ("c", b"a CLOSE\r\n"), ("s", b"a OK\r\n")],
        Deletions(),
    ),
    ("unselect", [*SELECT, *MARK, ("c", b"a UNSELECT\r\nb CLOSE\r\n"), ("s", b"a OK\r\nb OK\r\n")], Deletions()),
    (
        "another mailbox",
        [*SELECT, *MARK, ("c", b"a SELECT y\r\nb CLOSE\r\n"), ("s", b"* 4 EXISTS\r\na OK\r\nb OK\r\n")],
        Deletions(),
    ),
    ("a mailbox deleted", [("c", b"a DELETE x\r\n"), ("s", b"a OK\r\n")], Deletions(0, 1)),
    ("a mailbox renamed", [("c", b"a RENAME x y\r\n"), ("s", b"a OK\r\n")], Deletions(0, 1)),
    ("not deleted", [("c", b"a DELETE x\r\n"), ("s", b"a NO\r\n")], Deletions()),
    (
        "a tag used again and again",
        [*SELECT, ("c", b"a NOOP\r\na EXPUNGE\r\n"), ("s", b"a OK\r\n" + THREE + b"a OK\r\n* 1 EXPUNGE\r\n")],
        Deletions(3),
    ),
    (
        "inside a literal",
        [*SELECT, ("c", b"a EXPUNGE\r\n"), ("s", b"* 1 FETCH (BODY[] {16}\r\n\r\n* 2 EXPUNGE\r\n)\r\na OK\r\n")],
        Deletions(),
    ),
    ("what cannot be followed", [*SELECT, ("s", b"zz OK who\r\n"), ("c", b"a EXPUNGE\r\n"), ("s", THREE)], Deletions()),
]  # fmt: skip


def seen(steps: Steps) -> Deletions:
    tap = ImapBoundaries(b"our1")
    for side, octets in steps:
        (tap.from_client if side == "c" else tap.from_server)(octets)
    return tap.deletions


@pytest.mark.parametrize(("steps", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_a_session_deleted(steps: Steps, expected: Deletions) -> None:
    assert seen(steps) == expected


@settings(max_examples=150)
@given(st.data())
def test_the_number_does_not_depend_on_how_the_stream_is_divided(data: st.DataObject) -> None:
    _, steps, expected = data.draw(st.sampled_from(TABLE))
    divided: Steps = []
    for side, octets in steps:
        places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        divided += [(side, octets[a:b]) for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    assert seen(divided) == expected


def test_one_number_stands_for_all_and_only_grows() -> None:
    assert Deletions().number == 0
    assert Deletions(12).number == 12
    assert Deletions(12, 2).number == 12 + 2 * UNKNOWN_MANY


@pytest.mark.parametrize(
    ("opened", "mailbox"),
    [
        (b"x", b"x"),
        (b'"a b"', b"a b"),
        (b'"a\\"b"', b'a"b'),
        (b"inbox", b"INBOX"),
        (b"&mHl27g-", b"&mHl27g-"),
        (b"x (CONDSTORE)", b"x"),
        (b"{1+}", ANY_MAILBOX),
        ("进".encode(), ANY_MAILBOX),
        (b'"' + b"l" * 600 + b'"', ANY_MAILBOX),
    ],
)
def test_each_mailbox_has_its_own_number(opened: bytes, mailbox: bytes) -> None:
    select = b"s SELECT " + opened + (b"\r\nx\r\n" if opened == b"{1+}" else b"\r\n")
    steps: Steps = [("c", select), ("s", b"* 9 EXISTS\r\ns OK\r\n"), ("c", b"a EXPUNGE\r\n"), ("s", THREE)]
    assert seen(steps).by_mailbox == {mailbox: 3}


def test_a_mailbox_that_was_renamed_takes_those_below_it_along() -> None:
    assert seen([("c", b'a RENAME "x" y\r\n'), ("s", b"a OK\r\n")]).by_mailbox == {
        b"x": UNKNOWN_MANY,
        b"x" + BELOW: UNKNOWN_MANY,
    }
    assert seen([("c", b"a DELETE x\r\n"), ("s", b"a OK\r\n")]).by_mailbox == {b"x": UNKNOWN_MANY}


def test_what_is_deleted_counts_where_it_lay() -> None:
    steps: Steps = [*SELECT, ("c", b"a EXPUNGE\r\n"), ("s", THREE + b"a OK\r\n")]
    steps += [("c", b"t SELECT other\r\n"), ("s", b"* 9 EXISTS\r\nt OK\r\n")]
    steps += [("c", b"b EXPUNGE\r\n"), ("s", THREE[: len(THREE) // 3] + b"b OK\r\n")]
    assert sorted(seen(steps).by_mailbox.values()) == [1, 3]
    assert seen(steps).by_mailbox[b"other"] == 1
