from __future__ import annotations

import socket

import pytest

from mailferry.app.listeners import CannotListen, bind_listeners
from mailferry.config.endpoints import SystemdEndpoint, TcpEndpoint
from mailferry.config.settings import ListenSettings, ServiceName


def listener(port: int) -> ListenSettings:
    return ListenSettings.model_construct(
        service=ServiceName.IMAP,
        endpoint=TcpEndpoint(port, "127.0.0.1"),
        tls=None,
        proxy_protocol_from=(),
        plaintext_login=False,
    )


def test_a_listener_is_bound_and_accepts() -> None:
    (bound,) = bind_listeners([listener(0)])
    with bound.socket, socket.create_connection(bound.socket.getsockname()):
        assert bound.shown.startswith("imap 127.0.0.1:")


def test_a_taken_port_is_told_with_the_command_that_shows_who_has_it() -> None:
    (bound,) = bind_listeners([listener(0)])
    port = bound.socket.getsockname()[1]
    with bound.socket, pytest.raises(CannotListen, match=f"ss -ltnp sport = :{port}"):
        bind_listeners([listener(0), listener(port)])


def test_a_systemd_listener_without_its_socket_says_what_the_unit_needs() -> None:
    wanted = listener(0).model_copy(update={"endpoint": SystemdEndpoint("imap")})
    with pytest.raises(CannotListen, match="FileDescriptorName=imap"):
        bind_listeners([wanted])
