"""The folder through which all processes of the service share their metrics.

prometheus-client decides at its first import whether values live in files; so the parent calls
`share_metrics_in` before anything imports `observe.metrics`, and the children inherit it.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
RESERVED_OCTETS = 256 * 1024
"""Disk space of one file of values: some eight hundred series."""

_EMPTY = 8
"""Octets that are used in a file without a value: the count itself and its padding."""


def share_metrics_in(folder: Path) -> bool:
    """Make `folder` ready, empty of an earlier run's files, and name it to the metrics library.

    Returns False when the library was imported before: its values stay inside this process then, and
    the program must begin anew in the environment that now names the folder. Raises OSError where the
    folder cannot be made, or its disk is full.
    """
    if os.environ.get(VARIABLE) == str(folder):
        return True  # begun anew already; files in the folder are this run's own
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink(missing_ok=True)
    room = folder / "room"
    _reserve(room)
    room.unlink()
    os.environ[VARIABLE] = str(folder)
    return "prometheus_client.values" not in sys.modules


def reserve_for_this_process(parent: int) -> None:
    """Allocate the files of this process's values, before the first of them is written.

    The library writes through maps of files with holes: where a full disk has no room for a page, the
    write would end the process by SIGBUS, and every session in it. `parent` is the process that
    declared the metrics. Raises OSError when there is no room.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    behind = f"_{parent}.db"
    for declared in Path(folder).glob(f"*{behind}"):
        _reserve(declared.with_name(f"{declared.name.removesuffix(behind)}_{os.getpid()}.db"))


def give_back_room_of(dead: int) -> None:
    """Cut the files of a dead process to what is used in them: its counts stay on the page."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    for path in Path(folder).glob(f"*_{dead}.db"):
        with path.open("rb") as file:
            used = int(struct.unpack("i", file.read(4).ljust(4, b"\0"))[0])
        if used <= _EMPTY:
            path.unlink()
        else:
            os.truncate(path, used)


def _reserve(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RESERVED_OCTETS)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.ENOSYS}:
            path.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)
