"""Loopback ports for what a rehearsal starts."""

from __future__ import annotations

import random
import socket

_choice = random.Random()
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback port below 32768 that nobody listens on, another one each time.

    Ports above are given to outgoing connections by the kernel, which could take one in between.
    Raises OSError when none is found.
    """
    for _ in range(1000):
        port = _choice.randrange(12000, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no free port below 32768")
