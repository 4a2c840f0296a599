"""The manual pages have the program's commands and the model's keys, and mandoc takes them."""

from __future__ import annotations

import re
import subprocess

import pytest

from mailferry.config.domains import DomainsFile
from mailferry.config.known_names import fields_of, section_in
from mailferry.config.settings import Settings
from tests.docs.said_commands import GLOBAL, ROOT, arguments, known
from tests.kit import debian
from tests.kit.peer_plugin import require

FOLDER = ROOT / "docs/man"
PAGES = ("mailferry.1", "mailferry.toml.5")


def mandoc(*arguments: str) -> subprocess.CompletedProcess[str]:
    require("mandoc")
    program = debian.find("mandoc").program
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.peer("mandoc")
@pytest.mark.parametrize("page", PAGES)
def test_mandoc_takes_the_page(page: str) -> None:
    ran = mandoc("-T", "lint", "-W", "warning", str(FOLDER / page))
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
    shown = mandoc("-T", "ascii", str(FOLDER / page)).stdout
    assert len(shown.splitlines()) > 100


def commands_on_the_page() -> dict[tuple[str, ...], tuple[set[str], list[str]]]:
    """Return command -> its options and arguments, as `.It Ic` and the list behind it show them."""
    found: dict[tuple[str, ...], tuple[set[str], list[str]]] = {}
    current: tuple[str, ...] = ()
    for line in (FOLDER / "mailferry.1").read_text().splitlines():
        if line.startswith(".It Ic "):
            words = re.split(r" (?:Oo|Ar|Fl) ", line.removeprefix(".It Ic "))[0].split()
            current = tuple(words)
            found[current] = (set(), [])
        elif current and line.startswith(".It Fl "):
            found[current][0].update(f"-{name}" for name in re.findall(r"Fl (\S+)", line))
        elif current and line.startswith(".It Ar "):
            found[current][1].append(line.removeprefix(".It Ar "))
        elif line.startswith(".Sh "):
            current = ()
    return found


def test_the_page_has_every_command_with_its_options_and_arguments() -> None:
    groups = {path[:-1] for path in known()}
    real = {path: options for path, options in known().items() if path not in groups}
    shown = commands_on_the_page()
    assert set(shown) == set(real)
    for path, options in real.items():
        assert shown[path][0] == options - GLOBAL, path
        assert shown[path][1] == arguments(path), path


def test_the_page_of_settings_has_every_table_with_its_keys() -> None:
    shown: dict[str, set[str]] = {}
    for line in (FOLDER / "mailferry.toml.5").read_text().splitlines():
        if line.startswith(".Ss "):
            table = line.removeprefix(".Ss ").strip("[]")
            shown[table] = set()
        elif line.startswith(".It Cm "):
            shown[table].add(line.removeprefix(".It Cm "))
    assert shown == {**_tables(Settings), **_tables(DomainsFile)}


def _tables(model: type, path: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    plain = set()
    for key, field in fields_of(model).items():
        inner = section_in(field.annotation)
        if inner is None:
            plain.add(key)
        else:
            found |= _tables(inner, f"{path}.{key}".strip("."))
    return {**found, path: plain} if plain else found
