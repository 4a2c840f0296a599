"""A Dovecot passwd-file as a lab target reads it: `address:{SCHEME}hash[:...]`, looked up anew at each login.

Written apart from the product's own reader and hashers, on passlib's primitives only.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from passlib.hash import argon2, bcrypt, ldap_salted_sha512, sha256_crypt, sha512_crypt

_HASHERS = {
    "ARGON2ID": argon2,
    "ARGON2I": argon2,
    "BLF-CRYPT": bcrypt,
    "SHA512-CRYPT": sha512_crypt,
    "SHA256-CRYPT": sha256_crypt,
}


def stored_hash(path: Path, address: str) -> str | None:
    """Return the hash field of an address, None when the file or the line is missing or the field is empty."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0].lower() == address.lower() and len(fields) > 1:
            return fields[1] or None
    return None


def write_hash(path: Path, address: str, stored: str) -> None:
    """Set the hash field of an address, behind the product's back."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    changed, found = [], False
    for line in lines:
        fields = line.split(":")
        if fields[0].lower() == address.lower():
            found = True
            fields[1:2] = [stored]
        changed.append(":".join(fields))
    if not found:
        changed.append(f"{address}:{stored}")
    path.write_text("\n".join(changed) + "\n", "utf-8")


def verify(stored: str, password: bytes) -> bool:
    """Say whether the password fits a `{SCHEME}hash`; a scheme the lab does not know fits nothing."""
    scheme, closed, body = stored.removeprefix("{").partition("}")
    if not stored.startswith("{") or not closed:
        return False
    if scheme == "PLAIN":
        return hmac.compare_digest(body.encode(), password)
    if scheme == "SSHA512":
        return bool(ldap_salted_sha512.verify(password, stored))
    hasher = _HASHERS.get(scheme.removesuffix(".CRYPT"))
    return hasher is not None and bool(hasher.verify(password, body))
