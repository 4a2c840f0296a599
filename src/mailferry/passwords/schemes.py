"""Password hashes as a target stores them: `{SCHEME}` and what that scheme makes of the octets.

The prefix alone says what a stored hash is; its body is never guessed at (Dovecot's `{PBKDF2}`
begins like an MD5 hash). Bodies are made by libpass and were checked against `doveadm pw -t`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from passlib.hash import (
    argon2,
    bcrypt,
    ldap_salted_sha1,
    ldap_salted_sha256,
    ldap_salted_sha512,
    md5_crypt,
    sha256_crypt,
    sha512_crypt,
)

from mailferry.model.access import Secret

_BCRYPT_OCTETS = 72

_PREFIXED = re.compile(r"\{([A-Za-z0-9.+-]{1,40})\}(.*)", re.DOTALL)


class UnknownScheme(ValueError):
    """No hash can be made under this name; the text lists the names that can."""


class UnfitPassword(Exception):
    """The scheme cannot hold this password whole, such as over 72 octets in BLF-CRYPT."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    make: Callable[[bytes], str] | None
    """None for schemes that are only read."""
    verify: Callable[[bytes, str], bool]


def _by(maker: Any, strip: str = "") -> _Scheme:
    """Return a scheme of a libpass hash; `strip` is the prefix that libpass itself writes."""
    return _Scheme(
        make=lambda octets: str(maker.hash(octets)).removeprefix(strip),
        verify=lambda octets, body: bool(maker.verify(octets, strip + body)),
    )


def _read_only(scheme: _Scheme) -> _Scheme:
    return _Scheme(None, scheme.verify)


# 19 MiB and two passes: the target pays this at each login, and its login service must have room for it.
_ARGON2ID = _by(argon2.using(type="ID", memory_cost=19456, rounds=2, parallelism=1))
_BCRYPT = _by(bcrypt.using(rounds=11, ident="2y"))
_SHA512_CRYPT = _by(sha512_crypt.using(rounds=100_000))
_SHA256_CRYPT = _by(sha256_crypt.using(rounds=100_000))
_PLAIN = _Scheme(None, lambda octets, body: hmac.compare_digest(octets, body.encode()))

_SCHEMES: Mapping[str, _Scheme] = {
    "ARGON2ID": _ARGON2ID,
    "BLF-CRYPT": _BCRYPT,
    "SHA512-CRYPT": _SHA512_CRYPT,
    "SHA256-CRYPT": _SHA256_CRYPT,
    "SSHA512": _by(ldap_salted_sha512, "{SSHA512}"),
    "SSHA256": _by(ldap_salted_sha256, "{SSHA256}"),
    "SSHA": _by(ldap_salted_sha1, "{SSHA}"),
    # what a site may still have, and nobody should make today
    "ARGON2I": _read_only(_by(argon2)),
    "MD5-CRYPT": _read_only(_by(md5_crypt)),
    "PLAIN": _PLAIN,
    "CLEARTEXT": _PLAIN,
}
_CRYPT: Mapping[str, str] = {
    "$argon2id$": "ARGON2ID",
    "$argon2i$": "ARGON2I",
    "$2y$": "BLF-CRYPT",
    "$2b$": "BLF-CRYPT",
    "$2a$": "BLF-CRYPT",
    "$6$": "SHA512-CRYPT",
    "$5$": "SHA256-CRYPT",
    "$1$": "MD5-CRYPT",
}
"""How crypt(3) bodies begin, for stored hashes without a prefix and for `{CRYPT}`."""

MADE: tuple[str, ...] = tuple(name for name, scheme in _SCHEMES.items() if scheme.make is not None)
"""The names that `[passwords] scheme` may have."""


def make_hash(scheme: str, password: Secret) -> str:
    """Return `{SCHEME}body` of the password's octets. Slow: run it in a thread.

    Raises UnknownScheme, or UnfitPassword when the scheme would not keep every octet.
    """
    found = _SCHEMES.get(scheme)
    if found is None or found.make is None:
        raise UnknownScheme(f"{scheme!r}: a scheme is one of {', '.join(MADE)}")
    octets = password.reveal()
    if scheme == "BLF-CRYPT" and len(octets) > _BCRYPT_OCTETS:
        raise UnfitPassword("BLF-CRYPT would cut this password at 72 octets; set scheme = ARGON2ID")
    if scheme.endswith("-CRYPT") and b"\0" in octets:
        raise UnfitPassword(f"{scheme} would cut this password at a NUL octet")
    return f"{{{scheme}}}{found.make(octets)}"


def holds(stored: str, password: Secret) -> bool | None:
    """Whether the stored hash is of these octets; None when its scheme is not known here."""
    name, body = _split(stored)
    scheme = _SCHEMES.get(name)
    if scheme is None:
        return None
    try:
        return scheme.verify(password.reveal(), body)
    except (ValueError, TypeError):
        return None


def _split(stored: str) -> tuple[str, str]:
    found = _PREFIXED.fullmatch(stored)
    name, body = (found[1].upper(), found[2]) if found is not None else ("CRYPT", stored)
    if name == "CRYPT":
        name = next((scheme for start, scheme in _CRYPT.items() if body.startswith(start)), name)
    return name, body
