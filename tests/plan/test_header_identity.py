from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan.arrival_date import arrival_date, instant
from mailferry.plan.completeness import Doubt, Evidence, Grade, MailboxEvidence, grade, seems_header_only
from mailferry.plan.header_identity import HeaderIdentity, promises_parts

HEADER = b"Received: x\r\n by y\r\nSubject: s\r\nMessage-ID:  <a@b>\r\n"


def identity(*pieces: bytes) -> tuple[bytes, bytes | None, bytes]:
    made = HeaderIdentity()
    rest = b"".join(made.feed(piece) for piece in pieces)
    return made.value(), made.message_id(), rest


@pytest.mark.parametrize(
    "other",
    [
        HEADER,
        HEADER + b"\r\n",
        HEADER + b"\r\nbody",
        HEADER.replace(b"\r\n", b"\n") + b"\nbody",
        b"Status: RO\r\nX-UIDL: 17\r\n " + b"more\r\n" + HEADER + b"\r\n",
    ],
    ids=["without blank line", "blank line", "body", "bare LF", "added lines"],
)
def test_one_header_has_one_digest_however_it_is_shown(other: bytes) -> None:
    assert identity(HEADER + b"\r\nfirst")[:2] == identity(other)[:2]
    assert identity(HEADER)[1] == b"<a@b>"


def test_other_headers_have_other_digests() -> None:
    assert identity(HEADER)[0] != identity(HEADER.replace(b"Subject: s", b"Subject: t"))[0]


@given(st.lists(st.sampled_from([b"a: b", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"x"]), max_size=8), st.data())
def test_the_digest_and_the_body_do_not_depend_on_the_pieces(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=5)))
    pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert identity(*pieces)[0] == identity(octets)[0]


@pytest.mark.parametrize("split", range(len(HEADER) + 8))
def test_the_body_begins_behind_the_blank_line_at_every_split(split: int) -> None:
    octets = HEADER + b"\r\nthe body"
    assert identity(octets[:split], octets[split:])[2] == b"the body"


@pytest.mark.hazard("D9")
@pytest.mark.parametrize(
    ("header", "date"),
    [
        (b"Received: from a\r\n by b; Tue, 5 Mar 2019 10:11:12 +0800\r\n", b" 5-Mar-2019 10:11:12 +0800"),
        (b"Subject: x\r\nDate: 31 Dec 1999 23:59:59 -0330 (NDT)\r\n", b"31-Dec-1999 23:59:59 -0330"),
        (b"Received: broken; never\r\nDate: Mon, 1 Jan 2024 00:00:00 GMT\r\n", b" 1-Jan-2024 00:00:00 +0000"),
        (b"Date: Mon, 1 Jan 1901 00:00:00 +0000\r\n", None),
        (b"Date: nonsense\r\n", None),
        (b"", None),
    ],
)
def test_the_arrival_date_is_the_keeping_hosts_word_then_the_senders(
    header: bytes, date: bytes | None
) -> None:
    assert arrival_date(header) == date


@given(st.binary(max_size=200))
def test_any_header_gives_a_date_or_none(header: bytes) -> None:
    date = arrival_date(b"Date: " + header)
    assert date is None or instant(date) is not None


@pytest.mark.hazard("D9")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b" 5-Mar-2019 10:11:12 +0800", b"05-Mar-2019 02:11:12 +0000"),
        (b"01-Jan-2020 00:30:00 +1400", b"30-Dec-2019 22:30:00 -1200"),
        (b"5-mar-2019 10:11:12 +0530", b" 5-Mar-2019 04:41:12 +0000"),
    ],
)
def test_two_dates_mean_the_same_second(one: bytes, other: bytes) -> None:
    assert instant(one) == instant(other) is not None


@pytest.mark.parametrize("date", [b"", b"32-Jan-2020 00:00:00 +0000", b"01-Foo-2020 00:00:00 +0000"])
def test_what_is_no_date_is_none(date: bytes) -> None:
    assert instant(date) is None


@pytest.mark.hazard("D25")
@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(), (Grade.GOOD, ())),
        (Evidence((MailboxEvidence(b"INBOX", 5, 5),), 5), (Grade.GOOD, ())),
        (Evidence((MailboxEvidence(b"A", 5, 4),)), (Grade.POOR, (Doubt.EXISTS_NOT_DELIVERED,))),
        (Evidence((MailboxEvidence(b"A", 5, 5, 1),)), (Grade.POOR, (Doubt.HEADERS_ONLY,))),
        (Evidence((MailboxEvidence(b"A", 5, 5, 0, 1),)), (Grade.SUSPECT, (Doubt.PLACEHOLDERS,))),
        (Evidence((MailboxEvidence(b"INBOX", 5, 5),), 7, 2), (Grade.SUSPECT, (Doubt.POP3_SHOWS_MORE,))),
    ],
)
def test_the_grade_of_what_a_source_shows(
    evidence: Evidence, expected: tuple[Grade, tuple[Doubt, ...]]
) -> None:
    found = grade(evidence)
    assert (found.grade, found.doubts) == expected
    assert found.reasons == tuple(doubt.value for doubt in expected[1])


@pytest.mark.hazard("D5")
@pytest.mark.parametrize(
    ("octets", "announced", "header", "bare"),
    [
        (812, 48211, 812, True),
        (812, 48211, 500, False),
        (812, 830, 812, False),
        (812, 0, 812, False),
        (812, None, 812, False),
        (812, 2400, 812, False),
        (30_000, 90_000, 2_000, False),
    ],
)
def test_a_wrong_size_alone_makes_no_missing_body(
    octets: int, announced: int | None, header: int, bare: bool
) -> None:
    assert seems_header_only(octets, announced, header) is bare


@pytest.mark.hazard("D5")
@pytest.mark.parametrize(
    ("octets", "announced", "header", "bare"),
    [
        (812, 1100, 812, True),
        (812, 1100, 500, False),
        (812, 870, 812, False),
        (812, 812, 812, False),
        (812, 400, 812, False),
        (812, None, 812, False),
    ],
)
def test_a_body_of_several_parts_is_not_empty_where_the_size_says_so_too(
    octets: int, announced: int | None, header: int, bare: bool
) -> None:
    assert seems_header_only(octets, announced, header, multipart=True) is bare


@pytest.mark.parametrize(
    ("octets", "parts"),
    [
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n", True),
        (b"From: a\r\ncontent-type:\r\n  MULTIPART/alternative;\r\n boundary=x\r\n\r\n", True),
        (b"From: a\nContent-Type: multipart/mixed\n", True),
        (b"Content-Type: text/plain; name=multipart/\r\n\r\n", False),
        (b"Subject: x\r\n\r\nContent-Type: multipart/mixed\r\n\r\n", False),
        (b"", False),
    ],
    ids=["one line", "folded", "bare lines", "elsewhere", "in the body", "nothing"],
)
def test_a_header_promises_parts_by_its_content_type(octets: bytes, parts: bool) -> None:
    assert promises_parts(octets) is parts
