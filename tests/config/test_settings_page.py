"""docs/settings.md names each key with its default, and nothing else."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from mailferry.config.domains import DomainsFile
from mailferry.config.field_types import Section
from mailferry.config.known_names import fields_of, section_in
from mailferry.config.settings import Settings
from mailferry.model.access import Secret

PAGE = Path(__file__).parents[2] / "docs/settings.md"


def page() -> dict[str, dict[str, str]]:
    """Return heading -> key -> default, as the page shows them."""
    shown: dict[str, dict[str, str]] = {}
    for heading, body in re.findall(
        r"^## \[+([\w.-]+)\]+\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        rows = re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \| .+ \|$", body, re.MULTILINE)
        assert len(dict(rows)) == len(rows)
        shown[heading] = dict(rows)
    return shown


def tables(model: type[Section], path: str = "") -> dict[str, dict[str, FieldInfo]]:
    found: dict[str, dict[str, FieldInfo]] = {}
    plain = {}
    for key, field in fields_of(model).items():
        inner = section_in(field.annotation)
        if inner is None:
            plain[key] = field
        else:
            found |= tables(inner, f"{path}.{key}".strip("."))
    if plain:
        found[path] = plain
    return found


def written(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True)
    if default is None:
        return "-"
    if isinstance(default, Secret):
        default = default.reveal().decode()
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, Path):
        default = str(default)
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


KNOWN = {**tables(Settings), **tables(DomainsFile)}


def test_the_page_has_the_tables_of_the_program() -> None:
    assert set(page()) == set(KNOWN)


@pytest.mark.parametrize("table", sorted(KNOWN))
def test_each_key_stands_there_with_its_default(table: str) -> None:
    assert page()[table] == {key: written(field) for key, field in KNOWN[table].items()}


@pytest.mark.parametrize("table", sorted(KNOWN))
def test_the_bounds_of_numbers_are_the_real_ones(table: str) -> None:
    text = PAGE.read_text()
    for key, field in KNOWN[table].items():
        low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
        high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
        if low is not None and high is not None:
            assert f"| `{key}` | {low:.15g} to {high:.15g} |" in text
