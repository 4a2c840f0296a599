"""The machine that a bench ran on, as the page of results names it."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path


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
    """Return the type of the file system that `path` lies on."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, name, *_ = line.split()
        if str(path.resolve()).startswith(place) and len(place) >= len(best):
            best, kind = place, name
    return kind


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
