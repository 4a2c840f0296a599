"""The commands that the program has, and those that a page names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from mailferry.cli import commands

ROOT = Path(__file__).parents[2]
GLOBAL = {"--config", "-c", "--version", "--help", "--install-completion", "--show-completion"}


@cache
def known() -> dict[tuple[str, ...], frozenset[str]]:
    """Return every command and group by its words, with the options it takes."""
    return dict(_below(typer.main.get_command(commands._app), ()))


def _below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    options = {
        name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")
    }
    yield path, frozenset(options - {"--help"})
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from _below(command.get_command(context, name), (*path, name))


def arguments(path: tuple[str, ...]) -> list[str]:
    """Return the names of a command's arguments as its help shows them."""
    command = typer.main.get_command(commands._app)
    for name in path:
        command = command.get_command(typer.Context(command), name)
    return [str(one.metavar or one.name) for one in command.params if one.param_type_name == "argument"]


def said_in(text: str) -> list[str]:
    """Return the commands that a page names: lines of its blocks and words in backticks that begin with ours."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip().partition("  #")[0] for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [line.strip() for line in (*lines, *inline)]
    return [line for line in found if line == "mailferry" or line.startswith("mailferry ")]


def fault(line: str) -> str | None:
    """Return what is wrong with a command that a page names, None when the program takes it."""
    words = shlex.split(line)[1:]
    while words and words[0].startswith("-"):
        if words[0] not in GLOBAL:
            return f"{line}: no option {words[0]}"
        words = words[2:] if words[0] in {"--config", "-c"} else words[1:]
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in known():
        path = (*path, words.pop(0))
    if not path:
        return f"{line}: no such command" if words else None
    below = [one for one in known() if one[: len(path)] == path and len(one) > len(path)]
    if below and words and words[0] not in {"...", "COMMAND"}:
        return f"{line}: no such command"
    wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known()[path]]
    return f"{line}: no option {wrong[0]}" if wrong else None
