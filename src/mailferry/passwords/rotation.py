"""Changing the service key: every window's key is encrypted anew, while the service works.

First each key file opens under both keys, then the new one becomes the service's, then the old one
opens nothing any more. Killed anywhere in between, all files open under the key that counts then, and
the next call goes on. Running processes read the new key when a file no longer opens for them.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailferry.model.access import Secret
from mailferry.observe.crash_points import crash_point
from mailferry.passwords import wrapping
from mailferry.passwords.sealing import DESTROYED, bound_name, file_name, folder_lock, fresh_beside, overwrite
from mailferry.passwords.service_key import (
    FILE_NAME,
    BadServiceKey,
    ServiceKey,
    service_key,
    sync_folder,
    write_private,
)
from mailferry.passwords.wrapping import NoKeyFile, Wrapper

_KEY_OCTETS = 32
NEXT = ".next"
"""Behind the name of the service key's file: the key that takes its place when all files open under it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """How many key files open under the new key, and which open under neither."""

    files: int
    unopened: tuple[str, ...] = ()


def rotate_own(state_dir: Path, folder: Path, domains: Iterable[str]) -> Rotated:
    """Give the service a new key in place of the one in `state_dir`; `domains` are all names ever moved.

    Raises BadServiceKey, OSError.
    """
    names = list(domains)
    path = state_dir / FILE_NAME
    following = path.with_name(FILE_NAME + NEXT)
    old = service_key(None, state_dir)
    _must_exist(folder)
    with folder_lock(folder, alone=True):
        if not following.exists():
            fresh = fresh_beside(following)
            write_private(fresh, base64.b64encode(secrets.token_bytes(_KEY_OCTETS)) + b"\n")
            fresh.replace(following)
            sync_folder(state_dir)
        new = _read(following)
        _rewrap(folder, names, opens=(old, new), under=(old, new))
        crash_point("keys-wrapped-twice")
        with path.open("r+b") as before:
            following.replace(path)
            sync_folder(state_dir)
            crash_point("service-key-changed")
            done = _rewrap(folder, names, opens=(new, old), under=(new,))
            overwrite(before.fileno())
    for left in state_dir.glob(f".{FILE_NAME}*.*"):
        left.unlink()
    return done


def wrap_for(folder: Path, domains: Iterable[str], present: ServiceKey, following: ServiceKey) -> Rotated:
    """Let every key file open under `following` as well, before the service is told to use it."""
    _must_exist(folder)
    with folder_lock(folder, alone=True):
        return _rewrap(folder, list(domains), opens=(present, following), under=(present, following))


def leave_behind(folder: Path, domains: Iterable[str], present: ServiceKey, former: ServiceKey) -> Rotated:
    """Let every key file open under `present` alone, once the service uses it everywhere."""
    _must_exist(folder)
    with folder_lock(folder, alone=True):
        return _rewrap(folder, list(domains), opens=(present, former), under=(present,))


def _rewrap(
    folder: Path,
    domains: list[str],
    *,
    opens: tuple[ServiceKey, ...],
    under: tuple[ServiceKey, ...],
) -> Rotated:
    """Write each key file anew, for the keys `under`; a file that no key of `opens` opens stays as it is."""
    openers = [Wrapper(key) for key in opens]
    wrappers = [Wrapper(key) for key in under]
    wanted = [wrapper.mark for wrapper in wrappers]
    files = 0
    unopened = []
    for path, name in _key_files(folder, domains):
        try:
            wraps = wrapping.read(path.read_bytes())
        except NoKeyFile:
            unopened.append(path.name)
            continue
        key = next((key for one in openers if (key := one.open(name, wraps)) is not None), None)
        if key is None:
            unopened.append(path.name)
            continue
        files += 1
        if [wrap.mark for wrap in wraps] != wanted:
            _replace(path, wrapping.written([wrapper.wrap(name, key) for wrapper in wrappers]))
            crash_point("key-wrapped-anew")
    _sweep(folder)
    return Rotated(files, tuple(unopened))


def _key_files(folder: Path, domains: list[str]) -> Iterator[tuple[Path, bytes]]:
    """Yield each key file with what its wraps are bound to."""
    known = {file_name(domain): domain for domain in domains}
    for path in sorted(folder.glob("*.key")):
        start, _, window = path.stem.rpartition(".")
        if window.isdecimal() and not path.with_suffix(DESTROYED).exists():
            yield path, bound_name(known.get(start, start), int(window))


def _replace(path: Path, octets: bytes) -> None:
    """Put new octets in the place of a key file, and nothing readable in that of its old ones."""
    fresh = fresh_beside(path)
    write_private(fresh, octets)
    with path.open("r+b") as before:
        fresh.replace(path)
        sync_folder(path.parent)
        overwrite(before.fileno())


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: nobody writes while the folder is held alone."""
    for left in folder.glob(".*.key.*"):
        with left.open("r+b") as stream:
            overwrite(stream.fileno())
            left.unlink()
    sync_folder(folder)


def _read(path: Path) -> ServiceKey:
    try:
        return ServiceKey(Secret(path.read_bytes().strip()))
    except BadServiceKey as error:
        raise BadServiceKey(f"{path}: {error}") from None


def _must_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise BadServiceKey(f"{folder}: there is no folder of keys; has the service ever run here?")
