"""The carrier over real TCP on loopback: order, holding, pressure, half-close, ends."""

from __future__ import annotations

import socket

import pytest
from twisted.internet import task
from twisted.internet.task import Clock

from mailferry.net.carrier import Address, Ending
from mailferry.net.user_side import CLOSING_SECONDS
from tests.kit.scripted import dial, hang_up, orderly
from tests.net.ears import Door, Ear, kernel_socket


async def test_octets_go_both_ways_and_the_addresses_are_known() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.write(b"hello ")
    carrier.write(b"client")
    client.send(b"hello server")
    await client.expect(b"hello client")
    await ear.until(lambda: ear.octets == b"hello server")
    assert carrier.peer.host == "127.0.0.1"
    assert carrier.host == Address("127.0.0.1", door.port)
    assert carrier.loopback
    assert carrier.confidential
    assert carrier.secure is None
    await hang_up(client)
    await ear.end()
    await door.stop()


async def test_a_carrier_that_forgot_its_ends_still_carries_and_trusts_nobody() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.forget_ends()
    client.send(b"hello server")
    await ear.until(lambda: ear.octets == b"hello server")
    assert carrier.peer == carrier.host == Address("", 0)
    assert not carrier.loopback
    assert not carrier.confidential
    await hang_up(client)
    await ear.end()
    await door.stop()


async def test_both_sockets_get_tcp_nodelay() -> None:
    door = Door()
    client = await dial(door.port)
    carrier = await door.carrier()
    handle = kernel_socket(carrier)
    assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await hang_up(client)
    await door.stop()


async def test_what_arrives_before_a_user_is_there_is_handed_to_it_once_and_in_order() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, first, second = await door.carrier(), Ear(), Ear()
    client.send(b"one ")
    carrier.attach(first)
    await first.until(lambda: first.octets == b"one ")
    carrier.detach()
    client.send(b"two ")
    client.send(b"three")
    client.finish()
    carrier.attach(second)
    await second.end()
    assert first.octets == b"one "
    assert second.octets == b"two three"
    await client.gone()
    await door.stop()


async def test_a_paused_user_is_told_nothing_and_then_everything_and_then_the_end() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()

    def stop_after_first(data: bytes) -> None:
        carrier.pause()

    ear.on_octets = stop_after_first
    carrier.attach(ear)
    client.send(b"one ")
    await ear.until(lambda: bool(ear.octets))
    client.send(b"two")
    client.close()
    other = await dial(door.port)
    await door.carrier(1)
    assert ear.octets == b"one "
    assert not ear.ends
    ear.on_octets = None
    carrier.resume()
    assert (await ear.end()).ending is Ending.FINISHED
    assert ear.octets == b"one two"
    await client.gone()
    await hang_up(other)
    await door.stop()


@pytest.mark.hazard("T16")
async def test_a_peer_that_does_not_read_makes_pressure_and_its_reading_relieves_it() -> None:
    door = Door()
    client = await dial(door.port)
    client.stop_reading()
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    sent = 0
    while not ear.pressures:
        carrier.write(b"x" * 65536)
        sent += 65536
        await client.until(lambda: True)
    assert ear.pressures == [True]
    late = Ear()
    carrier.attach(late)
    assert late.pressures == [True]
    client.read_on()
    await late.until(lambda: late.pressures == [True, False])
    await client.count(sent)
    await hang_up(client)
    await door.stop()


@pytest.mark.hazard("D4")
async def test_bulk_to_a_slow_peer_arrives_whole_and_in_order() -> None:
    door = Door()
    client = await dial(door.port)
    client.stop_reading()
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.expect_bulk()
    sent = bytearray()
    while not ear.pressures:  # the kernel takes all of it, then a part, then nothing
        piece = b"%08d" % len(sent) * 9_999
        carrier.write(piece)
        sent += piece
        await client.until(lambda: True)
    client.read_on()
    for number in range(40):  # the kernel has room again, and something still waits for it
        piece = b"%04d" % number * 9_999
        carrier.write(piece)
        sent += piece
        if number % 4 == 0:
            await client.count(len(client.received) + 1)
    assert await client.count(len(sent)) == sent
    carrier.write(b"and when nothing waits")
    sent += b"and when nothing waits"
    assert await client.count(len(sent)) == sent
    await hang_up(client)
    await door.stop()


async def test_close_sends_what_waits_and_reads_on_so_that_no_reset_destroys_it() -> None:
    door = Door()
    client = await dial(door.port)
    client.stop_reading()
    client.send(b"y" * 300_000)
    carrier, ear = await door.carrier(), Ear()
    carrier.write(b"x" * 1_000_000)
    carrier.attach(ear)
    carrier.close()
    carrier.write(b"dropped")
    assert carrier.is_closed
    client.read_on()
    await client.finished()
    assert client.received == b"x" * 1_000_000
    client.close()
    assert orderly(await client.gone())
    assert (await ear.end()).ending is Ending.CLOSED or ear.ends[0].ending is Ending.FINISHED
    assert not ear.octets
    await door.stop()


async def test_a_peer_that_neither_reads_nor_closes_is_reset_after_thirty_seconds() -> None:
    clock = Clock()
    door = Door(clock=clock)
    client = await dial(door.port)
    client.stop_reading()
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.write(b"x" * 10_000_000)
    carrier.close()
    clock.advance(CLOSING_SECONDS - 1)
    assert not ear.ends
    clock.advance(1)
    assert (await ear.end()).ending is Ending.CLOSED
    client.read_on()
    assert not orderly(await client.gone())
    await door.stop()


async def test_abort_resets_and_tells_the_user_once() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.abort()
    carrier.abort()
    carrier.close()
    assert (await ear.end()).ending is Ending.CLOSED
    assert not orderly(await client.gone())
    await door.stop()


async def test_a_reset_by_the_peer_is_told_as_lost() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    await hang_up(client)
    assert (await ear.end()).ending is Ending.LOST
    await door.stop()


async def test_a_user_that_knows_half_close_goes_on_sending_after_the_peers_fin() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear(half=True)
    carrier.attach(ear)
    client.send(b"last words")
    client.finish()
    await ear.until(lambda: ear.finishes == 1)
    assert ear.octets == b"last words"
    carrier.write(b"answer")
    await client.expect(b"answer")
    carrier.close()
    assert (await ear.end()).ending is Ending.FINISHED
    assert orderly(await client.gone())
    await door.stop()


@pytest.mark.hazard("T16")
@pytest.mark.parametrize("octets", [100_000, 10_000_000])
async def test_a_peer_that_finished_gets_what_waits_also_where_that_is_the_end(octets: int) -> None:
    from twisted.internet import reactor

    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    client.stop_reading()
    carrier.drop_if_killed()
    carrier.attach(ear)
    carrier.write(b"x" * octets)
    client.finish()
    while not carrier.is_closed:
        await task.deferLater(reactor, 0)
    client.read_on()
    assert await client.count(octets) == b"x" * octets
    assert (await ear.end()).ending is Ending.FINISHED
    assert orderly(await client.gone())
    await door.stop()


async def test_finish_ends_one_direction_only() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.write(b"question")
    carrier.finish()
    carrier.write(b"dropped")
    await client.finished()
    assert client.received == b"question"
    client.send(b"answer")
    client.close()
    assert (await ear.end()).ending is Ending.FINISHED
    assert ear.octets == b"answer"
    await client.gone()
    await door.stop()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback
