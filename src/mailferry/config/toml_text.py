"""Settings written as TOML: for the file that `init` leaves behind and the ones of rehearsals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Table = Mapping[str, object]


def toml_value(value: object) -> str:
    """Return a text, path, number, truth value, list or table as TOML writes it inside a line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str | Path):  # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def toml_tables(tables: Mapping[str, Table | Sequence[Table]]) -> str:
    """Return a file of these tables; a sequence is written as `[[name]]`, once for each of its tables."""
    lines: list[str] = []
    for name, content in tables.items():
        heading, each = (f"[{name}]", [content]) if isinstance(content, Mapping) else (f"[[{name}]]", content)
        for table in each:
            lines += [heading, *(f"{key} = {toml_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
