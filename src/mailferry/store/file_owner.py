"""Files that root makes for the service: they belong to whoever owns their folder.

An administrator runs commands as root on the service's state directory; a file that the service
then could not write would stop it.
"""

from __future__ import annotations

import os
from pathlib import Path


def give_to_folders_owner(descriptor: int, folder: Path) -> None:
    """Give an open file to the owner of `folder` when this process is root; raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
