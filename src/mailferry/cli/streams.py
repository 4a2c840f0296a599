"""The standard streams, whatever the caller left of them: closed ones, and those of another character set."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def settle_streams() -> None:
    """Let a closed stream be nobody's, and show what a terminal has no character for by its number.

    A closed descriptor would go to the next file or connection that is opened, and what is meant for the
    terminal with it.
    """
    for name, mode in _STREAMS:
        if getattr(sys, name) is None:
            nobody = os.open(os.devnull, os.O_RDWR)  # the lowest free number, so mostly the closed one
            os.set_inheritable(nobody, nobody <= 2)
            setattr(sys, name, os.fdopen(nobody, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def takes_unicode() -> bool:
    """Whether standard output is UTF-8; JSON is written in ASCII elsewhere."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
