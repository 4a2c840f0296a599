"""Listening: adopted sockets, both families, and a stop that leaves sessions alone."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.error import ConnectError

from mailferry.net.listen import bind, listen
from tests.kit.scripted import dial, hang_up
from tests.net.ears import Door, Ear


async def test_clients_come_as_carriers_and_live_on_when_the_door_closes() -> None:
    door = Door()
    clients = [await dial(door.port) for _ in range(3)]
    for number, client in enumerate(clients):
        carrier = await door.carrier(number)
        carrier.write(b"%d" % number)
        await client.expect(b"%d" % number)
    await door.listening.stop()
    with pytest.raises(ConnectError):
        await dial(door.port)
    door.carriers[1].write(b"still here")
    await clients[1].expect(b"still here")
    for number, client in enumerate(clients):
        ear = Ear()
        door.carriers[number].attach(ear)
        await hang_up(client)
        await ear.end()


async def test_a_socket_that_is_shut_for_all_its_holders_is_watched_no_longer(carriers: str) -> None:
    if carriers == "twisted":
        return  # it stands where there is no epoll, and there no socket is shut like this
    sock, accepted = bind("127.0.0.1", 0), []
    listening = listen(reactor, sock, accepted.append)
    port = sock.getsockname()[1]
    watching = len(reactor.getReaders())
    sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectError):
        await dial(port)
    assert len(reactor.getReaders()) == watching - 1, "or it would wake us again and again"
    assert accepted == []
    await listening.stop()
    sock.close()


async def test_a_client_that_sets_off_a_fault_of_ours_does_not_close_the_door(
    lost_failures: list[Any],
) -> None:
    door, kept = Door(), []
    original = door.carriers

    class Full(list[Any]):
        def append(self, carrier: Any) -> None:
            door.carriers = original
            kept.append(carrier)
            raise RuntimeError("no room for this one")

    door.carriers = Full()
    first = await dial(door.port)
    second = await dial(door.port)
    carrier = await door.carrier()
    lost_failures.clear()
    carrier.write(b"welcome")
    await second.expect(b"welcome")
    kept[0].abort()
    await first.gone()
    await hang_up(second)
    await door.stop()


def test_a_socket_binds_to_one_address_and_port() -> None:
    for host in ("127.0.0.1", "::1"):
        sock = bind(host, 0)
        name = sock.getsockname()
        assert name[0] == host
        with pytest.raises(OSError, match="in use"):
            bind(host, name[1])
        sock.close()
