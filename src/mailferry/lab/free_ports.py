"""Loopback ports for what a rehearsal starts."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

HELD_PORTS = 200
"""How many ports one process keeps for those it gave them to."""

_choice = random.Random()
_given: set[int] = set()
_held: deque[int] = deque()
"""Descriptors: whoever ends closes them without a word."""


def free_port() -> int:
    """Return a loopback port below 32768 that nobody listens on, another one each time.

    Ports above are given to outgoing connections by the kernel, which could take one in between. The
    port stays bound here, so that another rehearsal on this machine is not given it before it is used:
    on Linux whoever sets SO_REUSEADDR, as servers do, listens on it all the same.
    Raises OSError when none is found.
    """
    for _ in range(1000):
        port = _choice.randrange(12000, 32000)
        if port in _given:
            continue
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _given.add(port)
        _held.append(held.detach())
        if len(_held) > HELD_PORTS:
            os.close(_held.popleft())
        return port
    raise OSError("no free port below 32768")
