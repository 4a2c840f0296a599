"""Dovecot's users file: `user:{SCHEME}hash:uid:gid:...`, one line a user.

The file is replaced as a whole (written beside, fsynced, renamed), so that a reader sees the old or
the new one and a crash leaves one of them. Our own writers take turns by a lock file beside it.
Other fields, comments, order, mode and owner stay as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mailferry.model.causes import Cause, Unavailable
from mailferry.passwords.backend import NewPassword, PushResult
from mailferry.passwords.service_key import sync_folder
from mailferry.passwords.work_threads import WorkThreads


class PasswdFile:
    """One users file."""

    name = "passwd-file"
    pushes = True
    readable = True

    def __init__(self, path: Path, *, threads: WorkThreads, create: bool = False) -> None:
        self._path = path
        self._threads = threads
        self._create = create

    async def current(self, address: str) -> str | None:
        """Return the hash of the first line for `address`."""
        return await self._threads.run(lambda: self._current(address))

    async def push(self, address: str, new: NewPassword, *, expected: str | None) -> PushResult:
        """Replace the hash in the line for `address`, or append one where lines may be made."""
        return await self._threads.run(lambda: self._push(address, new.stored, expected))

    def _current(self, address: str) -> str | None:
        with _clearly(self._path):
            lines = self._path.read_bytes().splitlines(keepends=True)
        return _hash_in(lines, _user(address))[1]

    def _push(self, address: str, new_hash: str, expected: str | None) -> PushResult:
        user, octets = _user(address), new_hash.encode()
        if b":" in octets or not new_hash.isprintable():
            raise ValueError("a hash has no colon and no control characters")
        with _clearly(self._path), self._turn() as path:
            lines = path.read_bytes().splitlines(keepends=True)
            number, present = _hash_in(lines, user)
            if present != expected:
                return PushResult.MISSING if present is None else PushResult.CONFLICT
            if number is None:
                if not self._create:
                    return PushResult.MISSING
                if lines and not lines[-1].endswith(b"\n"):
                    lines[-1] += b"\n"
                lines.append(user + b":" + octets + b"\n")
                _replace(path, b"".join(lines))
                return PushResult.CREATED
            lines[number] = _with_hash(lines[number], octets)
            _replace(path, b"".join(lines))
            return PushResult.DONE

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Path]:
        """Hold the lock; yields the file itself, behind any symbolic link."""
        path = self._path.resolve(strict=True)
        lock = os.open(
            path.with_name(f".{path.name}.mailferry-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(lock)


@contextlib.contextmanager
def _clearly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(Cause.TARGET_DOWN, f"password file {path}: {error.strerror}") from error


def _user(address: str) -> bytes:
    if not address or ":" in address or address.startswith("#") or not address.isprintable():
        raise ValueError("an address that cannot stand in a users file")
    return address.encode()


def _hash_in(lines: list[bytes], user: bytes) -> tuple[int | None, str | None]:
    """Return number and hash of the first line of `user`; Dovecot, too, takes the first."""
    for number, line in enumerate(lines):
        name, colon, rest = line.rstrip(b"\r\n").partition(b":")
        if colon and name == user:
            return number, rest.partition(b":")[0].decode("utf-8", "surrogateescape")
    return None, None


def _with_hash(line: bytes, octets: bytes) -> bytes:
    body = line.rstrip(b"\r\n")
    name, _, rest = body.partition(b":")
    _, colon, others = rest.partition(b":")
    return name + b":" + octets + colon + others + line[len(body) :]


def _replace(path: Path, octets: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    before = path.stat()
    with contextlib.ExitStack() as tidy:
        tidy.callback(fresh.unlink, missing_ok=True)  # whatever goes wrong, no copy of the hashes stays
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            os.fchmod(stream.fileno(), before.st_mode & 0o7777)
            stream.write(octets)
            stream.flush()
            _date_later(stream.fileno(), before)
            os.fsync(stream.fileno())
        fresh.replace(path)
    sync_folder(path.parent)


def _date_later(descriptor: int, before: os.stat_result) -> None:
    """Give the file a later second than the one before it.

    Dovecot reads its file again when the size or the second of the change differs: of two passwords of
    equal length that are set within a second it would never see the later one, and go on taking the earlier.
    """
    earliest = int(before.st_mtime) + 1
    if os.fstat(descriptor).st_mtime < earliest:
        os.utime(descriptor, (earliest, earliest))
