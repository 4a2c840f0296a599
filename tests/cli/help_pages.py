"""What the program's own `--help` says of every command, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cli.program import Program

EVERYWHERE = ("--help",)


@dataclass(frozen=True)
class HelpPage:
    """One command: how it is called, its sentence, its arguments and options with their meanings."""

    usage: str
    sentence: str
    words: tuple[tuple[str, str], ...]


def commands(program: Program, *path: str) -> Iterator[HelpPage]:
    """Yield the page of each command below `path`, groups left out."""
    said = program.run(*path, "--help")
    assert said.status == 0, str(said)
    boxes = dict(re.findall(r"╭─ (\w+) ─+╮\n(.*?)╰─", said.out, re.DOTALL))
    if "Commands" in boxes:
        for row in _rows(boxes["Commands"]):
            yield from commands(program, *path, row[0])
        return
    usage, sentence = [line.strip() for line in said.out.splitlines() if line.strip()][:2]
    words = []
    for title in ("Arguments", "Options"):
        for row in _rows(boxes.get(title, "")):
            name, meaning = _word(row, argument=title == "Arguments")
            if name not in EVERYWHERE:
                words.append((name, meaning))
    yield HelpPage(usage.removeprefix("Usage: "), sentence, tuple(words))


def _rows(box: str) -> Iterator[list[str]]:
    for line in box.splitlines():
        cells = [cell for cell in re.split(r"\s{2,}", line.strip("│ ").removeprefix("*").strip()) if cell]
        if cells:
            yield cells


def _word(cells: list[str], *, argument: bool) -> tuple[str, str]:
    *names, meaning = cells
    shown = [name for name in names if not name.startswith("<")]
    if argument:
        return shown[0], meaning
    flags = [name for name in shown if name.startswith("-")]
    values = [name for name in shown if not name.startswith("-")]
    kinds = [name for name in names if name.startswith("<") and name != "<bool>"]
    value = " ".join([*values, *kinds][:1])
    return ", ".join(f"{flag} {value}".strip() for flag in flags), meaning
