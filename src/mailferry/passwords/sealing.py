"""Sealed passwords: octets that only this service can open, only for their account and purpose.

AES-256-GCM under a key per domain and window. Each such key is one file (mode 0600) outside the
database, itself encrypted under the service key; destroying the file ends every copy of what it
sealed, those in back-ups of the database included. So back-ups leave the folder of keys out.

A purpose is part of what is authenticated: what was sealed for the copy alone never opens as a
password that may be pushed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret
from mailferry.passwords.service_key import ServiceKey, sync_folder, write_private
from mailferry.store.file_owner import give_to_folders_owner

_KEY_OCTETS = 32
_NONCE_OCTETS = 12
_PAD_TO = 64
_VERSION = 1
_KEY_FILE_HEAD = b"mailferry key 1\n"
_FILE_SAFE = re.compile(r"[a-z0-9](?:[a-z0-9-]*\.?[a-z0-9])*")


class Purpose(StrEnum):
    """What a sealed password may be used for."""

    PUSH = "push"
    """Logging in at the source, and being set at the target: a confidential witness stood behind it."""
    COPY = "copy"
    """Logging in at the source only: from an import, or from a link that others could read."""


_MARKS = {Purpose.PUSH: b"P", Purpose.COPY: b"C"}
_PURPOSES = {mark: purpose for purpose, mark in _MARKS.items()}


class KeyDestroyed(Exception):
    """The key of this domain and window is gone, and with it everything that it sealed."""


class SealBroken(Exception):
    """The octets were not sealed for this account and purpose, or under another service key."""


class KeyRing:
    """The folder of the windows' keys. All methods block (files); run them in a thread."""

    def __init__(self, folder: Path, service: ServiceKey) -> None:
        self._folder = folder
        self._wrap = AESGCM(service.derive("wrap window keys"))

    def seal(self, domain: str, window: int, account_id: int, purpose: Purpose, password: Secret) -> bytes:
        """Return `password` sealed; its length is hidden up to the next 64 octets.

        Raises KeyDestroyed when the window's key was destroyed: a window is not sealed into again.
        """
        octets = password.reveal()
        if not 1 <= len(octets) <= MAX_PASSWORD_OCTETS:
            raise ValueError("a password has 1 to 255 octets")
        plain = bytes([len(octets)]) + octets
        plain += bytes(-len(plain) % _PAD_TO)
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        bound = _bound(domain, window, account_id, purpose)
        cipher = AESGCM(self._key(domain, window, make=True))
        return bytes([_VERSION]) + _MARKS[purpose] + nonce + cipher.encrypt(nonce, plain, bound)

    def unseal(self, domain: str, window: int, account_id: int, purpose: Purpose, sealed: bytes) -> Secret:
        """Return the password; raises KeyDestroyed or SealBroken."""
        key = self._key(domain, window, make=False)
        if purpose_of(sealed) is not purpose:
            raise SealBroken(f"not sealed for {purpose.value}")
        nonce, cipher = sealed[2 : 2 + _NONCE_OCTETS], sealed[2 + _NONCE_OCTETS :]
        try:
            plain = AESGCM(key).decrypt(nonce, cipher, _bound(domain, window, account_id, purpose))
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the sealed password belongs to another account or was altered") from error
        return Secret(plain[1 : 1 + plain[0]])

    def holds(self, domain: str, window: int) -> bool:
        """Whether the window has a key that was not destroyed."""
        return self._path(domain, window).exists()

    def destroy(self, domain: str, window: int) -> None:
        """Destroy the window's key for ever; safe to repeat."""
        path = self._path(domain, window)
        with contextlib.suppress(FileExistsError):
            self._make_folder()
            write_private(path.with_suffix(".destroyed"), b"")
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            with path.open("r+b") as stream:
                stream.write(secrets.token_bytes(size))
                stream.flush()
                os.fsync(stream.fileno())
            path.unlink()
        sync_folder(self._folder)

    def _key(self, domain: str, window: int, *, make: bool) -> bytes:
        path = self._path(domain, window)
        if path.with_suffix(".destroyed").exists():
            raise KeyDestroyed(f"the key of {domain}, window {window}, was destroyed")
        name = f"{domain}\0{window}".encode()
        if make and not path.exists():
            self._make(path, name)
        try:
            octets = path.read_bytes()
        except FileNotFoundError as error:
            raise KeyDestroyed(f"there is no key of {domain}, window {window}: {path}") from error
        if not octets.startswith(_KEY_FILE_HEAD):
            raise SealBroken(f"{path} is no key file")
        wrapped = octets[len(_KEY_FILE_HEAD) :]
        try:
            return self._wrap.decrypt(wrapped[:_NONCE_OCTETS], wrapped[_NONCE_OCTETS:], name)
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"{path} does not open: is the service key another one than before?") from error

    def _make(self, path: Path, name: bytes) -> None:
        """Make a key; when another process makes one at the same moment, one of the two stays."""
        self._make_folder()
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        wrapped = nonce + self._wrap.encrypt(nonce, secrets.token_bytes(_KEY_OCTETS), name)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        write_private(fresh, _KEY_FILE_HEAD + wrapped)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        sync_folder(self._folder)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            return
        opened = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            give_to_folders_owner(opened, self._folder.parent)
        finally:
            os.close(opened)

    def _path(self, domain: str, window: int) -> Path:
        safe = domain if len(domain) <= 200 and _FILE_SAFE.fullmatch(domain) else _hashed(domain)
        return self._folder / f"{safe}.{int(window)}.key"


def purpose_of(sealed: bytes) -> Purpose:
    """Return what `sealed` was sealed for, by its mark; `unseal` proves it. Raises SealBroken."""
    if len(sealed) < 2 + _NONCE_OCTETS or sealed[0] != _VERSION or sealed[1:2] not in _PURPOSES:
        raise SealBroken("not a sealed password")
    return _PURPOSES[sealed[1:2]]


def _bound(domain: str, window: int, account_id: int, purpose: Purpose) -> bytes:
    return f"mailferry seal 1\0{domain}\0{window}\0{account_id}\0{purpose.value}".encode()


def _hashed(domain: str) -> str:
    return "x-" + hashlib.sha256(domain.encode()).hexdigest()[:32]
