"""Server addresses back to the words that name them (contract, section 3), as the store keeps them."""

from __future__ import annotations

from urllib.parse import urlencode

from mailferry.model.access import Server, TlsMode


def words_of(server: Server) -> str:
    """Return the address that parses to `server`, its options included."""
    options = {
        "tls": "none" if server.tls is TlsMode.NONE else None,
        "ca": server.ca,
        "pin": None if server.pin is None else f"sha256:{server.pin}",
        "name": server.verify_name,
        "legacy_tls": "yes" if server.legacy_tls else None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return f"{server}?{urlencode(given, safe=':/')}" if given else str(server)


def words_or_none(server: Server | None) -> str | None:
    """Return the words of a server, None for none."""
    return None if server is None else words_of(server)
