"""The plan of the house: which room may import which, and which rooms stay pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "mailferry"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"model"}),
    frozenset({"wire", "observe"}),
    frozenset({"login", "taps", "net", "store", "providers", "config"}),
    frozenset({"plan"}),
    frozenset({"remote", "passwords"}),
    frozenset({"gate", "copying"}),
    frozenset({"roster"}),
    frozenset({"frontends", "web", "lab"}),
    frozenset({"app"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PURE = frozenset({"model", "wire", "login", "taps", "plan", "providers"})
PURE_EXCEPT = frozenset({"providers/loader.py"})
"""Files of pure rooms that may touch the disk."""
BANNED = frozenset(
    {"twisted", "sqlalchemy", "socket", "ssl", "logging", "structlog", "random", "secrets", "time"}
    | {"os", "pathlib", "asyncio", "threading", "subprocess", "prometheus_client", "OpenSSL"}
)
FORBIDDEN_NAMES = frozenset({"common", "utils", "util", "helpers", "base", "manager", "core", "misc"})


def files() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "mailferry" and len(parts) > 1 else None


def name_of(path: Path) -> str:
    parts = ["mailferry", *path.relative_to(SRC).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module.split(".")[0] == "mailferry":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_stands_on_a_floor() -> None:
    rooms = {p.relative_to(SRC).parts[0].removesuffix(".py") for p in files()} - {"__init__"}
    assert rooms <= set(FLOOR), f"rooms without a floor: {sorted(rooms - set(FLOOR))}"


def test_a_room_imports_only_rooms_on_a_lower_floor() -> None:
    wrong = []
    for path in files():
        here = room_of(name_of(path))
        if here is None:
            continue
        for module in imports(path):
            there = room_of(module)
            if there in FLOOR and there != here and FLOOR[there] >= FLOOR[here]:
                wrong.append(f"{path.relative_to(SRC)} imports {module}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_files_inside_a_room_import_each_other_without_circles() -> None:
    modules = {name_of(path): path for path in files()}
    arrows = {
        name: {m for m in imports(path) if m in modules and m != name} for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            pytest.fail("a circle: " + " -> ".join((*trail[trail.index(name) :], name)))
        if name in done:
            return
        for other in sorted(arrows[name]):
            if modules[other].name != "__init__.py":
                visit(other, (*trail, name))
        done.add(name)

    for name in sorted(modules):
        visit(name, ())


def test_pure_rooms_import_only_pure_rooms_and_nothing_that_acts() -> None:
    wrong = []
    for path in files():
        here = room_of(name_of(path))
        inside = str(path.relative_to(SRC))
        if here not in PURE or inside in PURE_EXCEPT:
            continue
        for module in imports(path):
            there = room_of(module)
            if there in FLOOR and there not in PURE:
                wrong.append(f"{inside} imports {module}")
            if module.split(".")[0] in BANNED and module.split(".")[0] in sys.stdlib_module_names | {
                "twisted",
                "sqlalchemy",
                "structlog",
                "prometheus_client",
                "OpenSSL",
            }:
                wrong.append(f"{inside} imports {module}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_no_file_is_over_450_lines_and_no_function_over_60() -> None:
    wrong = []
    for path in files():
        text = path.read_text()
        if text.count("\n") > 450:
            wrong.append(f"{path.relative_to(SRC)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    wrong.append(f"{path.relative_to(SRC)}:{node.lineno} {node.name}: {length} lines")
    assert not wrong, "\n".join(wrong)


def test_file_names_say_what_lives_there() -> None:
    assert not [str(p) for p in files() if p.stem in FORBIDDEN_NAMES]


def test_packages_have_no_bodies() -> None:
    bodies = [p for p in files() if p.name == "__init__.py" and p.parent != SRC and p.read_text().strip()]
    assert not bodies


def test_broad_excepts_stand_only_where_they_are_marked_as_a_loop_edge() -> None:
    wrong = []
    for path in files():
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            )
            if broad and "loop edge" not in lines[node.lineno - 1]:
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno}")
    assert not wrong, "a broad except needs a comment '# loop edge: ...' : " + ", ".join(wrong)
