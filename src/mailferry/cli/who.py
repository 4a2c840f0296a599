"""Who types: the name that the audit log gets."""

from __future__ import annotations

import getpass
import os


def operator() -> str:
    """Return the name of the person at the terminal, through sudo where that was used."""
    name = os.environ.get("SUDO_USER")
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = str(os.getuid())
    return f"cli:{name}"
