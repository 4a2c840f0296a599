"""The machine that a bench ran on, as the page of results names it."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

EXT4 = Path("/proc/fs/ext4")
JOURNALS = Path("/proc/fs/jbd2")


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except FileNotFoundError:
        return platform.processor() or "unknown processor"
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def memory_gib() -> float:
    """Return how much memory there is."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def file_system(path: Path) -> str:
    """Return the type of the file system that `path` lies on; an ext4 without a journal is called so.

    There each file that is made first passes all that were deleted beside it within the last minutes,
    and Dovecot makes and deletes a lock for each APPEND: seconds of a server's CPU are the file system's.
    """
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, name, *_ = line.split()
        if str(path.resolve()).startswith(place) and len(place) >= len(best):
            best, kind = place, name
    return f"{kind} without a journal" if kind == "ext4" and not has_journal(device(path)) else kind


def device(path: Path) -> str:
    """Return the name of the block device that `path` lies on; empty where it has none that shows."""
    number = path.stat().st_dev
    try:
        return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").readlink().name
    except OSError:
        return ""


def has_journal(name: str) -> bool:
    """Whether the ext4 on this device has a journal; True where the kernel does not show its ext4s."""
    shown = bool(name) and (EXT4 / name).is_dir()
    return not shown or any(JOURNALS.glob(f"{name}-*"))


def described(mail: Path) -> str:
    """Return one line: processor, cores, memory, kernel, file system of the mail, Python."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cpu_model()}, {cores} cores, {memory_gib():.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"{file_system(mail)}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    )


def busy() -> str:
    """Return how busy the machine was in the last minute, before the bench adds to it."""
    return f"load {os.getloadavg()[0]:.1f} when it began"
