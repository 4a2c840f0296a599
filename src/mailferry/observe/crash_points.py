"""Labelled places at which a test may kill the program, to show that no moment is a bad one to die.

A crash point stands between two steps that must both happen or be repaired: before and after each
durable commit and each command that changes another server. `MAILFERRY_CRASH_AT=label` or
`label:n` in the environment ends the process by SIGKILL at the nth passage (counted per process
from the first); without it a passage costs one comparison.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

VARIABLE = "MAILFERRY_CRASH_AT"


class BadCrashPoint(ValueError):
    """The variable's value is not `label` or `label:n` with n from 1."""


@dataclass(slots=True)
class Countdown:
    """The armed label and how many passages are left until the end."""

    label: str
    left: int

    def passes(self, label: str) -> bool:
        """Count a passage at `label`; True when it is the one to die at."""
        if label != self.label:
            return False
        self.left -= 1
        return self.left == 0


def countdown(value: str | None) -> Countdown | None:
    """Return what the variable's `value` arms, None for an unset or empty one; raises BadCrashPoint."""
    if not value:
        return None
    label, colon, number = value.partition(":")
    if not label or (colon and not (number.isascii() and number.isdigit() and int(number) > 0)):
        raise BadCrashPoint(f"{VARIABLE}={value!r}: write label or label:n with n from 1")
    return Countdown(label, int(number) if colon else 1)


_armed = countdown(os.environ.get(VARIABLE))


def crash_point(label: str) -> None:
    """End this process at once when the environment asks for its death here."""
    if _armed is not None and _armed.passes(label):
        os.kill(os.getpid(), signal.SIGKILL)
