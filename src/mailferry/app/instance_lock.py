"""One service per state directory, and the certainty that an earlier one is dead to the last worker.

The lock belongs to an open file that all workers inherit, so it is free only when the parent *and*
every worker of an earlier run are gone. Whoever holds it may therefore void all session rows and
leases that this state directory's processes left in the store.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from mailferry.store.file_owner import give_to_folders_owner


class AlreadyRunning(Exception):
    """Another service works in this state directory."""


def take_instance_lock(state_dir: Path, *, patience: float = 10.0) -> int:
    """Return the descriptor that holds the lock for as long as any process has it open.

    Waits up to `patience` seconds for the workers of a killed parent to end. Raises AlreadyRunning.
    """
    descriptor = os.open(state_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_to_folders_owner(descriptor, state_dir)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise AlreadyRunning(
                    f"another mailferry serve works in {state_dir}: stop it first, or give this one "
                    "a state_dir of its own"
                ) from None
            time.sleep(0.1)
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor
