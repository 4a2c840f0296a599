"""How lists and single things are shown: a table on a terminal, plain columns in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from textwrap import indent
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailferry.cli.streams import takes_unicode

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def show_json(value: Any) -> None:
    """Write `value` as JSON."""
    sys.stdout.write(json_text(value) + "\n")


def json_text(value: Any, spaces: int | None = 2) -> str:
    """Return `value` as JSON that standard output can carry."""
    return json.dumps(value, ensure_ascii=not takes_unicode(), indent=spaces)


def show_json_list(values: Iterable[Any]) -> None:
    """Write `values` as a JSON array, each when it comes."""
    between = "[\n"
    for value in values:
        sys.stdout.write(between + indent(json_text(value), "  "))
        between = ",\n"
    sys.stdout.write("[]\n" if between == "[\n" else "\n]\n")


class JsonReport:
    """A JSON object with one long array, whose values are written when they come.

    Nothing is written before the first of them, so that a command that fails at once says nothing.
    """

    def __init__(self, head: Mapping[str, Any], array: str) -> None:
        self._head = head
        self._array = array
        self._between = ""

    def add(self, value: Any) -> None:
        """Write one more value of the array."""
        self._begin()
        sys.stdout.write(self._between + indent(json_text(value), "    "))
        self._between = ",\n"

    def close(self, rest: Mapping[str, Any] | None) -> None:
        """Write the rest of the object; None after a failure: what has begun is ended."""
        if rest is None and not self._between:
            return
        self._begin()
        sys.stdout.write("\n  ]")
        for name, value in (rest or {"failed": True}).items():
            sys.stdout.write(f",\n  {json.dumps(name)}: {json_text(value, None)}")
        sys.stdout.write("\n}\n")

    def _begin(self) -> None:
        if not self._between:
            head = "".join(
                f"  {json.dumps(name)}: {json_text(value, None)},\n" for name, value in self._head.items()
            )
            sys.stdout.write(f"{{\n{head}  {json.dumps(self._array)}: [")
            self._between = "\n"


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under their column heads; control characters of servers and users stay visible text."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(value)) for value in row))
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False).print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Write one fact a line."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        sys.stdout.write(f"{name:<{width}}  {one_line(value)}\n")


def one_line(value: object) -> str:
    """Return `value` as text without control characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
