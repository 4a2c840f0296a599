from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.model.tap import Deletions, Flow
from mailferry.taps.boundaries_pop3 import Pop3Boundaries

CONVERSATION: list[tuple[str, bytes]] = [
    ("c", b"STAT\r\n"),
    ("s", b"+OK 2 20\r\n"),
    ("c", b"list\r\nLIST 1\r\nUIDL\r\nUIDL 2\r\nCAPA\r\n"),
    ("s", b"+OK\r\n1 10\r\n2 10\r\n.\r\n+OK 1 10\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n+OK 2 b\r\n"),
    ("s", b"+OK\r\nTOP\r\n.\r\n"),
    ("c", b"RETR 1\r\nTOP 2 0\r\n"),
    ("s", b"+OK\r\na\r\n..\r\n+OK fake\r\n-ERR fake\r\n.x\r\n.\r\n-ERR no such message\r\n"),
    ("c", b"DELE 1\r\nNOOP\r\n"),
    ("s", b"+OK\r\n+OK\r\n"),
    ("c", b"RSET\r\n"),
    ("s", b"+OK\r\n"),
    ("c", b"QUIT\r\n"),
    ("s", b"+OK bye\r\n"),
]


@settings(max_examples=80)
@given(st.data())
def test_a_conversation_passes_octet_for_octet_however_it_is_divided(data: st.DataObject) -> None:
    tap = Pop3Boundaries()
    to_server = to_client = b""
    resting = []
    for side, octets in CONVERSATION:
        places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=4)))
        for start, end in zip([0, *places], [*places, len(octets)], strict=True):
            flow = tap.from_client(octets[start:end]) if side == "c" else tap.from_server(octets[start:end])
            assert flow.end is None
            to_server += flow.to_server
            to_client += flow.to_client
        resting.append(tap.resting)
    assert to_server == b"".join(octets for side, octets in CONVERSATION if side == "c")
    assert to_client == b"".join(octets for side, octets in CONVERSATION if side == "s")
    assert resting == [False, True, False, False, True, False, True, False, True, False, True, False, True]
    assert not tap.in_idle


def test_big_messages_pass_uncopied_and_cost_little() -> None:
    tap = Pop3Boundaries()
    tap.from_client(b"RETR 1\r\n")
    tap.from_server(b"+OK\r\n")
    chunk = (b"x" * 76 + b"\r\n") * 840
    assert tap.from_server(chunk).to_client is chunk
    began = time.process_time()
    for _ in range(500):
        tap.from_server(chunk)
    assert time.process_time() - began < 1
    assert not tap.resting
    tap.from_server(b".\r\n")
    assert tap.resting


@pytest.mark.parametrize(
    "steps",
    [
        [("s", b"-ERR idle for too long\r\n")],
        [("c", b"AUTH PLAIN\r\n"), ("s", b"+ \r\n")],
        [("c", b"X" * 600)],
        [("c", b"NOOP\r\n" * 10_001), ("s", b"+OK\r\n" * 10_001)],
        [("c", b"STAT\r\n"), ("s", b"what?\r\n")],
    ],
)
def test_a_stream_that_cannot_be_followed_passes_and_never_rests(steps: list[tuple[str, bytes]]) -> None:
    tap = Pop3Boundaries()
    passed = {"c": b"", "s": b""}
    for side, octets in steps:
        flow = tap.from_client(octets) if side == "c" else tap.from_server(octets)
        passed[side] += flow.to_server + flow.to_client
    assert not tap.resting
    assert passed == {side: b"".join(octets for s, octets in steps if s == side) for side in "cs"}
    assert tap.stop() == Flow()
    assert tap.from_client(b"NO") == Flow(to_server=b"NO")
    assert tap.from_server(b"+O") == Flow(to_client=b"+O")


@pytest.mark.hazard("D15")
def test_a_resting_session_is_quit() -> None:
    tap = Pop3Boundaries()
    assert tap.stop() == Flow(to_server=b"QUIT\r\n")
    assert not tap.resting
    assert tap.from_client(b"DELE 1\r\n") == Flow()
    assert tap.from_server(b"+O") == Flow()
    assert tap.from_server(b"K bye\r\n").end == "ended at a boundary"


@pytest.mark.hazard("D14")
def test_commands_in_flight_are_answered_first_and_later_ones_never_begin() -> None:
    tap = Pop3Boundaries()
    assert tap.from_client(b"RETR 1\r\nDEL") == Flow(to_server=b"RETR 1\r\n")
    assert tap.stop() == Flow()
    assert tap.from_client(b"E 1\r\n") == Flow()
    assert tap.from_server(b"+OK\r\nbody\r\n") == Flow(to_client=b"+OK\r\nbody\r\n")
    assert tap.from_server(b".\r\n") == Flow(to_server=b"QUIT\r\n", to_client=b".\r\n")
    assert tap.from_server(b"+OK\r\n").end is not None


@pytest.mark.hazard("D14")
@pytest.mark.parametrize(
    ("answer", "then"),
    [(b"+OK\r\n", Flow(to_server=b"QUIT\r\n")), (b"-ERR\r\n", Flow(end="ended at a boundary"))],
)
def test_deletions_that_the_client_did_not_confirm_are_taken_back(answer: bytes, then: Flow) -> None:
    tap = Pop3Boundaries()
    tap.from_client(b"DELE 1\r\nDELE 9\r\n")
    tap.from_server(b"+OK\r\n-ERR no\r\n")
    assert tap.stop() == Flow(to_server=b"RSET\r\n")
    assert tap.from_server(answer) == then
    if then.end is None:
        assert tap.from_server(b"+OK\r\n").end == "ended at a boundary"


def test_deletions_that_the_client_took_back_itself_are_no_matter() -> None:
    tap = Pop3Boundaries()
    tap.from_client(b"DELE 1\r\nRSET\r\n")
    tap.from_server(b"+OK\r\n+OK\r\n")
    assert tap.stop() == Flow(to_server=b"QUIT\r\n")


@settings(max_examples=120)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("cs!"),
            st.sampled_from(
                [
                    b"STAT\r\n",
                    b"RETR 1\r\n",
                    b"DELE 1\r\n",
                    b"RSET\r\n",
                    b"+OK\r\n",
                    b"-ERR\r\n",
                    b".\r\n",
                    b".",
                    b"\r\n",
                    b"\xff",
                ]
            ),
        ),
        max_size=30,
    )
)
def test_no_sequence_breaks_the_tap(steps: list[tuple[str, bytes]]) -> None:
    tap = Pop3Boundaries()
    for side, octets in steps:
        if side == "!":
            tap.stop()
        else:
            (tap.from_client if side == "c" else tap.from_server)(octets)


def test_a_line_that_was_held_goes_on_when_the_tap_becomes_unsure_in_between() -> None:
    tap = Pop3Boundaries()
    assert tap.from_client(b"ST") == Flow()
    tap.from_server(b"+OK nobody asked\r\n")
    assert tap.from_client(b"AT\r\n").to_server == b"STAT\r\n"


@pytest.mark.parametrize(
    ("commands", "replies", "gone"),
    [
        (b"DELE 1\r\nQUIT\r\n", b"+OK\r\n+OK bye\r\n", 1),
        (b"dele 1\r\nDELE 2\r\nDELE 3\r\nquit\r\n", b"+OK\r\n-ERR gone\r\n+OK\r\n+OK\r\n", 2),
        (b"DELE 1\r\n", b"+OK\r\n", 0),
        (b"DELE 1\r\nQUIT\r\n", b"+OK\r\n", 0),
        (b"DELE 1\r\nQUIT\r\n", b"+OK\r\n-ERR some are left\r\n", 0),
        (b"DELE 1\r\nRSET\r\nDELE 2\r\nQUIT\r\n", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n", 1),
        (b"DELE 1\r\nRSET\r\nQUIT\r\n", b"+OK\r\n+OK\r\n+OK\r\n", 0),
        (
            b"RETR 1\r\nDELE 1\r\nTOP 2 0\r\nDELE 2\r\nQUIT\r\n",
            b"+OK\r\nDELE 5\r\n+OK\r\n.\r\n+OK\r\n-ERR\r\n+OK\r\n+OK\r\n",
            2,
        ),
        (b"NOOP\r\nQUIT\r\n", b"+OK\r\n+OK\r\n", 0),
        (b"DELE 1\r\nQUIT\r\n", b"who knows\r\n+OK\r\n+OK\r\n", 0),  # cannot be followed
    ],
)
def test_deletions_count_once_an_acknowledged_quit_has_made_them_final(
    commands: bytes, replies: bytes, gone: int
) -> None:
    for place in range(len(commands) + 1):
        tap = Pop3Boundaries()
        tap.from_client(commands[:place])
        tap.from_client(commands[place:])
        for octet in replies[:-1]:
            tap.from_server(bytes([octet]))
        assert tap.deletions == Deletions() or b"QUIT" in commands.upper()
        tap.from_server(replies[-1:])
        assert tap.deletions == Deletions(gone)


def test_deletions_that_a_drain_takes_back_do_not_count() -> None:
    tap = Pop3Boundaries()
    tap.from_client(b"DELE 1\r\n")
    tap.from_server(b"+OK\r\n")
    assert tap.stop() == Flow(to_server=b"RSET\r\n")
    assert tap.from_server(b"+OK\r\n") == Flow(to_server=b"QUIT\r\n")
    tap.from_server(b"+OK\r\n")
    assert tap.deletions == Deletions()
