"""The relay over real TCP: nothing lost, nothing twice, nothing held without bound, every end told once."""

from __future__ import annotations

import gc
import math
import resource
from collections.abc import Callable
from typing import Any, Self

import pytest
from twisted.internet import defer, reactor, task

from mailferry.model.access import Protocol, Server, TlsMode
from mailferry.model.tap import Deletions, Flow, SeesAll
from mailferry.net.connect import Connector
from mailferry.net.relay import PIECE_OCTETS, Relay, RelayEnd
from mailferry.net.tls_server import ServerContexts
from tests.kit.evil import flood
from tests.kit.fault_relay import FR, Fault, Kind
from tests.kit.scripted import REC, Talk, dial, hang_up, orderly, silent
from tests.kit.tls_files import TlsClient, TlsFiles, TlsPeer
from tests.net.ears import Door


class Verbatim(SeesAll):
    """A tap that passes everything and writes down what it saw."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.resting = True
        self.in_idle = False
        self.deletions = Deletions()
        self.on_stop = Flow(end="stopped by the tap")

    def from_client(self, data: bytes) -> Flow:
        self.pieces.append(data)
        return Flow(to_server=data)

    def from_server(self, data: bytes) -> Flow:
        return Flow(to_client=data)

    def stop(self) -> Flow:
        return self.on_stop


class Answering(Verbatim):
    """A tap that answers the client itself, a thousand times longer than it is asked."""

    def from_client(self, data: bytes) -> Flow:
        self.pieces.append(data)
        return Flow(to_client=b"y" * 1000 * len(data))


class ToldRelay(Relay):
    """A relay that tells its pair how it ended."""

    def __init__(self, both: Pair, *sides: Any, **terms: Any) -> None:
        super().__init__(*sides, **terms)
        self._both = both

    def server_is_closed(self) -> None:
        self._both.server_is_closed()

    def over(self, end: RelayEnd) -> None:
        self._both.on_end(end)


class Pair:
    """A client and a server that talk through a relay."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.ends: list[RelayEnd] = []
        self.server_closed = 0
        self.ended: defer.Deferred[RelayEnd] = defer.Deferred()
        self.metered = {"to_server": 0, "to_client": 0}

    async def start(
        self,
        *,
        tap: Any = None,
        script: Callable[[Talk], Any] = silent,
        residual: tuple[bytes, bytes] = (b"", b""),
        tls: TlsFiles | None = None,
        idle_limit: float = 1800.0,
        fault: Fault | None = None,
    ) -> Pair:
        peer = None if tls is None else TlsPeer(tls.issue("localhost"))
        self.rec = await REC(script, tls=peer).start()
        self.fr = await FR(self.rec.port, *([fault] if fault else [])).start()
        contexts = None
        if tls is not None:
            issued = tls.issue("localhost")
            contexts = ServerContexts(issued.certificate, issued.key, Protocol.IMAP, reactor=reactor)
        self.door = Door(contexts)
        mode = TlsMode.NONE if tls is None else TlsMode.IMPLICIT
        ca = None if tls is None else str(tls.ca)
        server = await Connector(reactor).connect(
            Server(Protocol.IMAP, "localhost", self.fr.port, mode, ca=ca)
        )
        self.client = await dial(self.door.port)
        accepted = await self.door.carrier()
        if tls is not None:
            upgrade = accepted.start_tls_server()
            await self.client.upgrade(TlsClient())
            await upgrade
        self.server = await self.rec.talk()
        self.relay = ToldRelay(
            self,
            accepted,
            server,
            tap,
            reactor=self.clock,
            idle_limit=idle_limit,
            meter=self._meter,
        )
        self.relay.start(from_client=residual[0], from_server=residual[1])
        return self

    def on_end(self, end: RelayEnd) -> None:
        self.ends.append(end)
        self.ended.callback(end)

    def server_is_closed(self) -> None:
        assert not self.ends
        self.server_closed += 1

    def _meter(self, direction: str, octets: int) -> None:
        self.metered[direction] += octets

    async def over(self) -> RelayEnd:
        await self.client.gone()
        await self.server.gone()
        end = await self.ended
        assert self.ends == [end]
        assert self.metered == {"to_server": end.to_server, "to_client": end.to_client}
        return end

    async def stop(self) -> None:
        if not self.ends:
            self.relay.abort("the test is over")
        await self.over()
        await hang_up(self.client)
        await self.rec.stop()
        await self.fr.stop()
        await self.door.stop()


async def pair(**terms: Any) -> Pair:
    return await Pair(reactor).start(**terms)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, tmp_path: Any) -> TlsFiles | None:
    return TlsFiles(tmp_path / "ca") if request.param == "tls" else None


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("tap", [None, Verbatim], ids=["no tap", "tap"])
async def test_octets_pass_in_both_directions(tls: TlsFiles | None, tap: Any) -> None:
    both = await pair(tap=tap and tap(), tls=tls)
    both.client.send(b"a NOOP\r\n")
    await both.server.expect(b"a NOOP\r\n")
    both.server.send(b"a OK\r\n")
    await both.client.expect(b"a OK\r\n")
    both.server.close()
    assert orderly(await both.client.gone())
    end = await both.over()
    assert end.reason == "server: the peer closed the connection"
    assert (end.to_server, end.to_client) == (8, 6)
    await both.stop()


@pytest.mark.hazard("T15")
@pytest.mark.parametrize("tap", [None, Verbatim], ids=["no tap", "tap"])
async def test_what_was_sent_behind_the_logins_goes_first_and_once(tap: Any) -> None:
    tap = tap and tap()
    both = await pair(tap=tap, residual=(b"b SELECT INBOX\r\n", b"* welcome\r\n"))
    both.client.send(b"c NOOP\r\n")
    both.server.send(b"b OK\r\n")
    await both.server.expect(b"c NOOP\r\n")
    await both.client.expect(b"b OK\r\n")
    assert both.server.received == b"b SELECT INBOX\r\nc NOOP\r\n"
    assert both.client.received == b"* welcome\r\nb OK\r\n"
    if tap is not None:
        assert b"".join(tap.pieces) == both.server.received
    await both.stop()


@pytest.mark.hazard("T16")
@pytest.mark.deadline(60)
@pytest.mark.parametrize("tap", [None, Verbatim], ids=["no tap", "tap"])
async def test_a_client_that_stops_reading_holds_the_server_back_and_memory_stays_small(
    tls: TlsFiles | None, tap: Any
) -> None:
    size = 50 * 1024 * 1024
    both = await pair(tap=tap and tap(), script=flood(b"z" * 65536, repeat=size // 65536), tls=tls)
    both.client.stop_reading()
    await until_still(both)
    held = both.relay._to_client
    assert held < 16 * 1024 * 1024  # the kernel's socket buffers, mostly
    gc.collect()
    before = peak_memory()
    both.client.received = Counted()
    both.client.read_on()
    await both.client.until(lambda: len(both.client.received) == size)
    assert peak_memory() - before < 4 * 1024
    await both.stop()


@pytest.mark.hazard("T16")
@pytest.mark.deadline(60)
@pytest.mark.parametrize("tap", [None, Verbatim], ids=["no tap", "tap"])
async def test_a_server_that_stops_reading_holds_the_client_back(tls: TlsFiles | None, tap: Any) -> None:
    size = 50 * 1024 * 1024
    both = await pair(tap=tap and tap(), tls=tls)
    both.server.stop_reading()
    sending = defer.ensureDeferred(flood(b"z" * 65536, repeat=size // 65536)(both.client))
    await until_still(both)
    assert both.relay._to_server < 16 * 1024 * 1024
    gc.collect()
    before = peak_memory()
    both.server.received = Counted()
    if tap:
        both.relay._tap.pieces = Counted()
    both.server.read_on()
    await both.server.until(lambda: len(both.server.received) == size)
    assert peak_memory() - before < 4 * 1024
    await sending
    await both.stop()


class Counted:
    """Stands for octets that are only counted."""

    def __init__(self) -> None:
        self.count = 0

    def __iadd__(self, data: bytes) -> Self:
        self.count += len(data)
        return self

    append = __iadd__

    def __len__(self) -> int:
        return self.count


async def until_still(both: Pair) -> None:
    """Turn the reactor until nothing has moved for a while of its own turns."""
    seen, still = -1, 0
    while still < 30:
        now = both.relay._to_client + both.relay._to_server
        seen, still = now, still + 1 if now == seen else 0
        await task.deferLater(reactor, 0.005, lambda: None)


@pytest.mark.hazard("T16")
async def test_a_tap_that_answers_itself_is_fed_only_as_fast_as_the_client_reads() -> None:
    tap = Answering()
    both = await pair(tap=tap)
    both.client.stop_reading()
    both.client.send(b"x" * 100_000)
    await until_still(both)
    fed = sum(len(piece) for piece in tap.pieces)
    assert fed < 20_000
    assert max(len(piece) for piece in tap.pieces) <= PIECE_OCTETS
    both.client.received = Counted()
    both.client.read_on()
    await both.client.until(lambda: len(both.client.received) == 100_000_000)
    await both.stop()


async def test_a_client_that_finishes_its_side_still_gets_its_answers() -> None:
    both = await pair()
    both.server.closes_too = False
    both.client.send(b"a FETCH\r\n")
    both.client.finish()
    await both.server.finished()
    assert both.server.received == b"a FETCH\r\n"
    both.server.send(b"answer" * 100_000)
    both.server.close()
    await both.client.gone()
    assert both.client.received == b"answer" * 100_000
    assert (await both.over()).reason == "client: it closed the connection"
    await both.stop()


async def test_a_client_that_finishes_while_the_server_is_slow_loses_no_octet() -> None:
    tap = Verbatim()
    both = await pair(tap=tap)
    both.server.stop_reading()
    both.client.send(b"q" * 3_000_000)
    both.client.finish()
    await until_still(both)
    both.server.read_on()
    await both.server.finished()
    assert both.server.received == b"q" * 3_000_000
    await both.stop()


async def test_a_client_that_finishes_before_a_tls_server_gets_answers_until_it_is_quiet(
    tmp_path: Any,
) -> None:
    clock = task.Clock()
    both = Pair(clock)
    await both.start(tls=TlsFiles(tmp_path / "ca"))
    both.relay.client_finished()
    both.server.send(b"late answer")
    await both.client.expect(b"late answer")
    clock.advance(1.9)
    assert not both.ends
    clock.advance(0.2)
    assert (await both.over()).reason == "client: it closed the connection"
    await both.stop()


async def test_a_client_that_is_reset_ends_the_server_in_order() -> None:
    both = await pair()
    both.client.abort()
    await both.client.gone()
    assert orderly(await both.server.gone())
    assert (await both.over()).reason == "client: the connection was lost"
    assert both.server_closed == 1
    await both.stop()


async def test_a_server_that_is_reset_ends_the_client() -> None:
    both = await pair(fault=Fault(Kind.RESET, "to_client", 5))
    both.server.send(b"12345678")
    await both.client.gone()
    assert (await both.over()).reason == "server: the connection was lost"
    await both.stop()


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_a_tls_link_that_breaks_off_ends_both_sides(tmp_path: Any, kind: Kind, direction: Any) -> None:
    both = await pair(tls=TlsFiles(tmp_path / "ca"), fault=Fault(kind, direction, 6000))
    both.client.send(b"q" * 6000)
    both.server.send(b"a" * 6000)
    assert (await both.over()).reason.startswith("server: ")
    await both.client.gone()
    await both.stop()


async def test_halved_segments_change_nothing() -> None:
    both = await pair(fault=Fault(Kind.HALVE, "to_client", 0))
    both.server.send(bytes(range(256)) * 100)
    await both.client.count(25600)
    assert both.client.received == bytes(range(256)) * 100
    await both.stop()


async def test_a_silent_session_ends_after_its_idle_limit_and_movement_extends_it() -> None:
    clock = task.Clock()
    both = Pair(clock)
    await both.start()
    clock.advance(1799)
    both.server.send(b"* OK still here\r\n")
    await both.client.expect(b"here\r\n")
    clock.advance(1799)
    assert not both.ends
    assert both.relay.silent_seconds == 1799
    clock.advance(1)
    await both.client.gone()
    await both.server.gone()
    assert (await both.over()).reason == "nothing moved for too long"
    await both.stop()
    assert clock.getDelayedCalls() == []


async def test_a_tap_ends_the_session_when_it_is_asked_to_stop_and_its_last_words_arrive() -> None:
    tap = Verbatim()
    tap.on_stop = Flow(to_client=b"* BYE moving\r\n", to_server=b"x LOGOUT\r\n", end="moved")
    both = await pair(tap=tap)
    both.client.send(b"late")  # unread octets in our socket must not destroy the BYE by a reset
    both.relay.stop()
    both.relay.stop()
    assert orderly(await both.client.gone())
    await both.server.gone()
    await both.over()
    assert both.client.received == b"* BYE moving\r\n"
    assert both.server.received.endswith(b"x LOGOUT\r\n")
    assert (await both.over()).reason == "moved"
    await both.stop()


async def test_a_tap_that_cannot_stop_yet_ends_the_session_later() -> None:
    class Later(Verbatim):
        def from_server(self, data: bytes) -> Flow:
            return Flow(to_client=data, end="now at a boundary")

    tap = Later()
    tap.on_stop = Flow()
    both = await pair(tap=tap)
    both.relay.stop()
    assert not both.ends
    both.server.send(b"a OK done\r\n")
    await both.client.gone()
    assert both.client.received == b"a OK done\r\n"
    assert (await both.over()).reason == "now at a boundary"
    await both.stop()


async def test_without_a_tap_a_session_asked_to_stop_ends_when_it_is_quiet() -> None:
    clock = task.Clock()
    both = Pair(clock)
    await both.start()
    clock.advance(1)
    both.server.send(b"busy")
    await both.client.expect(b"busy")
    both.relay.stop()
    clock.advance(1.9)
    assert not both.ends
    clock.advance(0.1)
    await both.client.gone()
    await both.server.gone()
    assert (await both.over()).reason == "stopped"
    await both.stop()


async def test_how_long_a_session_has_been_quiet_is_what_its_tap_says() -> None:
    clock = task.Clock()
    tap = Verbatim()
    both = Pair(clock)
    await both.start(tap=tap)
    clock.advance(7)
    assert both.relay.quiet_for() == 7
    tap.in_idle = True
    assert both.relay.quiet_for() == math.inf
    tap.resting = False
    assert both.relay.quiet_for() is None
    await both.stop()
    blind = await pair()
    assert blind.relay.quiet_for() is None
    await blind.stop()
