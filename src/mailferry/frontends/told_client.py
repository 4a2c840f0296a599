"""Where a mail program connects from, in the words of the server that asks us about its login."""

from __future__ import annotations

import ipaddress

from mailferry.wire.proxy_header import Endpoint


def in_digits(host: str) -> bool:
    """Whether `host` is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def told_client(host: str) -> Endpoint:
    """Return the client that a server names; nobody in particular where it names none."""
    return Endpoint(host if in_digits(host) else "", 0)
