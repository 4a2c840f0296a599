"""docs/hazards.md claims no guard without a test, and no test is marked with a row that the page does not have."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/hazards.md"
ROWS = {f"T{number}" for number in range(1, 41)} | {f"D{number}" for number in range(1, 29)}


def tables() -> dict[str, list[list[str]]]:
    """Return heading -> rows of the page's tables."""
    found = {}
    for heading, body in re.findall(
        r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        lines = [line for line in body.splitlines() if line.startswith("|") and not set(line) <= set("|- ")]
        found[heading] = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return found


def marks() -> dict[str, set[str]]:
    """Return row -> tests marked with it, read from the files' own text."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "hazard":
                (row,) = node.args
                assert isinstance(row, ast.Constant), f"{path}:{node.lineno}: write the row as a string"
                found[str(row.value)].add(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_each_row_stands_on_the_page_once_and_in_order() -> None:
    shown = {heading: [row[0] for row in rows] for heading, rows in tables().items()}
    assert set(shown) == {"Guarded", "Guarded in part"}
    every = [row for rows in shown.values() for row in rows]
    assert sorted(every) == sorted(ROWS)
    for rows in shown.values():
        assert rows == sorted(rows, key=lambda row: (row[0] == "D", int(row[1:])))


def test_what_is_claimed_has_a_test_and_no_test_names_another_row() -> None:
    marked = marks()
    assert ROWS - set(marked) == set(), "claimed, and no test is marked with it"
    assert {row: marked[row] for row in set(marked) - ROWS} == {}, "no such row"


def test_each_row_has_a_guard_that_make_guards_takes_out() -> None:
    guards = tomllib.loads((ROOT / "tests/guards.toml").read_text())["guard"]
    assert {row for guard in guards for row in guard["hazards"]} == ROWS


def test_each_place_that_the_page_names_is_there() -> None:
    for heading in ("Guarded", "Guarded in part"):
        for row in tables()[heading]:
            places = re.findall(r"`([\w/.]+)`", row[-1])
            assert places, row
            assert [place for place in places if not (ROOT / "src/mailferry" / place).is_file()] == [], row
