"""Words to systemd: READY, STOPPING, WATCHDOG (sd_notify(3)); silence where no systemd listens."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send one assignment such as `READY=1` to the service manager that started us, if any did."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall(state.encode())
        except OSError:
            return  # a manager that went away must not end the service


def watchdog_interval() -> float | None:
    """Return the seconds between two signs of life that systemd asks for, or None."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdigit() and int(microseconds) > 0 else None
