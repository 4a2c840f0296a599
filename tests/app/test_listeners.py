from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from mailferry.app.listeners import BoundListener, CannotListen, bind_listeners, close_doors
from mailferry.config.endpoints import SystemdEndpoint, TcpEndpoint, UnixEndpoint
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


def unix_listener(path: Path, mode: int = 0o660) -> ListenSettings:
    return listener(0).model_copy(
        update={"service": ServiceName.SASL, "endpoint": UnixEndpoint(str(path), mode)}
    )


def test_a_socket_in_the_file_system_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "sasl"
    (bound,) = bind_listeners([unix_listener(path, 0o606)])
    with bound.socket:
        assert stat.S_IMODE(path.stat().st_mode) == 0o606
        assert bound.shown == f"sasl {path} (none)"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_that_a_dead_service_left_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sasl"
    (dead,) = bind_listeners([unix_listener(path)])
    dead.socket.close()
    (alive,) = bind_listeners([unix_listener(path)])
    with alive.socket, pytest.raises(CannotListen, match="somebody listens there"):
        bind_listeners([unix_listener(path)])


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "sasl"
    path.write_text("somebody's")
    with pytest.raises(CannotListen, match="folder must exist"):
        bind_listeners([unix_listener(path)])
    assert path.read_text() == "somebody's"


def test_a_door_of_our_own_is_shut_for_all_who_hold_its_socket_and_one_of_systemds_stays() -> None:
    (own,) = bind_listeners([listener(0)])
    with own.socket, own.socket.dup() as of_a_worker, socket.create_server(("127.0.0.1", 0)) as passed:
        settings = listener(0).model_copy(update={"endpoint": SystemdEndpoint("imap")})
        close_doors([own, BoundListener(settings, passed)])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(of_a_worker.getsockname())
        socket.create_connection(passed.getsockname()).close()


def test_who_asks_at_a_socket_in_the_file_system_is_sent_away_too_and_nobody_is_left_waiting(
    tmp_path: Path,
) -> None:
    (own,) = bind_listeners([unix_listener(tmp_path / "sasl")])
    with (
        own.socket,
        own.socket.dup(),  # a worker's, which lives on for as long as its last session
        socket.socket(socket.AF_UNIX) as waiting,
        socket.socket(socket.AF_UNIX) as late,
    ):
        waiting.settimeout(5)
        waiting.connect(str(tmp_path / "sasl"))
        close_doors([own])
        assert waiting.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            late.connect(str(tmp_path / "sasl"))
