from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.mail import Mailbox
from mailferry.wire.imap_fetch import FetchFacts, body_item, fetch_facts, fetch_items, fetch_start
from mailferry.wire.imap_responses import (
    Code,
    Continuation,
    Tagged,
    Untagged,
    capabilities,
    expand_uid_set,
    list_entry,
    parse_response,
    sequence_numbers,
    status_entry,
)
from mailferry.wire.imap_values import (
    MAX_DEPTH,
    Atom,
    BadResponse,
    Part,
    Streamed,
    as_bytes,
    as_int,
    as_list,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"m1 OK done", Tagged(b"m1", b"OK", None, b"done")),
        (b"m1 ok", Tagged(b"m1", b"OK", None, b"")),
        (b"m1 NO [AUTHENTICATIONFAILED] no", Tagged(b"m1", b"NO", Code("AUTHENTICATIONFAILED"), b"no")),
        (b"m1 BAD [unclosed", Tagged(b"m1", b"BAD", None, b"[unclosed")),
        (
            b"m1 OK [APPENDUID 1 5:6] ok",
            Tagged(b"m1", b"OK", Code("APPENDUID", b"1 5:6"), b"ok"),
        ),
        (
            b'm1 NO [BADCHARSET ("x]y")] z',
            Tagged(b"m1", b"NO", Code("BADCHARSET", b'("x]y")'), b"z"),
        ),
        (b"m1 BAD \xc8\xb1\xc9\xd9login", Tagged(b"m1", b"BAD", None, b"\xc8\xb1\xc9\xd9login")),
        (b"+ ready", Continuation(b"ready")),
        (b"+", Continuation(b"")),
        (b"* BYE bye", Untagged(b"BYE", text=b"bye")),
        (b"* OK [UIDNEXT 7] x", Untagged(b"OK", code=Code("UIDNEXT", b"7"), text=b"x")),
        (b"* PREAUTH hi", Untagged(b"PREAUTH", text=b"hi")),
        (b"* 12 EXISTS", Untagged(b"EXISTS", 12, [])),
        (b"* 12 expunge", Untagged(b"EXPUNGE", 12, [])),
        (b"* SEARCH ", Untagged(b"SEARCH", None, [])),
        (b"* ID NIL", Untagged(b"ID", None, [None])),
        (b'* NAMESPACE (("" "/")) NIL NIL', Untagged(b"NAMESPACE", None, [[[b"", b"/"]], None, None])),
    ],
)
def test_responses_are_parsed(line: bytes, expected: object) -> None:
    assert parse_response(line) == expected


@pytest.mark.parametrize(
    "line", [b"", b"m1", b"m1 MAYBE x", b"* ", b"OK", b'* X "open', b"* X (", b"* X )", b"HTTP/1.1 400 Bad"]
)
def test_what_is_no_response_is_refused(line: bytes) -> None:
    with pytest.raises(BadResponse):
        parse_response(line)


def test_values_are_atoms_strings_nil_and_lists() -> None:
    [untagged] = [
        parse_response(
            [b'* X a "b \\" c" NIL "NIL" (1 (2) ()) {3}', b"l\r\n", b" BODY[HEADER.FIELDS (A B)]<0> z"]
        )
    ]
    assert isinstance(untagged, Untagged)
    assert list(untagged.values) == [
        b"a", b'b " c', None, b"NIL", [b"1", [b"2"], []], b"l\r\n", b"BODY[HEADER.FIELDS (A B)]<0>", b"z",
    ]  # fmt: skip
    assert isinstance(untagged.values[0], Atom)
    assert not isinstance(untagged.values[1], Atom)


@pytest.mark.parametrize(
    ("accessor", "value"),
    [
        (as_int, b"x"),
        (as_int, b""),
        (as_int, None),
        (as_int, b"1" * 20),
        (as_bytes, None),
        (as_bytes, []),
        (as_list, b"x"),
    ],
)
def test_accessors_refuse_other_kinds(accessor: object, value: object) -> None:
    with pytest.raises(BadResponse):
        accessor(value)  # type: ignore[operator]


@pytest.mark.hazard("T11")
def test_lists_nested_deeper_than_any_server_nests_them_are_refused() -> None:
    def nested(depth: int) -> bytes:
        return b"* X " + b"(" * depth + b")" * depth

    parse_response(nested(MAX_DEPTH))
    with pytest.raises(BadResponse, match="too deep"):
        parse_response(nested(MAX_DEPTH + 1))


@pytest.mark.hazard("T11")
@pytest.mark.parametrize(
    "line", [b"* X " + b"(" * 60_000, b"* X " + b"[ " * 60_000 + b"]", b'* X "' + b"\\" * 60_001]
)
def test_deep_nesting_and_other_traps_cost_little(line: bytes) -> None:
    began = time.process_time()
    try:
        parse_response(line)
    except BadResponse:
        pass
    assert time.process_time() - began < 0.5


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from([b"(", b")", b'"', b"\\", b"{3}", b"* ", b"FETCH", b"LIST"]),
        ),
        max_size=12,
    )
)
def test_any_octets_are_a_response_or_refused(words: list[bytes]) -> None:
    for start in (b"", b"* ", b"* LIST ", b"* 1 FETCH "):
        try:
            parse_response(start + b" ".join(words))
        except BadResponse:
            pass


@pytest.mark.hazard("T19")
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b'* LIST (\\HasNoChildren) "/" INBOX'], Mailbox(b"INBOX", b"/", frozenset({"\\hasnochildren"}))),
        ([b'* LIST () "." "INBOX.a b"'], Mailbox(b"INBOX.a b", b".")),
        ([b'* LSUB () NIL "a\\"b\\\\c"'], Mailbox(b'a"b\\c', None)),
        ([b"* XLIST (\\NoSelect \\Inbox) NIL x"], Mailbox(b"x", None, frozenset({"\\noselect", "\\inbox"}))),
        ([b'* LIST () "/" {4}', b"a\r\nb", b""], Mailbox(b"a\r\nb", b"/")),
        ([b'* LIST () "/" "a" ("CHILDINFO" ("SUBSCRIBED"))'], Mailbox(b"a", b"/")),
        ([b'* LIST () "\\\\" a'], Mailbox(b"a", b"\\")),
        ([b'* LIST () "/" NIL'], Mailbox(b"NIL", b"/")),
        ([b'* LIST () "/" ""'], Mailbox(b"", b"/")),
        ([b'* LIST (\\Noselect) "" ""'], Mailbox(b"", None, frozenset({"\\noselect"}))),
        # servers that quote badly: Exchange's TAB in a bare name, a space in one, an open quote
        ([b'* LIST () "/" a\tb'], Mailbox(b"a\tb", b"/")),
        ([b'* LIST () "/" a b c'], Mailbox(b"a b c", b"/")),
        ([b'* LIST () "/" "say "hi" now"'], Mailbox(b'say "hi" now', b"/")),
        ([b'* LIST () "/" a(b'], Mailbox(b"a(b", b"/")),
        ([b'* LIST () "/" \xb2\xdd\xb8\xe5'], Mailbox(b"\xb2\xdd\xb8\xe5", b"/")),
        ([b'* LIST () "/" "&UXZO1mWHTvZZOQ-/X"'], Mailbox(b"&UXZO1mWHTvZZOQ-/X", b"/")),
    ],
)
def test_mailboxes_keep_their_raw_names(parts: list[Part], expected: Mailbox) -> None:
    response = parse_response(parts)
    assert isinstance(response, Untagged)
    assert list_entry(response) == expected


def test_status_gives_what_the_server_told() -> None:
    response = parse_response(b'* STATUS "a b" (MESSAGES 3 uidvalidity 9 HIGHESTMODSEQ (5))')
    assert isinstance(response, Untagged)
    assert status_entry(response) == (b"a b", {b"MESSAGES": 3, b"UIDVALIDITY": 9, b"HIGHESTMODSEQ": 5})


def test_codes_give_their_arguments() -> None:
    assert Code("UIDNEXT", b" 7").number() == 7
    assert Code("CAPABILITY", b"A B").words() == (b"A", b"B")
    assert Code("PERMANENTFLAGS", b"(\\Seen \\*)").flags() == {b"\\Seen", b"\\*"}
    assert Code("APPENDUID", b"12 5:7,9").append_uid() == (12, (5, 6, 7, 9))
    assert Code("COPYUID", b"12 1:2 8:9").copy_uid() == (12, (1, 2), (8, 9))
    for code in (Code("APPENDUID", b"1"), Code("UIDNEXT", b"1"), Code("APPENDUID", b"1 2:")):
        with pytest.raises(BadResponse):
            code.append_uid() if code.arguments != b"1 2:" else expand_uid_set(b"*")
    with pytest.raises(BadResponse):
        Code("COPYUID", b"1 2").copy_uid()


def test_sets_are_bounded() -> None:
    assert expand_uid_set(b"9:7,3") == (7, 8, 9, 3)
    with pytest.raises(BadResponse):
        expand_uid_set(b"1:4294967295")


def test_capabilities_and_search_results() -> None:
    listed = parse_response(b"* CAPABILITY IMAP4rev1 Auth=Plain")
    found = parse_response(b"* SEARCH 1 2 10 (MODSEQ 5)")
    assert isinstance(listed, Untagged)
    assert isinstance(found, Untagged)
    assert capabilities(listed) == (b"IMAP4rev1", b"Auth=Plain")
    assert sequence_numbers(found) == (1, 2, 10)


# ---- FETCH

DATE = b"17-Jul-2020 02:44:25 +0800"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            b'* 4 FETCH (UID 9 FLAGS (\\Seen \\Recent $F) INTERNALDATE "%s" RFC822.SIZE 10)' % DATE,
            FetchFacts(4, 9, frozenset({b"\\Seen", b"$F"}), DATE, 10),
        ),
        (
            b'* 4 fetch (RFC822.SIZE 10 FLAGS () uid 9 INTERNALDATE " 7-Jul-2020 02:44:25 +0800" MODSEQ (77))',
            FetchFacts(4, 9, frozenset(), b" 7-Jul-2020 02:44:25 +0800", 10, 77),
        ),
        (b"* 0 FETCH (UID 9)", FetchFacts(0, 9)),
        (b"* 4 FETCH (FLAGS (a))", FetchFacts(4, None, frozenset({b"a"}))),
        (b"* 4 FETCH (UID 9 RFC822.SIZE NIL INTERNALDATE NIL)", FetchFacts(4, 9)),
        (b"* 4 FETCH (UID 9 RFC822.SIZE -1)", FetchFacts(4, 9)),
        (b'* 4 FETCH (X-GM-LABELS (a "b") UID 9)', FetchFacts(4, 9)),
        (b"* 4 EXISTS", None),
        (b"m1 OK FETCH done", None),
        ([b"* 4 FETCH (UID 9 BODY[] {5}", Streamed(5), b" FLAGS (\\Seen))"], FetchFacts(4, 9, frozenset({b"\\Seen"}))),
    ],
)  # fmt: skip
def test_facts_come_in_any_order(parts: bytes | list[Part], expected: FetchFacts | None) -> None:
    assert fetch_facts(parts) == expected


@pytest.mark.parametrize(
    "line",
    [b"* 4 FETCH (UID x)", b"* 4 FETCH (UID)", b"* 4 FETCH UID 9", b"* 4 FETCH ()(", b"* 4 FETCH (UID 9"],
)
def test_broken_fetch_responses_are_refused(line: bytes) -> None:
    with pytest.raises(BadResponse):
        fetch_facts(line)


@given(
    st.permutations(
        [b"UID 9", b"FLAGS (\\Seen)", b"RFC822.SIZE 10", b"MODSEQ (5)", b'INTERNALDATE "%s"' % DATE]
    ),
    st.integers(1, 5),
)
def test_the_quick_way_reads_what_the_general_one_reads(items: list[bytes], count: int) -> None:
    line = b"* 4 FETCH (" + b" ".join(items[:count]) + b")"
    general = [b"* 4 FETCH (" + b" ".join(items[:count]) + b" X {1}", b"y", b")"]
    assert fetch_facts(line) == fetch_facts(general)


def test_a_listing_is_read_quickly() -> None:
    lines = [b"* %d FETCH (UID %d FLAGS (\\Seen))" % (n, n + 1000) for n in range(1, 20_001)]
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        for line in lines:
            fetch_facts(line)
        best = max(best, len(lines) / (time.process_time() - began))
    assert best > 40_000  # lines a second; several times that on a quiet machine


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (b"* 1 FETCH (UID 5 BODY[] {10}", b"BODY[]"),
        (b"* 1 FETCH (body[header] {10}", b"BODY[HEADER]"),
        (b"* 1 FETCH (BODY[]<0> {10}", b"BODY[]<0>"),
        (b"* 1 FETCH (BINARY[1] ~{10}", b"BINARY[1]"),
        (b"* 1 FETCH (RFC822 {10+}", b"RFC822"),
        (b"* 1 FETCH (X-GM-LABELS ({10}", None),
    ],
)
def test_the_item_of_a_literal_is_named(text: bytes, item: bytes | None) -> None:
    assert body_item(text) == item


def test_a_fetch_response_is_known_before_its_body_comes() -> None:
    start = fetch_start(
        [b"* 3 FETCH (UID 7 INTERNALDATE {%d}" % len(DATE), DATE, b" FLAGS (a b) BODY[] {1000}"]
    )
    assert start is not None
    assert (start.number, start.item) == (3, b"BODY[]")
    assert start.items == {b"UID": b"7", b"INTERNALDATE": DATE, b"FLAGS": [b"a", b"b"]}
    assert fetch_start([b"* LIST () NIL {3}"]) is None


def test_streamed_literals_are_seen() -> None:
    response = parse_response([b"* 3 FETCH (BODY[] {9}", Streamed(9), b")"])
    assert isinstance(response, Untagged)
    assert fetch_items(response) == {b"BODY[]": Streamed(9)}
