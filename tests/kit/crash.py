"""Crash points: the environment that makes a process of the product end itself as by a power cut."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "mailferry"
VARIABLE = "MAILFERRY_CRASH_AT"
KILLED = -9
"""The return code that `subprocess` gives for a process that met its crash point."""


def crash_at(label: str, passage: int = 1) -> Mapping[str, str]:
    """Return the environment in which the process kills itself at the n-th passage of `label`.

    Raises ValueError for a label that no code passes: such a test would prove nothing.
    """
    if label not in labels():
        raise ValueError(f"no crash point is called {label!r}; there are {', '.join(sorted(labels()))}")
    return {VARIABLE: f"{label}:{passage}"}


def labels() -> set[str]:
    """Return every label that the code passes to `crash_point`, read from the source."""
    found = set()
    for path in SRC.rglob("*.py"):
        text = path.read_text()
        if "crash_point" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called == "crash_point" and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found
