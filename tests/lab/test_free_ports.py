from __future__ import annotations

import socket

import pytest

from mailferry.lab.free_ports import free_port


def test_ports_are_free_distinct_and_below_those_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < 32768


def test_a_port_that_was_given_is_not_free_for_another_and_yet_a_server_can_listen_on_it() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    for _ in range(2):  # a server that is started again as well
        with (
            socket.create_server(("127.0.0.1", port)) as server,
            socket.create_connection(("127.0.0.1", port)) as client,
            server.accept()[0] as accepted,
        ):
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
