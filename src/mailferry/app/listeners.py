"""Listening sockets: bound once by the parent, inherited by the workers.

A worker that dies loses no queued connection, because its successor accepts from the same socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mailferry.config.endpoints import SystemdEndpoint, TcpEndpoint, UnixEndpoint
from mailferry.config.settings import ListenSettings

BACKLOG = 1024
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START


class CannotListen(Exception):
    """A listener that cannot be opened; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener of the configuration with its socket."""

    settings: ListenSettings
    socket: socket.socket

    @property
    def shown(self) -> str:
        """Return service and address as a log line names them."""
        return f"{self.settings.service.value} {self._place} ({self.settings.mode.value})"

    @property
    def _place(self) -> str:
        name = self.socket.getsockname()
        if isinstance(name, str):
            return name
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind_listeners(wanted: Sequence[ListenSettings]) -> list[BoundListener]:
    """Open the socket of each listener, all or none. Raises CannotListen."""
    bound: list[BoundListener] = []
    try:
        for settings in wanted:
            bound.append(BoundListener(settings, _socket_for(settings)))
    except CannotListen:
        for listener in bound:
            listener.socket.close()
        raise
    return bound


def close_doors(listeners: Sequence[BoundListener]) -> None:
    """Let whoever comes from now on be refused at once: nobody would ever accept them.

    Each worker has inherited the sockets, so closing ours alone would leave mail programs waiting for a
    greeting, nginx and Postfix for an answer, and a browser for its page. Sockets that systemd passed are
    its own: who comes meanwhile is served by the next start.
    """
    for listener in listeners:
        if isinstance(listener.settings.endpoint, SystemdEndpoint):
            continue
        with contextlib.suppress(OSError):  # a system on which this means nothing
            listener.socket.shutdown(socket.SHUT_RDWR)
        if isinstance(listener.settings.endpoint, UnixEndpoint):
            _send_away(listener.socket)


def _send_away(shut: socket.socket) -> None:
    """Take those who wait at a socket of the file system; at a TCP port the kernel sends them away itself."""
    with contextlib.suppress(OSError):  # nobody waits any more
        while True:
            shut.accept()[0].close()


def _socket_for(settings: ListenSettings) -> socket.socket:
    endpoint = settings.endpoint
    if isinstance(endpoint, SystemdEndpoint):
        return _passed(endpoint)
    if isinstance(endpoint, UnixEndpoint):
        return _bound_unix(endpoint)
    return _bound(endpoint)


def _bound(endpoint: TcpEndpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.interface else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((endpoint.interface, endpoint.port))
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise CannotListen(f"{endpoint}: {error.strerror}; {_advice(error, endpoint)}") from error
    opened.setblocking(False)
    return opened


def _bound_unix(endpoint: UnixEndpoint) -> socket.socket:
    """Open a socket in the file system; one that a dead service left behind is replaced."""
    path = Path(endpoint.path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            if _somebody_listens(endpoint.path):
                raise CannotListen(f"{endpoint}: somebody listens there; see who with: ss -lxp src {path}")
            path.unlink()
        before = os.umask(0o777 & ~endpoint.mode)
        try:
            opened.bind(endpoint.path)
        finally:
            os.umask(before)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise CannotListen(
            f"{endpoint}: {error.strerror}; the folder must exist and be writable by this user"
        ) from error
    except CannotListen:
        opened.close()
        raise
    opened.setblocking(False)
    return opened


def _somebody_listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        return asking.connect_ex(path) == 0


def _advice(error: OSError, endpoint: TcpEndpoint) -> str:
    if isinstance(error, PermissionError):
        return "a port below 1024 needs CAP_NET_BIND_SERVICE (the systemd unit has it)"
    return f"see who has it with: ss -ltnp sport = :{endpoint.port}"


def _passed(endpoint: SystemdEndpoint) -> socket.socket:
    """Return the socket that systemd passed under the endpoint's name (sd_listen_fds(3))."""
    count = os.environ.get("LISTEN_FDS", "0")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and count.isdigit():
        for number, name in zip(range(int(count)), names, strict=False):
            if name == endpoint.name:
                passed = socket.socket(fileno=_FIRST_PASSED + number)
                passed.setblocking(False)
                return passed
    raise CannotListen(
        f"{endpoint}: systemd passed no socket of that name; a .socket unit needs FileDescriptorName={endpoint.name}"
    )
