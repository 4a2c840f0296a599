"""Whose turn it is to write to a SQLite file: one thread of one process at a time, commit and checkpoint included.

SQLite up to 3.51.2 can lose a committed transaction when one connection commits while another runs
a checkpoint (the "WAL-reset bug"). SQLite's own write lock does not cover the checkpoint that
follows a commit; this lock does. It lives in a file of its own beside the database, because opening
and closing the database file itself would drop SQLite's locks (POSIX locks belong to the process).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from mailferry.store.file_owner import give_to_folders_owner

_FIRST_PAUSE = 0.0001
_LONGEST_PAUSE = 0.01


class TurnMissed(Exception):
    """Another thread or process kept the turn for longer than the caller could wait."""


class WriteTurn:
    """The lock of one database file; made after the fork, used by all threads of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inside = threading.Lock()
        self._descriptor: int | None = None

    def take(self, seconds: float) -> None:
        """Wait for the turn; raises TurnMissed after `seconds`, OSError when the lock file cannot be opened."""
        deadline = time.monotonic() + seconds
        if not self._inside.acquire(timeout=seconds):
            raise TurnMissed
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                give_to_folders_owner(self._descriptor, self._path.parent)
            self._lock(self._descriptor, deadline)
        except BaseException:  # loop edge: whatever it was, the next thread must not wait for ever
            self._inside.release()
            raise

    def give(self) -> None:
        """Hand the turn on."""
        assert self._descriptor is not None
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._inside.release()

    def close(self) -> None:
        """Give the lock file back; the next `held` opens it again."""
        with self._inside:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    @staticmethod
    def _lock(descriptor: int, deadline: float) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TurnMissed from None
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return
