"""Which login names and passwords pass the door.

Names are decoded strictly; control characters, line separators and the separators of master users
(`victim*admin`) are refused, so that nothing typed here can mean two users further on. Passwords
stay octets: 1 to 255, without NUL, CR and LF, which no login form of both protocols can carry.
"""

from __future__ import annotations

import re
import unicodedata

from mailferry.model.access import MAX_PASSWORD_OCTETS, Credentials, Secret

MASTER_SEPARATORS = "*%"
MAX_NAME_OCTETS = 320
"""A local part of 64 octets, `@`, a domain of 255 (RFC 5321 4.5.3.1)."""

_UNSAFE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_LINE_OCTETS = re.compile(rb"[\0\r\n]")
_SEPARATOR = re.compile(f"[{re.escape(MASTER_SEPARATORS)}]")


class RefusedAtTheDoor(ValueError):
    """Credentials that are not tried anywhere; the text repeats nothing of them."""


def typed_credentials(name: bytes, password: bytes, authzid: bytes = b"") -> Credentials:
    """Return what a client typed as credentials; raises `RefusedAtTheDoor`."""
    if authzid not in {b"", name}:
        raise RefusedAtTheDoor("acting as another user is not offered")
    if not name or len(name) > MAX_NAME_OCTETS:
        raise RefusedAtTheDoor("a name of no or too many octets")
    try:
        decoded = name.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedAtTheDoor("a name that is not UTF-8") from None
    if _SEPARATOR.search(decoded):
        raise RefusedAtTheDoor("a separator of master users in a name")
    if not safe_name(decoded):
        raise RefusedAtTheDoor("a control character in a name")
    if not safe_password(password):
        raise RefusedAtTheDoor("a password that no login form can carry")
    return Credentials(decoded, Secret(password))


def safe_name(name: str) -> bool:
    """Whether a name can be sent to a server: no control characters, no line ends, not empty."""
    if name.isascii():
        return name.isprintable() and name != ""
    return not any(unicodedata.category(char) in _UNSAFE for char in name)


def safe_password(password: bytes) -> bool:
    """Whether a password can be sent to a server by every login form."""
    return 0 < len(password) <= MAX_PASSWORD_OCTETS and _LINE_OCTETS.search(password) is None
