"""docs/api.md names the requests that there are, with their scopes and parameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from mailferry.roster.tokens import PREFIX, Scope
from mailferry.store.database import Database
from mailferry.web.api.door import WRONG_LIMITS
from mailferry.web.api.pace import AT_ONCE, PER_SECOND
from tests.web.program import Program, make_token

PAGE = Path(__file__).parents[2] / "docs/api.md"
ROW = re.compile(r"^\| `(GET|POST|PATCH|DELETE) (\S+)` \| (read|write|login) \| (.+) \|$", re.MULTILINE)


def described(site: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = Program(site, None).get("/openapi.json")["paths"]
    return found


def test_the_page_has_every_request(site: FastAPI) -> None:
    rows = ROW.findall(PAGE.read_text())
    real = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, operations in described(site).items()
        for method in operations
    }
    assert {(method, path) for method, path, _, _ in rows} == real
    assert len(rows) == len(real)


def test_the_scopes_of_the_page_open_what_it_says(site: FastAPI, store: Database) -> None:
    programs = {scope.value: Program(site, make_token(store, scope.value, [scope])) for scope in Scope}
    for method, path, scope, _ in ROW.findall(PAGE.read_text()):
        place = path.format(name="no.test", address="nobody@no.test", number=1)
        for name, program in programs.items():
            opens = name == scope or (name == "write" and scope == "read")
            assert (program.ask(method, place).status_code != 403) is opens, (name, method, path)


def test_the_parameters_of_the_page_are_the_descriptions(site: FastAPI) -> None:
    paths = described(site)
    for method, path, _, told in ROW.findall(PAGE.read_text()):
        operation = paths[path][method.lower()]
        real = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        shown = {name for query in re.findall(r"`\?([^`]+)`", told) for name in re.findall(r"(\w+)=", query)}
        assert shown <= real, path
        assert real - shown <= {"limit", "cursor"}, path


def test_the_numbers_of_the_page_are_the_programs() -> None:
    text = PAGE.read_text()
    assert f"{AT_ONCE} times at once and {PER_SECOND:g} times a second" in text
    assert f"{WRONG_LIMITS.network} wrong tokens" in text
    assert f"Bearer {PREFIX}" in text
