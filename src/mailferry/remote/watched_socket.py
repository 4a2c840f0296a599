"""Connections for work in threads: dialled where it is permitted only, and ended when their time is over.

Mail sessions are the carriers' (net/); this is for a webhook or a mail relay, a few messages an hour.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Permitted = Callable[[IpAddress], bool]


class NotSent(Exception):
    """What was to be sent was not taken, as far as we know; the text is one line for an administrator's log.

    `retry_after` is in seconds, when the other side named a time.
    """

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def dial(host: str, port: int, *, permitted: Permitted, timeout: float) -> socket.socket:
    """Return a connection to the first address of `host` that is permitted; raises NotSent, OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise NotSent(f"{host} does not resolve: {error.strerror}") from error
    allowed = [row for row in found if permitted(ipaddress.ip_address(str(row[4][0]).partition("%")[0]))]
    if not allowed:
        raise NotSent(f"{host} is in a private network that allow_networks does not name")
    family, kind, protocol, _, address = allowed[0]
    connection = socket.socket(family, kind, protocol)
    connection.settimeout(timeout)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def tls_context(ca: str | None) -> ssl.SSLContext:
    """Return terms under which the other side shows a certificate of its name; raises OSError for a bad file."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def ended_after(seconds: float, connection: Callable[[], socket.socket | None]) -> Iterator[None]:
    """End the connection when the work inside lasts longer: a trickle of octets outlives every time limit for one."""

    def end() -> None:
        current = connection()
        if current is not None:
            try:
                current.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is over already

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
