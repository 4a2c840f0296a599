"""The service's one key: made on first start, kept outside the database, never used directly.

Each use derives a key of its own (HKDF-SHA256, RFC 5869): wrapping the windows' keys, the keyed
hashes of remembered refusals, the hashes that stand for addresses in the log.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailferry.model.access import Secret
from mailferry.store.file_owner import give_to_folders_owner

FILE_NAME = "mailferry.key"
FEWEST_OCTETS = 16
_OCTETS = 32


class BadServiceKey(Exception):
    """The key cannot be read, or is too short to protect anything; the text says what to do."""


class ServiceKey:
    """The key from which the others are derived."""

    __slots__ = ("_secret",)

    def __init__(self, secret: Secret) -> None:
        if len(secret) < FEWEST_OCTETS:
            raise BadServiceKey(
                f"the service key has under {FEWEST_OCTETS} octets; write at least 32 random ones"
            )
        self._secret = secret

    def __repr__(self) -> str:
        return "ServiceKey(***)"

    def derive(self, purpose: str) -> bytes:
        """Return 32 octets that are good for `purpose` and tell nothing about those for another."""
        expand = HKDF(algorithm=SHA256(), length=_OCTETS, salt=None, info=b"mailferry " + purpose.encode())
        return expand.derive(self._secret.reveal())


def service_key(configured: Secret | None, state_dir: Path) -> ServiceKey:
    """Return the configured key, else the one in `state_dir`, which is made (mode 0600) when missing.

    Raises BadServiceKey.
    """
    if configured is not None:
        return ServiceKey(configured)
    path = state_dir / FILE_NAME
    try:
        _make_if_missing(path)
        octets = path.read_bytes().strip()
    except OSError as error:
        raise BadServiceKey(f"{path}: {error.strerror}") from error
    try:
        return ServiceKey(Secret(octets))
    except BadServiceKey as error:
        raise BadServiceKey(f"{path}: {error}") from None


def _make_if_missing(path: Path) -> None:
    if path.exists():
        return
    octets = base64.b64encode(secrets.token_bytes(_OCTETS)) + b"\n"
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_private(fresh, octets)
    try:
        os.link(fresh, path)  # fails when another process was first, whose key then counts
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    sync_folder(path.parent)


def write_private(path: Path, octets: bytes) -> None:
    """Write a new file that only its owner may read, durably; raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        give_to_folders_owner(descriptor, path.parent)
        stream.write(octets)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
