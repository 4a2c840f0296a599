"""The file of one window's key: the key, encrypted under each service key that may open it.

Usually that is one. While the service key is changed (`passwords/rotation`) it is two, so that
processes which still work with the old one and those which have read the new one both go on.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailferry.passwords.service_key import ServiceKey

KEY_OCTETS = 32
_NONCE_OCTETS = 12
_TAG_OCTETS = 16
_MARK_OCTETS = 8
_CIPHER_OCTETS = KEY_OCTETS + _TAG_OCTETS
_WRAP_OCTETS = _MARK_OCTETS + _NONCE_OCTETS + _CIPHER_OCTETS
_HEAD = b"mailferry key 2\n"
_FIRST_HEAD = b"mailferry key 1\n"
"""Of the files before wraps had marks: one wrap, without."""


class NoKeyFile(ValueError):
    """The octets are not those of a key file."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """The window's key under one service key, which is named by its mark (empty: unknown)."""

    mark: bytes
    nonce: bytes
    cipher: bytes


class Wrapper:
    """Wraps and opens window keys under one service key. `name` is bound to the wrap."""

    def __init__(self, service: ServiceKey) -> None:
        self._cipher = AESGCM(service.derive("wrap window keys"))
        self.mark = service.derive("mark of wraps")[:_MARK_OCTETS]

    def wrap(self, name: bytes, key: bytes) -> Wrap:
        """Return `key` encrypted."""
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return Wrap(self.mark, nonce, self._cipher.encrypt(nonce, key, name))

    def open(self, name: bytes, wraps: Sequence[Wrap]) -> bytes | None:
        """Return the key, None when no wrap is ours."""
        for wrap in wraps:
            if wrap.mark in {self.mark, b""}:
                try:
                    return self._cipher.decrypt(wrap.nonce, wrap.cipher, name)
                except InvalidTag:
                    continue
        return None


def written(wraps: Sequence[Wrap]) -> bytes:
    """Return the octets of a key file."""
    return _HEAD + b"".join(wrap.mark + wrap.nonce + wrap.cipher for wrap in wraps)


def read(octets: bytes) -> list[Wrap]:
    """Return the wraps of a key file; raises NoKeyFile."""
    if octets.startswith(_FIRST_HEAD) and len(octets) == len(_FIRST_HEAD) + _WRAP_OCTETS - _MARK_OCTETS:
        body = octets[len(_FIRST_HEAD) :]
        return [Wrap(b"", body[:_NONCE_OCTETS], body[_NONCE_OCTETS:])]
    body = octets[len(_HEAD) :]
    if not octets.startswith(_HEAD) or not body or len(body) % _WRAP_OCTETS:
        raise NoKeyFile
    found = []
    for at in range(0, len(body), _WRAP_OCTETS):
        one = body[at : at + _WRAP_OCTETS]
        rest = one[_MARK_OCTETS:]
        found.append(Wrap(one[:_MARK_OCTETS], rest[:_NONCE_OCTETS], rest[_NONCE_OCTETS:]))
    return found
