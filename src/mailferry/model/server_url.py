"""Server addresses as an administrator writes them: `imaps://host[:993]?ca=FILE` (contract, section 3)."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from mailferry.model.access import Protocol, Server, TlsMode

_SCHEMES = {
    "imaps": (Protocol.IMAP, TlsMode.IMPLICIT, 993),
    "imap": (Protocol.IMAP, TlsMode.STARTTLS, 143),
    "pop3s": (Protocol.POP3, TlsMode.IMPLICIT, 995),
    "pop3": (Protocol.POP3, TlsMode.STARTTLS, 110),
}
_OPTIONS = ("tls", "ca", "pin", "name", "legacy_tls")
_PIN = re.compile(r"sha256:([0-9a-fA-F]{64})")


class BadServerUrl(ValueError):
    """A server address that cannot be understood; the message says what to write instead."""


def parse_server_url(url: str) -> Server:
    """Return the server that `url` names.

    Raises BadServerUrl for an unknown scheme or option, a missing host, a port out of range,
    or a user name in the address.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError as error:  # brackets that are no IPv6 address
        raise BadServerUrl(f"{url!r}: {error}") from error
    if parts.scheme not in _SCHEMES:
        raise BadServerUrl(f"{url!r}: an address begins with imaps://, imap://, pop3s:// or pop3://")
    protocol, tls, default_port = _SCHEMES[parts.scheme]
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadServerUrl(f"{url!r}: {error}") from error
    if not host or any(c.isspace() or ord(c) < 0x21 for c in host):
        raise BadServerUrl(f"{url!r}: the host name is missing or has blanks in it")
    if parts.username is not None or parts.path not in {"", "/"} or parts.fragment:
        raise BadServerUrl(f"{url!r}: only host, port and options belong into an address")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise BadServerUrl(f"{url!r}: unknown option {unknown[0]!r}; known are {', '.join(_OPTIONS)}")
    if "tls" in options:
        if options["tls"] != "none" or tls is TlsMode.IMPLICIT:
            raise BadServerUrl(f"{url!r}: the only value of tls is none, and only with imap:// or pop3://")
        tls = TlsMode.NONE
    pin = None
    if "pin" in options:
        match = _PIN.fullmatch(options["pin"])
        if match is None:
            raise BadServerUrl(f"{url!r}: a pin is written sha256: and 64 hex digits")
        pin = match[1].lower()
    if options.get("legacy_tls", "no") not in {"yes", "no"}:
        raise BadServerUrl(f"{url!r}: legacy_tls is yes or no")
    return Server(
        protocol=protocol,
        host=host,
        port=default_port if port is None else port,
        tls=tls,
        ca=options.get("ca") or None,
        pin=pin,
        verify_name=options.get("name") or None,
        legacy_tls=options.get("legacy_tls") == "yes",
    )
