"""Verifiers: slow hashes by which a password is known again without being kept.

argon2id with 19 MiB and two passes. These functions take tens of milliseconds and block; they run
in `WorkThreads`.
"""

from __future__ import annotations

from collections.abc import Iterable

from passlib.hash import argon2

from mailferry.model.access import Secret

_SLOW = argon2.using(type="ID", memory_cost=19456, rounds=2, parallelism=1)


def make_verifier(password: Secret) -> str:
    """Return a fresh verifier of the password's octets."""
    return str(_SLOW.hash(password.reveal()))


def matches(verifier: str | None, password: Secret) -> bool:
    """Whether `verifier` was made from these octets; False for none and for what is no verifier."""
    if verifier is None:
        return False
    try:
        return bool(_SLOW.verify(password.reveal(), verifier))
    except (ValueError, TypeError):
        return False


def matches_any(verifiers: Iterable[str], password: Secret) -> bool:
    """Whether one of them does."""
    return any(matches(verifier, password) for verifier in verifiers)
