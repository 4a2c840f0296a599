"""How a server is reached and how one logs in there: nouns without behaviour.

A *server* is an address with its TLS terms; *credentials* are what one login sends.
Passwords are octets (1 to 255): nothing here decodes, normalises or transcodes them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

MAX_PASSWORD_OCTETS = 255


class Protocol(StrEnum):
    """The protocol of a mail access session."""

    IMAP = "imap"
    POP3 = "pop3"


class Side(StrEnum):
    """Which of the two hosts of a move: the old one or the new one."""

    SOURCE = "source"
    TARGET = "target"


class TlsMode(StrEnum):
    """When a connection becomes TLS."""

    IMPLICIT = "implicit"  # from the first octet (RFC 8314)
    STARTTLS = "starttls"  # required after the greeting (RFC 3501 6.2.1, RFC 2595)
    NONE = "none"


class Secret:
    """Octets that must not be seen: no readable repr, no str, no pickle, compared in constant time.

    `reveal()` is the only way to the octets; each caller of it is a place to look at in a review.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = bytes(octets)

    def reveal(self) -> bytes:
        """Return the octets themselves."""
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __bool__(self) -> bool:
        return bool(self._octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    __hash__ = None  # type: ignore[assignment]  # a hashed secret would sit in some set or dict

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one login sends.

    `authcid` is the name that the password belongs to. `authzid` is the user to act as (RFC 4616),
    empty for oneself; a frontend never fills it from the client.
    """

    authcid: str
    password: Secret
    authzid: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One mail server's address and the terms of TLS to it (contract, section 3)."""

    protocol: Protocol
    host: str
    port: int
    tls: TlsMode
    ca: str | None = None
    """File of certificate authorities instead of the system's."""
    pin: str | None = None
    """Hex sha256 of the certificate (DER); replaces chain and name checks."""
    verify_name: str | None = None
    """Name the certificate must carry when it is not `host`."""
    legacy_tls: bool = False
    """TLS 1.0 and old ciphers, for very old sources only."""
    proxy_header: bool = False
    """A PROXY header goes ahead of each connection; its listener takes no other."""

    def __str__(self) -> str:
        scheme = self.protocol.value + ("s" if self.tls is TlsMode.IMPLICIT else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"
