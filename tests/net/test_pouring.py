"""Bulk between two plain sockets goes through a pipe of the kernel's: whole, once, in order, and held back."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mailferry.net import pouring, splice
from mailferry.net.splice import PIPE_OCTETS, WORTH_IT_OCTETS, Pipes
from mailferry.taps.boundaries_imap import BYE, ImapBoundaries
from tests.kit.evil import flood
from tests.kit.scripted import orderly
from tests.net.test_relay import Counted, Pair, pair, until_still

MEBI = 1 << 20
OCTETS = random.Random("pouring").randbytes(6 * MEBI)


@pytest.fixture(autouse=True)
def carriers() -> str:
    """Only our own descriptors pour: the room's choice of carriers is not wanted here."""
    return "descriptor"


@pytest.fixture(autouse=True)
def pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipes]:
    """Lend pipes to this test alone, and see that all were given back or closed at its end."""
    own = Pipes(most=4)
    monkeypatch.setattr(pouring, "PIPES", own)
    yield own
    own.give_up()
    assert own._left == 4


@pytest.fixture
def splices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note what each splice moved."""
    moved: list[int] = []
    real = os.splice

    def noted(*words: Any, **more: Any) -> int:
        count = real(*words, **more)
        moved.append(count)
        return count

    monkeypatch.setattr(splice.os, "splice", noted)
    return moved


async def bulk(both: Pair, way: str, octets: bytes = OCTETS) -> None:
    """Send from one side and see it arrive at the other as it was."""
    sender, taker = (both.client, both.server) if way == "to_server" else (both.server, both.client)
    taker.received = b""
    sender.send(octets)
    await taker.count(len(octets))
    assert taker.received == octets


@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_bulk_is_poured_and_arrives_as_it_was(way: str, splices: list[int]) -> None:
    both = await pair()
    await bulk(both, way)
    assert sum(splices) > MEBI  # in and out of the pipe
    await bulk(both, way, OCTETS[: 3 * MEBI + 17])
    both.client.send(b"a NOOP\r\n")
    await both.server.until(lambda: bytes(both.server.received).endswith(b"a NOOP\r\n"))
    assert both.metered[way] == 9 * MEBI + 17 + (8 if way == "to_server" else 0)
    await both.stop()


async def test_short_exchanges_are_not_poured(splices: list[int]) -> None:
    both = await pair()
    for _ in range(20):
        await bulk(both, "to_server", b"a FETCH\r\n" * 100)
        await bulk(both, "to_client", b"* answer\r\n" * 1000)
    assert not splices
    await both.stop()


async def test_both_directions_pour_at_once(splices: list[int]) -> None:
    both = await pair()
    both.client.send(OCTETS)
    both.server.send(OCTETS[::-1])
    await both.server.count(len(OCTETS))
    await both.client.count(len(OCTETS))
    assert both.server.received == OCTETS
    assert both.client.received == OCTETS[::-1]
    assert splices
    await both.stop()


@pytest.mark.hazard("T16")
@pytest.mark.deadline(60)
async def test_a_client_that_stops_in_the_middle_of_a_pour_holds_the_server_back(pipes: Pipes) -> None:
    size = 50 * MEBI
    both = await pair(script=flood(OCTETS[:65536], repeat=size // 65536))
    await both.client.count(2 * MEBI)
    both.client.stop_reading()
    await until_still(both)
    assert both.relay._client._pipe.held > 0  # type: ignore[attr-defined]
    assert both.relay._to_client < 24 * MEBI  # the kernel's buffers, and one pipe
    assert both.relay._server_paused
    got = len(both.client.received)
    assert both.client.received == (OCTETS[:65536] * (got // 65536 + 1))[:got]
    both.client.received = Counted()
    both.client.read_on()
    await both.client.until(lambda: len(both.client.received) == size - got)
    await both.stop()


@pytest.mark.hazard("T16")
@pytest.mark.parametrize("end", ["close", "finish"])
async def test_a_sender_that_ends_while_the_pipe_is_partly_drained_loses_nothing(end: str) -> None:
    """A server that closes, or a client that finishes its side, behind octets that nobody takes yet."""
    both = await pair()
    sender, taker = (both.server, both.client) if end == "close" else (both.client, both.server)
    carrier: Any = both.relay._client if end == "close" else both.relay._server
    taker.stop_reading()
    taker.closes_too = False
    sending = OCTETS * 3
    sender.send(sending)
    await until_still(both)
    assert carrier._pipe.held > 0
    getattr(sender, end)()
    await until_still(both)
    taker.read_on()
    await taker.count(len(sending))
    assert taker.received == sending
    if end == "close":
        both.client.close()
        assert orderly(await taker.gone())
    else:
        await taker.finished()
        both.server.send(b"answer")
        await both.client.expect(b"answer")
    await both.stop()


@pytest.mark.hazard("T16")
@pytest.mark.parametrize("who", ["taker", "sender", "relay"])
async def test_what_a_broken_session_left_in_its_pipe_reaches_nobody_else(who: str, pipes: Pipes) -> None:
    both = await pair()
    both.client.stop_reading()
    both.server.send(OCTETS * 3)
    await until_still(both)
    assert both.relay._client._pipe.held > 0  # type: ignore[attr-defined]
    if who == "relay":
        both.relay.abort("broken off")
    else:
        (both.client if who == "taker" else both.server).abort()
    both.client.read_on()
    await both.over()
    await both.stop()
    assert all(not pipe.held for pipe in pipes._idle)
    other = await pair()
    await bulk(other, "to_client")
    await bulk(other, "to_server")
    await other.stop()


@pytest.mark.parametrize("fault", [errno.EINVAL, errno.ENOSYS])
async def test_a_kernel_that_cannot_is_asked_once(
    fault: int, monkeypatch: pytest.MonkeyPatch, pipes: Pipes
) -> None:
    asked = []

    def refuses(*_words: Any, **_more: Any) -> int:
        asked.append(1)
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(splice.os, "splice", refuses)
    both = await pair()
    await bulk(both, "to_client")
    await bulk(both, "to_server")
    assert len(asked) == 1
    assert pipes.borrow() is None
    await both.stop()


async def test_a_reset_that_the_pour_meets_is_told_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_words: Any, **_more: Any) -> int:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    monkeypatch.setattr(splice.os, "splice", broken)
    both = await pair()
    both.server.send(OCTETS)
    assert (await both.over()).reason == "server: the connection was lost"
    await both.stop()


async def test_where_all_pipes_are_lent_octets_are_copied(pipes: Pipes, splices: list[int]) -> None:
    lent = [pipes.borrow() for _ in range(4)]
    assert pipes.borrow() is None
    both = await pair()
    await bulk(both, "to_client")
    assert not splices
    for pipe in lent:
        assert pipe is not None
        pipes.give_back(pipe)
    await both.stop()


async def test_what_is_written_behind_a_pour_stays_behind_it() -> None:
    both = await pair()
    both.client.stop_reading()
    both.server.send(OCTETS * 2)
    await until_still(both)
    carrier: Any = both.relay._client
    assert carrier._pipe.held > 0
    carrier.write(b"* BYE\r\n")
    poured = both.relay._to_client  # what has not been read yet comes later
    both.client.read_on()
    await both.client.count(len(OCTETS) * 2 + 7)
    assert both.client.received == (OCTETS * 2)[:poured] + b"* BYE\r\n" + (OCTETS * 2)[poured:]
    await both.stop()


@pytest.mark.hazard("T16")
async def test_a_pour_does_not_overtake_what_waits_in_memory() -> None:
    both = await pair()
    carrier: Any = both.relay._client
    both.client.stop_reading()
    before = 0
    while carrier._outgoing is None:  # until the kernel takes no more: less waits than makes pressure
        carrier.write(b"z" * 4096)
        before += 4096
    both.relay._server._streams = True  # type: ignore[attr-defined]  # as after a large read
    both.server.send(OCTETS)
    await until_still(both)
    both.client.read_on()
    await both.client.count(before + len(OCTETS))
    assert both.client.received == b"z" * before + OCTETS
    await both.stop()


async def test_nothing_is_poured_into_tls_or_through_a_tap(tmp_path: Any, splices: list[int]) -> None:
    from tests.kit.tls_files import TlsFiles
    from tests.net.test_relay import Verbatim

    for terms in ({"tls": TlsFiles(tmp_path / "ca")}, {"tap": Verbatim()}):
        both = await pair(**terms)
        await bulk(both, "to_client", OCTETS[:MEBI])
        await both.stop()
    assert not splices


@pytest.mark.hazard("T16")
def test_a_pipe_takes_no_octet_more_than_it_is_asked_to(pipes: Pipes) -> None:
    pipe = pipes.borrow()
    assert pipe is not None
    near, far = socket.socketpair()
    with near, far:
        far.send(OCTETS[:5000])
        assert [pipe.fill(near, 1000), pipe.fill(near, 1)] == [1000, 1]
        assert pipe.held == 1001
        assert near.recv(10) == OCTETS[1001:1011]
    pipes.give_back(pipe)


def test_a_pipe_holds_what_it_is_made_for(pipes: Pipes) -> None:
    import fcntl

    pipe = pipes.borrow()
    assert pipe is not None
    size = fcntl.fcntl(pipe._writer, fcntl.F_GETPIPE_SZ)
    assert size in {PIPE_OCTETS, 65536}  # the latter where the user has too many pages in pipes
    pipes.give_back(pipe)
    assert pipes.borrow() is pipe
    pipes.give_back(pipe)


# ---- behind a tap: literals, and nothing but literals

SIZES = [0, 1, WORTH_IT_OCTETS - 1, WORTH_IT_OCTETS, PIPE_OCTETS + 1, 100, 3 * MEBI + 17, WORTH_IT_OCTETS + 1]


def bodies() -> Iterator[bytes]:
    """Messages that look like what stands outside of them, so that each octet more or less shows."""
    looks = b"\r\n* 1 EXPUNGE\r\na OK done\r\n{5}\r\n)\r\nzz OK who asked?\r\n"
    for size in SIZES:
        yield (looks * (size // len(looks) + 1))[:size]


RESPONSE = (
    b"".join(
        b"* %d FETCH (BODY[] {%d}\r\n%s UID 7)\r\n* 1 EXPUNGE\r\n" % (number, len(body), body)
        for number, body in enumerate(bodies(), 1)
    )
    + b"a OK done\r\n"
)


@pytest.mark.hazard("T16")
async def test_literals_are_poured_past_a_tap_that_misses_nothing_between_them(
    splices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = ImapBoundaries(b"our1")
    asked: list[tuple[int, int]] = []
    fill = splice.Pipe.fill

    def noted(pipe: splice.Pipe, sock: socket.socket, most: int) -> int:
        asked.append((most, tap.unseen_to_client))
        return fill(pipe, sock, most)

    monkeypatch.setattr(splice.Pipe, "fill", noted)
    both = await pair(tap=tap)
    both.client.send(b"a UID EXPUNGE 1:9\r\n")
    await both.server.expect(b"1:9\r\n")
    both.server.send(RESPONSE)
    await both.client.count(len(RESPONSE))
    assert both.client.received == RESPONSE
    assert tap.resting
    assert tap.deletions.count == len(SIZES)
    assert asked
    assert all(WORTH_IT_OCTETS <= most <= unseen for most, unseen in asked)
    assert sum(splices) > 2 * MEBI  # in and out of the pipe
    assert both.metered["to_client"] == len(RESPONSE)
    await both.stop()


@pytest.mark.hazard("D14")
@pytest.mark.hazard("T16")
async def test_a_session_asked_to_stop_in_the_middle_of_a_poured_literal_ends_behind_its_command(
    pipes: Pipes,
) -> None:
    tap = ImapBoundaries(b"our1")
    both = await pair(tap=tap)
    both.client.send(b"a FETCH 1:* BODY[]\r\n")
    await both.server.expect(b"\r\n")
    both.client.stop_reading()
    sending = b"* 1 FETCH (BODY[] {%d}\r\n" % (3 * len(OCTETS)) + OCTETS * 3 + b")\r\na OK done\r\n"
    both.server.send(sending)
    await until_still(both)
    assert both.relay._client._pipe.held > 0  # type: ignore[attr-defined]
    assert both.relay._server_paused
    assert 0 < tap.unseen_to_client < 3 * len(OCTETS)
    both.relay.stop()
    both.client.read_on()
    await both.server.expect(b"our1 LOGOUT\r\n")
    await both.client.count(len(sending) + len(BYE))
    assert both.client.received == sending + BYE
    both.server.send(b"our1 OK bye\r\n")
    assert (await both.over()).reason == "ended at a boundary"
    await both.stop()


@pytest.mark.hazard("T14")
async def test_an_upload_is_poured_and_the_command_behind_it_is_seen(splices: list[int]) -> None:
    tap = ImapBoundaries(b"our1")
    both = await pair(tap=tap)
    upload = b"a APPEND x {%d+}\r\n" % len(OCTETS) + OCTETS + b"\r\n"
    both.client.send(upload + b"b COMPRESS DEFLATE\r\nc NOOP\r\n")
    await both.server.count(len(upload) + 8)
    assert both.server.received == upload + b"c NOOP\r\n"
    await both.client.expect(b"b NO [CANNOT] Not available here.\r\n")
    both.server.send(b"a OK\r\nc OK\r\n")
    await both.client.expect(b"c OK\r\n")
    assert tap.resting
    assert sum(splices) > MEBI
    await both.stop()


async def test_a_session_that_its_tap_cannot_follow_is_poured_as_without_one(splices: list[int]) -> None:
    both = await pair(tap=ImapBoundaries(b"our1"))
    both.server.send(b"zz OK who asked?\r\n")
    await both.client.expect(b"asked?\r\n")
    for way in ("to_client", "to_server"):
        await bulk(both, way)
    assert sum(splices) > 2 * MEBI
    await both.stop()
