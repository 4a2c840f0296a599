"""What a reader of the repository may rely on: nothing of any one machine, nothing large, nothing half done."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LARGEST = 300_000
MADE_BY_TOOLS = {".git", ".venv", ".cache", "__pycache__", ".hypothesis", "node_modules", "dist", "build"}
# Put together here so that this file does not name them either.
REGISTRIES = re.compile(r"\b(?:pypi|pythonhosted|npmjs|anaconda|yarnpkg)\." + r"(?:org|com|io)\b")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|NotImplemented" + r"Error)\b")


@cache
def files() -> tuple[Path, ...]:
    """Return the files that belong to the project: what git has or would take, else all but tools' own."""
    ran = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if ran.returncode == 0 and (ROOT / ".git").exists():
        found = [ROOT / os.fsdecode(name) for name in ran.stdout.split(b"\0") if name]
    else:
        found = [
            path
            for path in ROOT.rglob("*")
            if not {
                part
                for part in path.relative_to(ROOT).parts
                if part in MADE_BY_TOOLS or part.endswith("_cache")
            }
        ]
    return tuple(path for path in found if path.is_file() and path.name != "uv.lock")


def texts() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")) for path in files()
    ]


def hosts_of_this_machines_registries() -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = ran.stdout + " ".join(value for key, value in os.environ.items() if "INDEX" in key)
    return {host for host in re.findall(r"https?://(?:[^/@\s']*@)?([^/:\s']+)", settings) if "." in host}


def test_no_file_names_a_package_registry() -> None:
    own = hosts_of_this_machines_registries()
    wrong = [
        f"{name}: {match}"
        for name, text in texts()
        for match in [*REGISTRIES.findall(text), *(host for host in own if host in text)]
    ]
    assert not wrong


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    places = {str(ROOT), str(Path.home())} - {"/", "/root", "/tmp", "/src", "/app", "/home"}
    wrong = [f"{name}: {place}" for name, text in texts() for place in places if f"{place}/" in text]
    assert not wrong


def test_versions_are_locked_in_one_file_that_names_no_host() -> None:
    names = {path.name for path in files()}
    assert "package-lock.json" not in names
    tracked = subprocess.run(
        ["git", "ls-files", "uv.lock"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    assert tracked == b""
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option would send pip somewhere"


def test_every_dependency_is_locked_with_hashes_at_a_version_that_the_project_asks_for() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "constraints.txt").read_text().strip())
    locked = {}
    for entry in entries:
        found = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", entry)
        assert found, entry.splitlines()[0]
        assert "--hash=sha256:" in entry, f"{found[1]} has no hash"
        locked[canonicalize_name(found[1])] = found[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *(d for extra in project["project"].get("optional-dependencies", {}).values() for d in extra),
    ]
    for requirement in map(Requirement, named):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked: make constraints"
        assert requirement.specifier.contains(version), (
            f"{requirement} but locked at {version}: make constraints"
        )


def entries_of(name: str) -> dict[str, str]:
    """Return what a file of locked versions holds: package to version and hashes."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text().strip())
    return {
        canonicalize_name(entry.partition("==")[0]): re.sub(r"\s+# via.*", "", entry, flags=re.DOTALL)
        for entry in entries
    }


def test_what_a_service_is_installed_from_is_the_lock_without_the_tools() -> None:
    service, everything = entries_of("requirements.txt"), entries_of("constraints.txt")
    assert {name: everything.get(name) for name in service} == service, "make constraints"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"].get("optional-dependencies", {}).values()
    needed = [*project["project"]["dependencies"], *(one for extra in extras for one in extra)]
    assert {canonicalize_name(Requirement(one).name) for one in needed} - set(service) == set()
    tools = {canonicalize_name(Requirement(one).name) for one in project["dependency-groups"]["dev"]}
    assert set(service) & tools == set()


def test_nothing_large_is_kept() -> None:
    large = [
        f"{path.relative_to(ROOT)}: {path.stat().st_size}"
        for path in files()
        if path.stat().st_size > LARGEST
    ]
    assert not large


def test_text_is_utf8_with_unix_line_ends_and_a_last_newline() -> None:
    wrong = []
    for path in files():
        octets = path.read_bytes()
        if b"\0" in octets or path.suffix in {".eml", ".csv"} or not octets:
            continue
        name = path.relative_to(ROOT)
        try:
            octets.decode("utf-8")
        except UnicodeDecodeError as error:
            wrong.append(f"{name}: {error}")
        if b"\r\n" in octets or not octets.endswith(b"\n"):
            wrong.append(f"{name}: line ends")
        if re.search(rb"^(?:<{7}|>{7}) ", octets, re.MULTILINE):
            wrong.append(f"{name}: an unfinished merge")
    assert not wrong


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.suffix == ".py"
        and path.is_relative_to(ROOT / "src")
        and path.read_text().strip()
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_nothing_in_the_program_is_left_for_later() -> None:
    wrong = [
        f"{name}:{number}"
        for name, text in texts()
        if name.startswith("src/")
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not wrong


def test_every_folder_of_tests_is_a_package() -> None:
    """Two test files of one name in different folders would hide each other otherwise."""
    folders = {path.parent for path in files() if path.name.startswith("test_") and path.suffix == ".py"}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").exists()]


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def test_the_gate_runs_checks_then_tests_then_the_story() -> None:
    gate = ROOT / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    text = gate.read_text()
    assert re.findall(r"^make .*$", text, re.MULTILINE) == [
        "make check",
        "make test",
        "make demo ARGS=--once",
    ]
    assert "set -euo pipefail" in text
    assert re.search(r"^export .*\bREQUIRE_PEERS=1", text, re.MULTILINE)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_make_target_that_a_page_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = set(re.findall(r"(?:`|^ *)make ([a-z][a-z-]+)", text, re.MULTILINE))
    assert named <= targets(), f"{document} names {sorted(named - targets())}"


def test_every_make_target_explains_itself_and_is_no_file() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    assert targets() == phony
    assert set(re.findall(r"^([a-z-]+):.*## \w", text, re.MULTILINE)) == phony
    assert {"demo", "test", "test-slow", "guards", "check", "fuzz"} <= phony
