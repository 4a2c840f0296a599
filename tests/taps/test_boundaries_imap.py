from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.model.tap import Flow
from mailferry.taps.boundaries_imap import BYE, ImapBoundaries

OUR_LOGOUT = b"our1 LOGOUT\r\n"
ENDED = Flow(end="ended at a boundary")


def tap() -> ImapBoundaries:
    return ImapBoundaries(b"our1")


class Session:
    """A tap and all that came out of it."""

    def __init__(self) -> None:
        self.tap = tap()
        self.to_server = b""
        self.to_client = b""
        self.end: str | None = None

    def take(self, flow: Flow) -> None:
        self.to_server += flow.to_server
        self.to_client += flow.to_client
        self.end = self.end or flow.end

    def client(self, data: bytes) -> Session:
        self.take(self.tap.from_client(data))
        return self

    def server(self, data: bytes) -> Session:
        self.take(self.tap.from_server(data))
        return self

    def stop(self) -> Session:
        self.take(self.tap.stop())
        return self


# ---- what passes

CONVERSATION: list[tuple[str, bytes]] = [
    ("c", b"a1 SELECT INBOX\r\n"),
    ("s", b"* 3 EXISTS\r\n* OK [UIDVALIDITY 1] {5}\r\na1 OK [READ-WRITE] done\r\n"),
    ("c", b"a2 UID FETCH 1:* (FLAGS BODY.PEEK[])\r\na3 NOOP\r\n"),
    (
        "s",
        b"* 1 FETCH (UID 1 FLAGS () BODY[] {20}\r\na3 OK x\r\na2 OK xyz\r\n)\r\n* 2 FETCH (UID 2 BODY[] {0}\r\n)\r\n",
    ),
    ("s", b"a2 OK done\r\na3 OK done\r\n"),
    ("c", b'a4 APPEND "x" (\\Seen) {10}\r\n'),
    ("s", b"+ go\r\n"),
    ("c", b"0123\r\n6789 {4+}\r\nb1 N\r\n"),
    ("s", b"a4 OK [APPENDUID 1 2] done\r\n"),
    ("c", b"a5 IDLE\r\n"),
    ("s", b"+ idling\r\n* 4 EXISTS\r\n"),
    ("c", b"done\r\n"),
    ("s", b"a5 OK idled\r\n"),
    ("c", b"\r\na6 LOGOUT\r\n"),
    ("s", b"* BAD empty\r\n* BYE bye\r\na6 OK bye\r\n"),
]


@settings(max_examples=80)
@given(st.data())
def test_a_conversation_passes_octet_for_octet_however_it_is_divided(data: st.DataObject) -> None:
    session = Session()
    resting = []
    for side, octets in CONVERSATION:
        places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=4)))
        for start, end in zip([0, *places], [*places, len(octets)], strict=True):
            (session.client if side == "c" else session.server)(octets[start:end])
        resting.append(session.tap.resting)
    assert session.to_server == b"".join(octets for side, octets in CONVERSATION if side == "c")
    assert session.to_client == b"".join(octets for side, octets in CONVERSATION if side == "s")
    assert session.end is None
    assert resting == [
        False,
        True,
        False,
        False,
        True,
        False,
        False,
        False,
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]


def test_what_the_server_sends_passes_uncopied() -> None:
    data = b"* 1 FETCH (BODY[] {100000}\r\n" + b"x" * 5000
    assert tap().from_server(data).to_client is data


def test_big_literals_cost_next_to_nothing() -> None:
    session = tap()
    session.from_client(b"a FETCH 1 BODY[]\r\n")
    session.from_server(b"* 1 FETCH (BODY[] {1073741824}\r\n")
    chunk = b"x\r\n" * 21_845
    began = time.process_time()
    for _ in range(2000):
        session.from_server(chunk)
    assert time.process_time() - began < 0.5


# ---- resting


@pytest.mark.parametrize(
    ("steps", "resting", "in_idle"),
    [
        ([], True, False),
        ([("c", b"a1 NO")], True, False),  # not handed on, so not begun
        ([("c", b"a1 NOOP\r\n")], False, False),
        ([("c", b"a1 NOOP\r\n"), ("s", b"a1 O")], False, False),
        ([("c", b"a1 NOOP\r\n"), ("s", b"a1 OK\r\n")], True, False),
        ([("s", b"* 1 EXI")], False, False),
        ([("s", b"* LIST () NIL {5}\r\nab")], False, False),
        ([("c", b"a X {5}\r\n")], False, False),
        ([("c", b"a X {5+}\r\nab")], False, False),
        ([("c", b"a X {1+}\r\nb"), ("s", b"a NO\r\n")], False, False),
        ([("c", b"a X {1+}\r\nb"), ("s", b"a NO\r\n"), ("c", b"\r\n")], True, False),
        ([("c", b"a IDLE\r\n")], False, False),
        ([("c", b"a IDLE\r\n"), ("s", b"+ \r\n")], True, True),
        ([("c", b"a IDLE\r\n"), ("s", b"+ \r\n* 1 EXI")], False, True),
        ([("c", b"a NOOP\r\nb IDLE\r\n"), ("s", b"+ \r\n")], False, False),
        ([("c", b"a NOOP\r\nb IDLE\r\n"), ("s", b"+ \r\na OK\r\n")], True, True),
        ([("c", b"a IDLE\r\n"), ("s", b"+ \r\n"), ("c", b"DONE\r\n")], False, False),
        ([("c", b"a IDLE\r\nDONE\r\n"), ("s", b"+ \r\na OK\r\n")], True, False),
        (
            [("c", b"a IDLE\r\n"), ("s", b"a BAD what\r\n"), ("c", b"b NOOP\r\n"), ("s", b"b OK\r\n")],
            True,
            False,
        ),
        ([("c", b"a NOOP\r\na NOOP\r\n"), ("s", b"a OK\r\n")], False, False),
        ([("c", b"a NOOP\r\na NOOP\r\n"), ("s", b"a OK\r\na OK\r\n")], True, False),
    ],
)
def test_when_a_session_rests(steps: list[tuple[str, bytes]], resting: bool, in_idle: bool) -> None:
    session = Session()
    for side, octets in steps:
        (session.client if side == "c" else session.server)(octets)
    assert (session.tap.resting, session.tap.in_idle) == (resting, in_idle)


def test_a_refused_literal_is_not_waited_for() -> None:
    session = Session()
    session.client(b"a APPEND x {100}\r\n").server(b"a NO [TRYCREATE] none\r\n")
    assert session.tap.resting
    session.client(b"b CREATE x\r\n").server(b"b OK\r\n")
    assert session.tap.resting
    session.client(b"c APPEND x {3}\r\n").server(b"+ go\r\n").client(b"abc {9}\r\n").server(b"c NO\r\n")
    assert session.tap.resting


@pytest.mark.parametrize(
    "steps",
    [
        [("s", b"zz OK who?\r\n")],
        [("c", b"no-command\r\n"), ("s", b"* BAD\r\n")],
        [("c", b"a X {-1}\r\n"), ("s", b"a BAD\r\n")],
        [("c", b"a X y{3}\r\n"), ("s", b"a BAD\r\n")],
        [("s", b"* X {99999999999999999999}\r\n")],
        [("s", b"* X {-5}\r\n")],
        [("c", b"a IDLE\r\n"), ("s", b"+ \r\n"), ("c", b"b NOOP {3}\r\n"), ("s", b"a OK\r\n")],
        [("c", b"a X {2+}\r\nabc\r\n"), ("s", b"a OK\r\n")],
        [("c", b"a X {5}\r\nab"), ("s", b"a NO\r\n")],
        [("c", b"t NOOP\r\n" * 10_001), ("s", b"t OK\r\n" * 10_001)],
        [("c", b"t" * 200 + b" NOOP\r\n"), ("s", b"t" * 200 + b" OK\r\n")],
    ],
)
def test_a_stream_that_cannot_be_followed_passes_and_never_rests(steps: list[tuple[str, bytes]]) -> None:
    session = Session()
    for side, octets in [*steps, ("c", b"z NOOP\r\n"), ("s", b"z OK\r\n")]:
        (session.client if side == "c" else session.server)(octets)
    assert not session.tap.resting
    session.stop()
    session.client(b"y NO").client(b"OP\r\n").server(b"y OK\r\n")
    assert session.to_server.endswith(b"y NOOP\r\n")
    assert session.to_client.endswith(b"y OK\r\n")
    assert session.end is None


# ---- ending


@pytest.mark.hazard("D15")
def test_a_resting_session_ends_at_once() -> None:
    session = tap()
    assert session.stop() == Flow(OUR_LOGOUT, BYE)
    assert not session.resting
    assert session.stop() == Flow()
    assert session.from_client(b"a STORE 1 +FLAGS (\\Deleted)\r\n") == Flow()
    assert session.from_server(b"* BYE bye\r\nour1 O") == Flow()
    assert session.from_server(b"K bye\r\n") == ENDED


@pytest.mark.hazard("D15")
def test_a_session_in_idle_ends_at_once() -> None:
    session = tap()
    session.from_client(b"a IDLE\r\n")
    session.from_server(b"+ \r\n")
    assert session.stop() == Flow(b"DONE\r\n" + OUR_LOGOUT, BYE)
    assert session.from_client(b"DONE\r\n") == Flow()
    assert session.from_server(b"* 5 EXISTS\r\na OK idled\r\n* BYE bye\r\nour1 OK bye\r\n") == ENDED


@pytest.mark.hazard("D14")
def test_commands_in_flight_are_answered_first_and_later_ones_never_begin() -> None:
    session = Session()
    session.client(b"a STORE 1 +FLAGS (\\Deleted)\r\nb EXPUNGE\r\nc NO").stop()
    assert (session.to_server, session.to_client) == (b"a STORE 1 +FLAGS (\\Deleted)\r\nb EXPUNGE\r\n", b"")
    session.client(b"OP\r\nd STORE 2 +FLAGS (\\Deleted)\r\n")
    session.server(b"* 1 EXPUNGE\r\na OK\r\n")
    assert session.end is None
    session.server(b"b OK\r\n")
    assert session.to_client == b"* 1 EXPUNGE\r\na OK\r\nb OK\r\n" + BYE
    assert session.to_server.endswith(b"b EXPUNGE\r\n" + OUR_LOGOUT)
    assert session.server(b"our1 OK\r\n").end == "ended at a boundary"


@pytest.mark.hazard("D14")
@pytest.mark.parametrize("place", range(1, 14))
def test_an_append_that_has_begun_is_carried_to_its_end(place: int) -> None:
    rest = b"0123456789\r\n"
    session = Session()
    session.client(b"a APPEND x {10}\r\n").server(b"+ go\r\n").client(rest[:place]).stop()
    session.client(rest[place:] + b"b NOOP\r\n")
    assert session.to_server == b"a APPEND x {10}\r\n" + rest
    session.server(b"a OK\r\n")
    assert session.to_server.endswith(rest + OUR_LOGOUT)


def test_idle_asked_for_just_before_the_stop_is_waited_for() -> None:
    session = Session()
    session.client(b"a IDLE\r\n").stop().client(b"DONE\r\n")
    assert session.to_server == b"a IDLE\r\n"
    session.server(b"+ \r\n")
    assert session.to_server == b"a IDLE\r\nDONE\r\n" + OUR_LOGOUT


def test_our_tag_is_none_that_is_in_flight() -> None:
    session = tap()
    session.from_client(b"our1 IDLE\r\n")
    session.from_server(b"+ \r\n")
    assert session.stop().to_server == b"DONE\r\nour11 LOGOUT\r\n"
    assert session.from_server(b"our1 OK\r\n") == Flow()
    assert session.from_server(b"our11 OK\r\n") == ENDED


def test_a_last_answer_that_is_not_imap_ends_as_well() -> None:
    session = tap()
    session.stop()
    assert session.from_server(b"* X {-1}\r\n").end is not None


# ---- commands that would change the stream


@pytest.mark.hazard("T14")
@pytest.mark.parametrize(
    "command",
    [b"COMPRESS DEFLATE", b"compress deflate", b"STARTTLS", b"UNAUTHENTICATE", b"AUTHENTICATE PLAIN"],
)
def test_commands_behind_which_nothing_could_be_followed_are_refused(command: bytes) -> None:
    octets = b"a NOOP\r\nb " + command + b"\r\nc NOOP\r\n"
    for place in range(len(octets) + 1):
        session = Session().client(octets[:place]).client(octets[place:])
        assert session.to_server == b"a NOOP\r\nc NOOP\r\n"
        assert session.to_client == b"b NO [CANNOT] Not available here.\r\n"
        assert session.server(b"a OK\r\nc OK\r\n").tap.resting


def test_our_refusal_waits_for_the_end_of_the_servers_response() -> None:
    session = Session().client(b"a FETCH 1 BODY[]\r\n").server(b"* 1 FETCH (BODY[] {5}\r\nab")
    session.client(b"b COMPRESS DEFLATE\r\n").server(b"cde").server(b")\r\na OK\r\n")
    assert (
        session.to_client
        == b"* 1 FETCH (BODY[] {5}\r\nabcde)\r\na OK\r\nb NO [CANNOT] Not available here.\r\n"
    )


def test_such_a_command_with_a_literal_or_an_endless_line_is_never_resting() -> None:
    assert not Session().client(b"b COMPRESS {7+}\r\nDEFLATE\r\n").server(b"b NO\r\n").tap.resting
    assert (
        not Session()
        .client(b"b COMPRESS DEFLATE" + b" " * 600)
        .client(b"\r\n")
        .server(b"b NO\r\n")
        .tap.resting
    )


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("cs!"),
            st.sampled_from(
                [b"a NOOP\r\n", b"b IDLE\r\n", b"DONE\r\n", b"c X {3}\r\n", b"abc\r\n", b"+ \r\n", b"a OK\r\n", b"b OK\r\n", b"c OK\r\n", b"* 1 EXISTS\r\n", b"* L {2}\r\n", b"d COMPRESS DEFLATE\r\n", b"a", b" ", b"\r", b"\n", b"\xff"]
            ),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_no_sequence_breaks_the_tap_and_nothing_follows_its_logout(steps: list[tuple[str, bytes]]) -> None:
    session = Session()
    for side, octets in steps:
        if side == "!":
            session.stop()
        else:
            (session.client if side == "c" else session.server)(octets)
        assert session.to_server.count(OUR_LOGOUT) <= 1
        if OUR_LOGOUT in session.to_server:
            assert session.to_server.endswith(OUR_LOGOUT)
            assert session.to_client.endswith(BYE)


def test_a_line_that_was_held_goes_on_when_the_tap_becomes_unsure_in_between() -> None:
    tap = ImapBoundaries(b"x")
    assert tap.from_client(b"a") == Flow()
    assert tap.from_server(b"t0 OK nobody asked\r\n").to_client == b"t0 OK nobody asked\r\n"
    assert tap.from_client(b"1 NOOP\r\n").to_server == b"a1 NOOP\r\n"
    assert not tap.resting
