"""Takes each guard of `tests/guards.toml` out of a copy of the project; its test must then fail.

    [[guard]]
    id = "starttls-drops-the-buffer"
    hazards = ["T1"]
    file = "src/mailferry/wire/line_buffer.py"
    find = '''the text that guards, exactly once in the file'''
    replace = '''what is left without it'''
    test = "tests/wire/test_line_buffer.py::test_what_came_before_tls_is_refused"

`python -m tests.kit.guards [ID ...]` prints a row for each and ends with `N passed, M failed`.
A guard passes when its test is green with it and red without it.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit import debian

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".cache", "__pycache__", ".*_cache", ".hypothesis", "dist", "*.egg-info", "node_modules"
)
FAILED, TEST_SECONDS = 1, 300


@dataclass(frozen=True)
class Guard:
    """One row of the file."""

    id: str
    hazards: tuple[str, ...]
    file: str
    find: str
    replace: str
    test: str


@dataclass(frozen=True)
class Verdict:
    """Whether a guard is needed by its test, and why not."""

    guard: Guard
    fault: str
    """Empty when all is well."""
    seconds: float


def load(path: Path) -> list[Guard]:
    """Read the guards. Raises ValueError for a row that lacks a key, has an unknown one, or repeats an id."""
    rows = tomllib.loads(path.read_text()).get("guard", [])
    guards = []
    for number, row in enumerate(rows, 1):
        name = row.get("id", f"number {number}")
        wrong = set(row) ^ {"id", "hazards", "file", "find", "replace", "test"}
        if wrong:
            raise ValueError(f"guard {name}: missing or unknown: {', '.join(sorted(wrong))}")
        guards.append(Guard(**{**row, "hazards": tuple(row["hazards"])}))
    ids = [guard.id for guard in guards]
    if len(set(ids)) != len(ids):
        raise ValueError(f"an id stands twice: {min(i for i in ids if ids.count(i) > 1)}")
    return guards


def misplaced(guard: Guard, root: Path) -> str:
    """Say what about the row no longer fits the project, without running anything; empty when it fits."""
    path = root / guard.file
    if not path.is_file():
        return f"there is no {guard.file}"
    times = path.read_text().count(guard.find)
    if times != 1:
        return f"its text stands {times} times in {guard.file}"
    if guard.find == guard.replace:
        return "it replaces the text by itself"
    if wrong := [row for row in guard.hazards if not re.fullmatch(r"[TD][1-9]\d?", row)]:
        return f"{wrong[0]} is no row of hazards"
    file, _, function = guard.test.partition("::")
    if not (root / file).is_file():
        return f"there is no {file}"
    name = function.split("::")[-1].partition("[")[0]
    defined = {
        node.name
        for node in ast.walk(ast.parse((root / file).read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    return "" if name in defined else f"{file} has no {name or 'test function named'}"


def judge(guard: Guard, root: Path, *, known_green: bool = False) -> Verdict:
    """Run the guard's test with it, unless that is known to be green, and without it."""
    started = time.monotonic()

    def verdict(fault: str) -> Verdict:
        return Verdict(guard, fault, time.monotonic() - started)

    if fault := misplaced(guard, root):
        return verdict(fault)
    with _copy(root) as copy:
        if not known_green:
            code, said = _run([guard.test], copy)
            if not _passed(code, said):
                return verdict(f"with the guard its test did not pass: {_last_line(said)}")
        path = copy / guard.file
        path.write_text(path.read_text().replace(guard.find, guard.replace))
        try:
            compile(path.read_text(), str(path), "exec") if path.suffix == ".py" else None
        except SyntaxError as error:
            return verdict(f"without the guard the file does not compile: {error}")
        code, said = _run([guard.test], copy)
    if code == 0:
        return verdict("its test stayed green without it")
    if code != FAILED:
        return verdict(f"without the guard its test could not run: {_last_line(said)}")
    return verdict("")


def run(root: Path, file: Path, *, only: Sequence[str] = (), jobs: int = 2) -> list[Verdict]:
    """Judge every guard of `file` (or those in `only`), some at a time, in the order of the file."""
    guards = [guard for guard in load(file) if not only or guard.id in only]
    tests = sorted({guard.test for guard in guards if not misplaced(guard, root)})
    green = False
    if len(tests) > 1:  # one run for all of them: most of a small run is its start
        with _copy(root) as copy:
            green = _passed(*_run(tests, copy))
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda guard: judge(guard, root, known_green=green), guards))


@contextmanager
def _copy(root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="guards-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "project"
        shutil.copytree(root, copy, ignore=NOT_COPIED, symlinks=True)
        yield copy


def _passed(code: int, said: str) -> bool:
    """Whether every test of a run passed; a skipped one shows nothing."""
    last = _last_line(said)
    return code == 0 and " passed" in last and "skipped" not in last


def _run(tests: Sequence[str], copy: Path) -> tuple[int, str]:
    env = {
        **os.environ,
        "PYTHONPATH": f"{copy / 'src'}:{copy}",  # programs that a test starts are to run the copy too
        "PYTHONDONTWRITEBYTECODE": "1",
        "MAILFERRY_PEERS": str(debian.CACHE),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".hypothesis"),
    }
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "",
        "--durations=0",
        *tests,
    ]
    try:
        ran = subprocess.run(
            argv, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=TEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"not done after {TEST_SECONDS} s"
    return ran.returncode, ran.stdout + ran.stderr


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("peers:")]
    return lines[-1] if lines else "nothing was said"


def main(arguments: Sequence[str] | None = None, *, root: Path = debian.ROOT) -> int:
    """Print the table; 0 only when there are guards and all of them passed."""
    parser = argparse.ArgumentParser(prog="guards", description="take guards out; their tests must fail")
    parser.add_argument("id", nargs="*", help="only these")
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args(arguments)
    verdicts = run(root, root / "tests" / "guards.toml", only=chosen.id, jobs=chosen.jobs)
    width = max((len(verdict.guard.id) for verdict in verdicts), default=0)
    for verdict in verdicts:
        rows = ",".join(verdict.guard.hazards)
        outcome = verdict.fault or "its test fails without it"
        mark = "FAIL" if verdict.fault else "ok  "
        print(f"{mark} {verdict.guard.id:{width}}  {rows:9} {verdict.seconds:5.1f} s  {outcome}")
    failed = sum(bool(verdict.fault) for verdict in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return 0 if verdicts and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
