"""Pages leave when they are written: no answer waits for the browser to confirm its first half."""

from __future__ import annotations

import socket
from pathlib import Path

from mailferry.web.sockets import send_at_once


def test_connections_that_are_accepted_hold_nothing_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        send_at_once(listening)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_socket_in_the_file_system_is_left_as_it_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "s"))
        send_at_once(listening)
