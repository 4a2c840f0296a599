"""What a crash leaves behind: nothing."""

from __future__ import annotations

import resource
import sys

_PR_SET_DUMPABLE = 4


def refuse_core_dumps() -> None:
    """Keep passwords in memory from a core file, and from other processes of the same user.

    Holds for this process and those it forks; a program that it starts keeps the limit on core files.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
