"""Runs one command and writes what it cost: `python -I -S launch.py RESULT UID GID COMMAND...`.

A process inherits through exec the peak memory of the one that forked it. This launcher is a small
process without any import of weight, so that the peaks of small programs can be told: what is
measured begins at some five MB.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> int:
    """Run the command, as another user when `UID` is not negative; end as it ended."""
    result, uid, gid, *command = sys.argv[1:]
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        if int(uid) >= 0:
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - began
    cpu = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be most of this process
        file.write(f"{code} {seconds:.6f} {cpu:.6f} {usage.ru_maxrss}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
