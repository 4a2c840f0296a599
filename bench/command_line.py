"""What the benches' command lines have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable


def names_of(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what reads a list such as `A,C`; it refuses a name that is not allowed."""
    known = list(allowed)

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of: {', '.join(known)}")
        return names

    return read
