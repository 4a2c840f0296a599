"""What a tap need not see changes nothing: the same octets, the same tap behind them, however they came."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import task

from mailferry.model.tap import Flow, Tap
from mailferry.net.carrier import ClosedReason, Ending
from mailferry.net.relay import Relay, RelayEnd
from mailferry.taps.boundaries_imap import ImapBoundaries
from mailferry.wire.imap_outline import ImapOutline

BODY = b"\r\nb OK {3}\r\nDONE\r\n* 1 EXPUNGE\r\na OK\r\n)"
"""A message that looks like everything that stands outside of messages."""


@pytest.fixture(autouse=True)
def carriers() -> None:
    """The carriers are this file's own: the room's choice is not wanted here."""


class Carrier:
    """Keeps what is written, and lets a test be the peer."""

    secure = None

    def __init__(self) -> None:
        self.written = b""
        self.user: Any = None
        self.gone = False

    def write(self, data: bytes | memoryview) -> None:
        self.written += bytes(data)

    def attach(self, user: Any) -> None:
        self.user = user

    def close(self) -> None:
        self.gone = True

    def forget_ends(self) -> None:
        pass

    pause = resume = finish = forget_ends
    abort = close


class Session(Relay):
    def server_is_closed(self) -> None:
        pass

    def over(self, end: RelayEnd) -> None:
        pass


class Joined:
    """A relay between two such carriers."""

    def __init__(self, tap: Tap) -> None:
        self.client, self.server = Carrier(), Carrier()
        sides: Any = (self.client, self.server)
        self.relay = Session(*sides, tap, reactor=task.Clock())
        self.relay.start()

    def arrive(self, side: str, data: bytes, way: str) -> None:
        user, other = (self.client.user, self.server) if side == "c" else (self.server.user, self.client)
        while data:
            poured = min(user.unseen, len(data)) if way == "poured" else 0
            if poured:
                assert user.outlet is other
                user.poured(poured)
                other.write(data[:poured])
            elif way == "lent":
                room = bytearray(data)
                with memoryview(room) as view:
                    user.lent(view)
                room[:] = b"\0" * len(room)  # the next read
                return
            else:
                user.received(data)
                return
            data = data[poured:]


def state(thing: Any) -> Any:
    """Return everything that an object knows, in a form that can be compared."""
    if isinstance(thing, ImapOutline):
        return {name: getattr(thing, name) for name in ImapOutline.__slots__}
    if type(thing).__module__.startswith("mailferry.taps") and hasattr(thing, "__dict__"):
        return {name: state(value) for name, value in vars(thing).items()}
    return thing


def tap() -> ImapBoundaries:
    return ImapBoundaries(b"our1")


CLIENT = [
    b"a FETCH 1 BODY[]\r\n",
    b"b APPEND x {40+}\r\n" + BODY[:40],
    b"b APPEND x {%d}\r\n" % len(BODY),
    BODY,
    b"\r\n",
    b" {3+}\r\na b\r\n",
    b"c IDLE\r\n",
    b"DONE\r\n",
    b"d COMPRESS DEFLATE\r\n",
    b"e X {7",
    b"nonsense\r\n",
]
SERVER = [
    b"* 1 FETCH (BODY[] {%d}\r\n" % len(BODY) + BODY + b")\r\n",
    b"* 1 FETCH (BODY[] {%d}\r\n" % (2 * len(BODY)) + BODY,
    BODY,
    b"* L {0}\r\n)\r\n",
    b")\r\n",
    b"+ \r\n",
    b"* 1 EXPUNGE\r\n",
    b"a OK\r\n",
    b"b NO no\r\n",
    b"c OK\r\n",
    b"our1 OK\r\n",
    b"* X {-4}\r\n",
]


@pytest.mark.hazard("T16")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_passes_unseen_leaves_the_same_octets_and_the_same_tap(data: st.DataObject) -> None:
    shown, joined = tap(), Joined(tap())
    to_server = to_client = b""
    for _ in range(data.draw(st.integers(1, 12))):
        side = data.draw(st.sampled_from("ccsss!"))
        if side == "!":
            flow = shown.stop()
            joined.relay.stop()
            to_server, to_client = to_server + flow.to_server, to_client + flow.to_client
        octets = b"" if side == "!" else data.draw(st.sampled_from(CLIENT if side == "c" else SERVER))
        places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=3)))
        for start, end in zip([0, *places], [*places, len(octets)], strict=True):
            if start == end or joined.relay._ending is not None:
                continue
            piece = octets[start:end]
            joined.arrive(side, piece, data.draw(st.sampled_from(["received", "lent", "poured"])))
            flow = shown.from_client(piece) if side == "c" else shown.from_server(piece)
            to_server, to_client = to_server + flow.to_server, to_client + flow.to_client
            assert state(joined.relay._tap) == state(shown)
            assert (joined.server.written, joined.client.written) == (to_server, to_client)
    carriers = (joined.client, joined.server)
    assert all(carrier.gone == (joined.relay._ending is not None) for carrier in carriers)


class Shown(ImapBoundaries):
    """Writes down how much it was shown."""

    def __init__(self) -> None:
        super().__init__(b"our1")
        self.from_both: list[int] = []

    def from_client(self, data: bytes) -> Flow:
        self.from_both.append(len(data))
        return super().from_client(data)

    def from_server(self, data: bytes) -> Flow:
        self.from_both.append(len(data))
        return super().from_server(data)


@pytest.mark.parametrize("way", ["received", "lent", "poured"])
def test_of_a_message_the_tap_sees_its_begin_and_its_end(way: str) -> None:
    spy = Shown()
    joined = Joined(spy)
    joined.arrive("c", b"a FETCH 1 BODY[]\r\n", way)
    joined.arrive("s", b"* 1 FETCH (BODY[] {100000}\r\nxy", way)
    for _ in range(9):
        joined.arrive("s", b"x" * 11_000, way)
    joined.arrive("s", b"x" * 998 + b")\r\na OK\r\n", way)
    assert spy.from_both == [18, 30, 9]
    assert spy.resting
    joined.arrive("c", b"b APPEND x {50000+}\r\n" + b"y" * 20_000, way)
    joined.arrive("c", b"y" * 30_000 + b"\r\nc COMPRESS DEFLATE\r\n", way)
    assert sum(spy.from_both[3:]) < 2 * 512 + 40
    assert joined.server.written.endswith(b"{50000+}\r\n" + b"y" * 50_000 + b"\r\n")
    assert joined.client.written.endswith(b"a OK\r\nc NO [CANNOT] Not available here.\r\n")


@pytest.mark.hazard("D14")
def test_behind_our_logout_nothing_goes_on_unseen() -> None:
    joined = Joined(tap())
    joined.relay.stop()
    said = joined.client.written
    joined.arrive("s", b"* X {1000}\r\n", "received")
    assert joined.server.user.unseen == 0
    joined.arrive("s", b"z" * 1000 + b"\r\nour1 OK bye\r\n", "poured")
    assert joined.client.written == said
    assert joined.relay._ending == "ended at a boundary"


def test_a_session_that_cannot_be_followed_goes_on_unseen() -> None:
    joined = Joined(tap())
    joined.arrive("c", b"a NO", "received")
    joined.arrive("s", b"who OK asked?\r\n", "received")
    assert joined.server.user.unseen > 1 << 40
    assert joined.client.user.unseen == 0  # what was held goes first
    joined.arrive("c", b"OP\r\n", "poured")
    joined.arrive("c", b"b NOOP\r\n", "poured")
    joined.arrive("s", b"a OK\r\n", "poured")
    assert joined.server.written == b"a NOOP\r\nb NOOP\r\n"
    assert joined.client.written == b"who OK asked?\r\na OK\r\n"
    joined.server.user.closed(ClosedReason(Ending.FINISHED, "done"))
    joined.client.user.closed(ClosedReason(Ending.CLOSED, "done"))
