"""Who may be spoken to without TLS: this machine itself, or a server somebody has accepted by name.

The source's OK is a licence to set a password, so a link that anybody can read or write on is
refused unless one setting accepts it.
"""

from __future__ import annotations

import ipaddress

from pydantic import ValidationInfo

from mailferry.model.access import Server, TlsMode


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its very spelling; names are not looked up."""
    name = host.rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def in_clear(server: Server) -> bool:
    """Whether what is said to `server` can be read on the way."""
    return server.tls is TlsMode.NONE and not is_loopback(server.host)


def in_confidence(server: Server | None, info: ValidationInfo) -> Server | None:
    """Check a field under the key `accept_plaintext` of its table, which must stand before it."""
    if server is not None and (
        fault := plaintext_fault(server, accepted=bool(info.data.get("accept_plaintext")))
    ):
        raise ValueError(fault)
    return server


def plaintext_fault(server: Server, *, accepted: bool) -> str | None:
    """Return what is wrong when `server` would be spoken to in clear without anybody's consent."""
    if accepted or not in_clear(server):
        return None
    return (
        f"{server} would send passwords in clear to another machine; use {server.protocol.value}s:// "
        f"or {server.protocol.value}:// with STARTTLS, or set accept_plaintext = true"
    )
