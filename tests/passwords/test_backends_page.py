"""docs/password-backends.md against the program: names, schemes, and examples that load."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mailferry.config.settings import BackendName, PasswordSettings
from mailferry.passwords.schemes import MADE

TEXT = (Path(__file__).parents[2] / "docs/password-backends.md").read_text()


def test_each_backend_has_its_section() -> None:
    headings = set(re.findall(r"^## ([a-z-]+)$", TEXT, re.MULTILINE))
    assert headings == {name.value for name in BackendName}


def test_each_scheme_has_its_row() -> None:
    assert re.findall(r"^\| `([A-Z0-9-]+)` \|", TEXT, re.MULTILINE) == list(MADE)


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_each_example_is_understood(example: str) -> None:
    table = tomllib.loads(example)["passwords"]
    if "sql" in table:
        table["sql"]["url"] = "sqlite://"
    assert PasswordSettings.model_validate(table).backend.value == table["backend"]
