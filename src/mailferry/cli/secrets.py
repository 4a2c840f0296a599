"""Passwords that an operator gives: from the terminal without echo, or from standard input."""

from __future__ import annotations

import getpass
import sys

from mailferry.cli.program import WrongUse
from mailferry.model.access import MAX_PASSWORD_OCTETS, Secret


def ask_password(prompt: str) -> Secret:
    """Return one password; a line end behind it does not belong to it. Raises WrongUse for none."""
    if sys.stdin.isatty():
        octets = getpass.getpass(f"{prompt}: ").encode()
    else:
        octets = sys.stdin.buffer.readline(4 * MAX_PASSWORD_OCTETS).rstrip(b"\r\n")
    if not 1 <= len(octets) <= MAX_PASSWORD_OCTETS:
        raise WrongUse(f"a password has 1 to {MAX_PASSWORD_OCTETS} octets")
    return Secret(octets)
