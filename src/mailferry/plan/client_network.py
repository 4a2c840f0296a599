"""What counts as one client when guesses are counted."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_LONGEST = 64


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """Return the network of a client's address (digits): an IPv4 address itself, the /64 of IPv6.

    A scope behind `%` does not tell networks apart; what is no address is its own network.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:_LONGEST]
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
