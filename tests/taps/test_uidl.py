from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailferry.model.tap import Flow
from mailferry.taps.uidl import FAILED, UidlTap
from mailferry.taps.uidl_numbering import Numbering, UidlRow, Unsure


class Maildrop:
    """A small POP3 server behind the tap: message n has `sizes[n-1]` octets and unique id `uidls[n-1]`."""

    def __init__(self, uidls: Sequence[bytes], **answers: bytes) -> None:
        self.uidls = list(uidls)
        self.answers = {verb.encode(): answer for verb, answer in answers.items()}
        self.seen: list[bytes] = []
        self.deleted: set[int] = set()
        self.committed: set[bytes] | None = None
        self.buffer = b""

    def take(self, octets: bytes) -> bytes:
        self.buffer += octets
        out = b""
        while b"\r\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            self.seen.append(line)
            out += self.answers.get(line.split()[0]) or self.answer(*line.split())
        return out

    def answer(self, verb: bytes, *arguments: bytes) -> bytes:
        numbers = range(1, len(self.uidls) + 1)
        if verb == b"UIDL":
            return b"+OK\r\n" + b"".join(b"%d %s\r\n" % (n, self.uidls[n - 1]) for n in numbers) + b".\r\n"
        if verb == b"LIST":
            return b"+OK\r\n" + b"".join(b"%d %d\r\n" % (n, 100 * n) for n in numbers) + b".\r\n"
        if verb in {b"RETR", b"TOP"}:
            return b"+OK\r\nbody of %s\r\n..dots\r\n.\r\n" % self.uidls[int(arguments[0]) - 1]
        if verb == b"DELE":
            self.deleted.add(int(arguments[0]))
            return b"+OK message %s deleted\r\n" % arguments[0]
        if verb == b"RSET":
            self.deleted = set()
        if verb == b"QUIT":
            self.committed = {self.uidls[n - 1] for n in self.deleted}
        return b"+OK %s done\r\n" % verb


class Session:
    """A client, the tap and the maildrop; what each says is handed on until nobody says more."""

    def __init__(self, rows: Sequence[UidlRow], maildrop: Maildrop, piece: int = 1 << 20) -> None:
        self.tap = UidlTap(rows)
        self.maildrop = maildrop
        self.piece = piece
        self.end: str | None = None

    def ask(self, octets: bytes) -> bytes:
        out = b""
        for at in range(0, len(octets), self.piece):
            out += self.settle(self.tap.from_client(octets[at : at + self.piece]))
        return out

    def settle(self, flow: Flow) -> bytes:
        out = b""
        waiting = b""
        while True:
            out += flow.to_client
            self.end = self.end or flow.end
            waiting += self.maildrop.take(flow.to_server)
            if not waiting:
                return out
            piece, waiting = waiting[: self.piece], waiting[self.piece :]
            flow = self.tap.from_server(piece)


# The source's POP3 showed s3, s1, s2 in this order; t9 was copied and never shown; two are new.
ROWS = [
    UidlRow(b"t1", b"s1", 2),
    UidlRow(b"t2", b"s2", 3),
    UidlRow(b"t3", b"s3", 1),
    UidlRow(b"t9", None, 0),
    UidlRow(b"gone", b"s4", 4),
]
TARGET = [b"t1", b"new1", b"t9", b"t2", b"t3", b"new2"]
SHOWN = [b"s3", b"s1", b"s2", b"new1", b"new2"]
NUMBERS = [5, 1, 4, 2, 6]


@pytest.fixture(params=[1, 7, 1 << 20])
def session(request: pytest.FixtureRequest) -> Session:
    return Session(ROWS, Maildrop(TARGET), request.param)


@pytest.mark.hazard("D13")
def test_old_messages_keep_unique_ids_and_order_and_new_ones_follow(session: Session) -> None:
    assert session.ask(b"UIDL\r\n") == b"+OK 5 messages\r\n" + b"".join(
        b"%d %s\r\n" % pair for pair in enumerate(SHOWN, 1)
    ) + b".\r\n"  # fmt: skip
    assert session.maildrop.seen == [b"UIDL", b"LIST"]
    assert session.ask(b"uidl 3\r\n") == b"+OK 3 s2\r\n"
    assert session.ask(b"LIST\r\n") == b"+OK 5 messages\r\n1 500\r\n2 100\r\n3 400\r\n4 200\r\n5 600\r\n.\r\n"
    assert session.ask(b"LIST 5\r\nSTAT\r\n") == b"+OK 5 600\r\n+OK 5 1800\r\n"
    assert session.maildrop.seen == [b"UIDL", b"LIST"]


@pytest.mark.hazard("D13")
@pytest.mark.parametrize("number", range(1, 6))
def test_each_number_means_one_message(session: Session, number: int) -> None:
    target = NUMBERS[number - 1]
    body = b"+OK\r\nbody of %s\r\n..dots\r\n.\r\n" % TARGET[target - 1]
    assert session.ask(b"RETR %d\r\nTOP %d 10\r\n" % (number, number)) == body * 2
    assert session.ask(b"DELE %d\r\n" % number) == b"+OK Message %d deleted.\r\n" % number
    assert session.maildrop.seen[2:] == [b"RETR %d" % target, b"TOP %d 10" % target, b"DELE %d" % target]


def test_deleted_messages_are_gone_until_rset(session: Session) -> None:
    assert session.ask(b"DELE 2\r\nDELE 2\r\nRETR 2\r\nUIDL 2\r\nSTAT\r\nLAST\r\n") == (
        b"+OK Message 2 deleted.\r\n" + b"-ERR No such message.\r\n" * 3 + b"+OK 4 1700\r\n+OK 2\r\n"
    )
    assert b"s1" not in session.ask(b"UIDL\r\n")
    assert session.ask(b"RSET\r\nUIDL 2\r\nLAST\r\n") == b"+OK\r\n+OK 2 s1\r\n+OK 0\r\n"


def test_a_session_is_ended_by_its_client(session: Session) -> None:
    assert session.ask(b"DELE 1\r\nNOOP\r\nCAPA\r\nQUIT\r\nSTAT\r\n") == (
        b"+OK Message 1 deleted.\r\n+OK NOOP done\r\n"
        b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n+OK QUIT done\r\n"
    )
    assert session.end == "the client quit"
    assert session.maildrop.committed == {b"t3"}
    assert session.ask(b"STAT\r\n") == b""


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"RETR 6", b"-ERR No such message.\r\n"),
        (b"RETR 0", b"-ERR No such message.\r\n"),
        (b"DELE 4294967297", b"-ERR No such message.\r\n"),
        (b"DELE -1", b"-ERR Not a message number.\r\n"),
        (b"DELE", b"-ERR Not a message number.\r\n"),
        (b"DELE 1 2", b"-ERR Not a message number.\r\n"),
        (b"TOP 1", b"-ERR Not a message number.\r\n"),
        (b"TOP 1 x", b"-ERR Not a message number.\r\n"),
        (b"UIDL x", b"-ERR Not a message number.\r\n"),
        (b"LIST 99999999999999999999", b"-ERR Not a message number.\r\n"),
        (b"STAT 1", b"-ERR No arguments expected.\r\n"),
    ],
)
def test_wrong_numbers_reach_no_server(session: Session, command: bytes, answer: bytes) -> None:
    assert session.ask(command + b"\r\n") == answer
    assert session.maildrop.seen == [b"UIDL", b"LIST"]
    assert session.end is None


def test_a_refusal_of_the_server_passes() -> None:
    session = Session(ROWS, Maildrop(TARGET, RETR=b"-ERR [SYS/TEMP] later\r\n", DELE=b"-ERR no\r\n"))
    assert (
        session.ask(b"RETR 1\r\nDELE 1\r\nUIDL 1\r\n") == b"-ERR [SYS/TEMP] later\r\n-ERR no\r\n+OK 1 s3\r\n"
    )


# ---- failing closed


@pytest.mark.hazard("D13")
@pytest.mark.parametrize(
    "command", [b"XTND XMIT", b"AUTH PLAIN", b"USER x", b"UTF8", b"STLS", b"", b"\xff\xfe", b"X" * 600]
)
def test_a_command_that_is_not_known_ends_the_session_and_passes_nowhere(command: bytes) -> None:
    session = Session(ROWS, Maildrop(TARGET))
    assert session.ask(b"STAT\r\nDELE 1\r\n" + command + b"\r\nRETR 1\r\n").endswith(b"deleted.\r\n" + FAILED)
    assert session.end is not None
    assert session.maildrop.seen == [b"UIDL", b"LIST", b"DELE 5"]
    assert session.maildrop.committed is None


@pytest.mark.hazard("D13")
@pytest.mark.parametrize(
    "answers",
    [
        {"UIDL": b"-ERR not supported\r\n"},
        {"UIDL": b"+OK\r\n1 t1\r\n2 t1\r\n.\r\n"},
        {"UIDL": b"+OK\r\n1 t1\r\n1 t2\r\n.\r\n"},
        {"UIDL": b"+OK\r\nx t1\r\n.\r\n"},
        {"UIDL": b"what\r\n"},
        {"UIDL": b"+OK\r\n" + b"x" * 3000},
        {"LIST": b"-ERR no\r\n"},
        {"LIST": b"+OK\r\n1 100\r\n.\r\n"},
        {"LIST": b"+OK\r\n1 1\r\n1 1\r\n3 1\r\n4 1\r\n5 1\r\n6 1\r\n.\r\n"},
        {"LIST": b"+OK\r\n1 1\r\n2 1\r\n3 1\r\n4 1\r\n5 1\r\n7 1\r\n.\r\n"},
        {"LIST": b"+OK\r\n1 x\r\n.\r\n"},
        {"NOOP": b"+OK\r\n+OK again\r\n"},
        {"RETR": b"+OK\r\nbody\r\n.\r\n+OK again\r\n"},
        {"RSET": b"-ERR no\r\n"},
    ],
)
def test_a_server_that_cannot_be_followed_ends_the_session(answers: dict[str, bytes]) -> None:
    session = Session(ROWS, Maildrop(TARGET, **answers))
    said = session.ask(b"NOOP\r\nRETR 1\r\nRSET\r\nQUIT\r\n")
    assert said.endswith(FAILED)
    assert session.end is not None
    assert b"QUIT" not in session.maildrop.seen


def test_a_client_that_sends_too_far_ahead_is_ended() -> None:
    tap = UidlTap(ROWS)
    assert tap.from_client(b"STAT\r\n").to_server == b"UIDL\r\n"
    flow = Flow()
    for _ in range(20):
        flow = tap.from_client(b"RETR 1\r\n" * 500)
        if flow.end:
            break
    assert flow.to_client == FAILED
    assert tap.from_client(b"STAT\r\n") == Flow()
    assert tap.from_server(b"+OK\r\n") == Flow()


# ---- ending from our side


@pytest.mark.hazard("D15")
def test_a_resting_session_is_quit() -> None:
    tap = UidlTap(ROWS)
    assert (tap.resting, tap.in_idle) == (True, False)
    assert tap.stop() == Flow(to_server=b"QUIT\r\n")
    assert not tap.resting
    assert tap.stop() == Flow()
    assert tap.from_client(b"DELE 1\r\n") == Flow()
    assert tap.from_server(b"+OK\r\n") == Flow(end="ended at a boundary")


def test_a_command_under_way_is_answered_first_and_later_ones_never_begin() -> None:
    session = Session(ROWS, Maildrop(TARGET))
    session.ask(b"STAT\r\n")
    assert session.tap.from_client(b"RETR 1\r\nDELE 1\r\n").to_server == b"RETR 5\r\n"
    assert not session.tap.resting
    assert session.tap.stop() == Flow()
    assert session.tap.from_server(b"+OK\r\nbody\r\n") == Flow(to_client=b"+OK\r\nbody\r\n")
    assert session.tap.from_server(b".\r\n") == Flow(to_server=b"QUIT\r\n", to_client=b".\r\n")
    assert session.tap.from_server(b"+OK\r\n").end == "ended at a boundary"


def test_the_first_listing_is_ended_before_the_session() -> None:
    session = Session(ROWS, Maildrop(TARGET))
    first = session.tap.from_client(b"STAT\r\n")
    session.tap.stop()
    assert session.settle(first) == b""
    assert (session.end, session.maildrop.seen) == ("ended at a boundary", [b"UIDL", b"LIST", b"QUIT"])


@pytest.mark.parametrize("refuses", [False, True])
def test_deletions_that_the_client_did_not_confirm_are_taken_back(refuses: bool) -> None:
    session = Session(ROWS, Maildrop(TARGET, **({"RSET": b"-ERR no\r\n"} if refuses else {})))
    session.ask(b"DELE 1\r\n")
    assert session.settle(session.tap.stop()) == b""
    assert session.end is not None
    assert session.maildrop.committed == (None if refuses else set())


# ---- the numbering itself


@pytest.mark.hazard("D13")
def test_a_new_message_never_gets_an_old_ones_unique_id() -> None:
    numbering = Numbering.build(
        [UidlRow(b"t1", b"1", 1)], [(1, b"t1"), (2, b"1"), (3, b"1~")], {1: 1, 2: 1, 3: 1}
    )
    assert [message.uidl for _, message in numbering.present()] == [b"1", b"1~", b"1~~"]


@pytest.mark.parametrize(
    ("rows", "uidls"),
    [
        ([UidlRow(b"a", b"s", 1), UidlRow(b"b", b"s", 2)], [(1, b"a"), (2, b"b")]),
        ([UidlRow(b"a", b"x" * 70, 1)], [(1, b"a"), (2, b"x" * 70)]),
    ],
)
def test_what_cannot_be_one_to_one_is_not_shown(rows: list[UidlRow], uidls: list[tuple[int, bytes]]) -> None:
    with pytest.raises(Unsure):
        Numbering.build(rows, uidls, dict.fromkeys(range(1, len(uidls) + 1), 1))


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 30), unique=True, max_size=12),
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), unique_by=lambda pair: pair[0], max_size=12),
    st.integers(1, 40),
)
def test_the_list_is_what_the_source_showed_then_what_is_new(
    target: list[int], mapped: list[tuple[int, bool]], piece: int
) -> None:
    rows = [
        UidlRow(b"t%d" % n, b"s%d" % n if shown else None, place) for place, (n, shown) in enumerate(mapped)
    ]
    session = Session(rows, Maildrop([b"t%d" % n for n in target]), piece)
    old = [b"s%d" % n for n, shown in mapped if shown and n in target]
    new = [b"t%d" % n for n in target if n not in dict(mapped)]
    listed = session.ask(b"UIDL\r\n").split(b"\r\n")[1:-2]
    assert listed == [b"%d %s" % pair for pair in enumerate(old + new, 1)]
    for number, uidl in enumerate(old + new, 1):
        assert b"body of t%s\r\n" % uidl[1:] in session.ask(b"RETR %d\r\n" % number)


@settings(max_examples=120)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("cs!"),
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from(
                    [
                        b"UIDL\r\n",
                        b"RETR 1\r\n",
                        b"DELE 1\r\n",
                        b"RSET\r\n",
                        b"+OK\r\n",
                        b"-ERR\r\n",
                        b"1 t1\r\n",
                        b"1 10\r\n",
                        b".\r\n",
                    ]
                ),
            ),
        ),
        max_size=25,
    )
)
def test_no_sequence_breaks_the_tap(steps: list[tuple[str, bytes]]) -> None:
    tap = UidlTap(ROWS)
    ended = False
    for side, octets in steps:
        flow = tap.stop() if side == "!" else (tap.from_client if side == "c" else tap.from_server)(octets)
        assert not ended or flow == Flow()
        ended = ended or flow.end is not None
