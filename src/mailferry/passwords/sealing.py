"""Sealed passwords: octets that only this service can open, only for their account and purpose.

AES-256-GCM under a key per domain and window. Each such key is one file (mode 0600) outside the
database, itself encrypted under the service key (`passwords/wrapping`); destroying the file ends every
copy of what it sealed, those in back-ups of the database included. So back-ups leave the folder of
keys out.

A purpose is part of what is authenticated: what was sealed for the copy alone never opens as a
password that may be pushed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret
from mailferry.passwords import wrapping
from mailferry.passwords.service_key import BadServiceKey, ServiceKey, sync_folder, write_private
from mailferry.passwords.wrapping import NoKeyFile, Wrapper
from mailferry.store.file_owner import give_to_folders_owner

_NONCE_OCTETS = 12
_PAD_TO = 64
_VERSION = 1
_FILE_SAFE = re.compile(r"[a-z0-9](?:[a-z0-9-]*\.?[a-z0-9])*")
_SUFFIX = ".key"
DESTROYED = ".destroyed"


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
    """The folder of the windows' keys. All methods block (files); run them in a thread.

    `newest` reads the service key again: it is asked when a key file does not open, because the key
    may have been changed while this process works. None where it cannot be read again.
    """

    def __init__(
        self, folder: Path, service: ServiceKey, *, newest: Callable[[], ServiceKey] | None = None
    ) -> None:
        self._folder = folder
        self._wrapper = Wrapper(service)
        self._newest = newest

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

    def windows(self, domain: str) -> list[int]:
        """Return the numbers of the domain's windows that have keys."""
        start = file_name(domain) + "."
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                number = path.stem.removeprefix(start)
                if path.name == f"{start}{number}{_SUFFIX}" and number.isdecimal():
                    found.append(int(number))
        return sorted(found)

    def destroy(self, domain: str, window: int) -> None:
        """Destroy the window's key for ever, with what a crash may have left of it; safe to repeat."""
        path = self._path(domain, window)
        with contextlib.suppress(FileExistsError):
            self._make_folder()
            write_private(path.with_suffix(DESTROYED), b"")
        with folder_lock(self._folder, alone=True):
            for one in (path, *self._folder.glob(f".{path.name}.*")):
                with contextlib.suppress(FileNotFoundError), one.open("r+b") as stream:
                    overwrite(stream.fileno())
                    one.unlink()
        sync_folder(self._folder)

    def _key(self, domain: str, window: int, *, make: bool) -> bytes:
        path = self._path(domain, window)
        if path.with_suffix(DESTROYED).exists():
            raise KeyDestroyed(f"the key of {domain}, window {window}, was destroyed")
        name = bound_name(domain, window)
        if make and not path.exists():
            self._make(path, name)
        key = self._opened(path, name)
        if key is None:  # the service key may have been changed, or the file is being replaced
            self._read_service_key_again()
            key = self._opened(path, name)
        if key is None:
            raise SealBroken(f"{path} does not open: is it a key file, and the service key that of before?")
        return key

    def _opened(self, path: Path, name: bytes) -> bytes | None:
        """Return the key in the file; None when it does not open, or is being replaced in this moment."""
        try:
            return self._wrapper.open(name, wrapping.read(path.read_bytes()))
        except FileNotFoundError as error:
            raise KeyDestroyed(f"there is no key file {path}") from error
        except NoKeyFile:
            return None

    def _read_service_key_again(self) -> None:
        if self._newest is not None:
            try:
                self._wrapper = Wrapper(self._newest())
            except BadServiceKey as error:
                raise SealBroken(str(error)) from error

    def _make(self, path: Path, name: bytes) -> None:
        """Make a key; when another process makes one at the same moment, one of the two stays."""
        self._make_folder()
        with folder_lock(self._folder, alone=False):
            if path.with_suffix(DESTROYED).exists():
                return
            self._read_service_key_again()  # nobody changes it while we hold the folder
            wrap = self._wrapper.wrap(name, secrets.token_bytes(wrapping.KEY_OCTETS))
            fresh = fresh_beside(path)
            write_private(fresh, wrapping.written([wrap]))
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
        return self._folder / f"{file_name(domain)}.{int(window)}{_SUFFIX}"


@contextlib.contextmanager
def folder_lock(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the folder of keys: makers of keys together, who changes or destroys them alone."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(held)


def fresh_beside(path: Path) -> Path:
    """Return a name of this process's own, for what becomes the key file `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def overwrite(descriptor: int) -> None:
    """Write random octets over all of an open file, durably."""
    os.pwrite(descriptor, secrets.token_bytes(os.fstat(descriptor).st_size), 0)
    os.fsync(descriptor)


def purpose_of(sealed: bytes) -> Purpose:
    """Return what `sealed` was sealed for, by its mark; `unseal` proves it. Raises SealBroken."""
    if len(sealed) < 2 + _NONCE_OCTETS or sealed[0] != _VERSION or sealed[1:2] not in _PURPOSES:
        raise SealBroken("not a sealed password")
    return _PURPOSES[sealed[1:2]]


def _bound(domain: str, window: int, account_id: int, purpose: Purpose) -> bytes:
    return f"mailferry seal 1\0{domain}\0{window}\0{account_id}\0{purpose.value}".encode()


def bound_name(domain: str, window: int) -> bytes:
    """Return what a wrapped key is bound to."""
    return f"{domain}\0{window}".encode()


def file_name(domain: str) -> str:
    """Return the domain as the start of a file's name."""
    if len(domain) <= 200 and _FILE_SAFE.fullmatch(domain):
        return domain
    return "x-" + hashlib.sha256(domain.encode()).hexdigest()[:32]
