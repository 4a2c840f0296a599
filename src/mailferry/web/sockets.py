"""The sockets that pages are served on: an answer goes out when it is written."""

from __future__ import annotations

import socket


def send_at_once(listening: socket.socket) -> None:
    """Let no connection that is accepted here hold back the end of an answer.

    An answer is written as its head and its body. The system keeps a body's last, short packet until the
    browser has confirmed what came before, and browsers confirm after 40 ms: each page would take that
    much longer. Connections inherit this from the listening socket; sockets in the file system know no
    such thing.
    """
    if listening.family in {socket.AF_INET, socket.AF_INET6}:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
