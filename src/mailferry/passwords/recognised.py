"""Which typed passwords were the sealed ones: known again in this process without opening the seal.

What was sealed stays what it is as long as its octets are the same, so a login with the password that opened
equal a moment ago needs no key file. Kept is a hash under a key that this process alone has and never writes.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from mailferry.model.access import Secret
from mailferry.passwords.sealing import Purpose

MOST_ACCOUNTS = 20_000
"""Whose login is longest ago is forgotten first: 8 MB at most."""


@dataclass(frozen=True, slots=True, repr=False)
class _Known:
    sealed: bytes
    digest: bytes
    purpose: Purpose


class Recognised:
    """One per process."""

    def __init__(self, *, most: int = MOST_ACCOUNTS) -> None:
        self._key = secrets.token_bytes(32)
        self._most = most
        self._known: dict[int, _Known] = {}

    def note(self, account_id: int, sealed: bytes, password: Secret, purpose: Purpose) -> None:
        """Remember that `sealed` was opened and holds `password`."""
        self._known.pop(account_id, None)
        self._known[account_id] = _Known(sealed, self._digest(password), purpose)  # at the end
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    def purpose(self, account_id: int, sealed: bytes | None, password: Secret) -> Purpose | None:
        """Return for what `sealed` holds just this password, None where that is not known."""
        known = self._known.get(account_id)
        if known is None or known.sealed != sealed:
            return None
        return known.purpose if hmac.compare_digest(known.digest, self._digest(password)) else None

    def _digest(self, password: Secret) -> bytes:
        return hmac.digest(self._key, password.reveal(), "sha256")
