"""Whom a webmail speaks for: the address of its user's browser, in ID before the login (RFC 2971).

`x-originating-ip` and `x-originating-port` are what Dovecot's login takes and webmails send. Whether the
one who says it is believed is decided by whoever carries the dialogue.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from mailferry.wire.imap_values import Value
from mailferry.wire.proxy_header import Endpoint

_HOST, _PORT = b"x-originating-ip", b"x-originating-port"
_LONGEST_PORT = 5


def named_client(fields: Sequence[Value]) -> Endpoint | None:
    """Return the client that ID's list of names and values names, None where it names none in digits.

    A port that is missing or none is 0. Of a name that comes twice the first counts.
    """
    pairs = zip(fields[::2], fields[1::2], strict=False)
    said: dict[bytes, bytes] = {}
    for name, value in pairs:
        if isinstance(name, bytes) and isinstance(value, bytes):
            said.setdefault(name.lower(), value)
    try:
        host = ipaddress.ip_address(said.get(_HOST, b"").decode("ascii"))
    except ValueError:
        return None
    return None if "%" in str(host) else Endpoint(str(host), _port(said.get(_PORT, b"")))


def _port(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _LONGEST_PORT:
        return 0
    port = int(digits)
    return port if port <= 0xFFFF else 0
