"""Takes each guard of `tests/guards.toml` out of a copy of the project; its test must then fail.

    [[guard]]
    id = "starttls-drops-the-buffer"
    hazards = ["T1"]
    file = "src/mailferry/wire/line_buffer.py"
    find = '''the text that guards, exactly once in the file'''
    replace = '''what is left without it'''
    test = "tests/wire/test_line_buffer.py::test_what_came_before_tls_is_refused"

`python -m tests.kit.guards [ID ...]` prints a row for each and ends with `N passed, M failed`.
A guard passes when its test is green with it and red without it. All tests run once with every guard,
in few runs, because most of a small run is its start; then each guard is taken out alone.
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
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from tests.kit import debian

T = TypeVar("T")

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".*_cache", ".hypothesis", "dist", "*.egg-info", "node_modules"
)
FAILED, TEST_SECONDS = 1, 300
TIMES_SLOWER, MORE_SECONDS = 10, 60
"""A test hangs without its guard when it takes so many times as long as with it, and so much more."""
JOBS = (os.cpu_count() or 1) + 1
"""Tests wait for sockets and clocks besides."""
RUNS_A_JOB = 3
"""In how many parts each job runs the tests that should be green."""


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


class Workplace:
    """A copy of the project at `folder`, in which one guard after the other is taken out and put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken_out = 0

    def run(self, tests: Sequence[str], *options: str, seconds: float) -> tuple[int, str]:
        """Run tests of the copy; return the exit status and all that was said."""
        with tempfile.TemporaryDirectory(prefix="guards-") as examples:  # those of one guard are no other's
            env = {
                **os.environ,
                "PYTHONPATH": f"{self.folder / 'src'}:{self.folder}",  # started programs run the copy too
                "MAILFERRY_PEERS": str(debian.CACHE),
                "HYPOTHESIS_STORAGE_DIRECTORY": examples,
            }
            argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", "--durations=0"]
            try:
                ran = subprocess.run(
                    [*argv, *options, *tests],
                    cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=seconds,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return FAILED, f"not done after {seconds:.0f} s"
        return ran.returncode, ran.stdout + ran.stderr

    def green(self, tests: Sequence[str]) -> dict[str, float]:
        """Run all of them; return those that passed, each with the seconds that it took."""
        report = self.folder / "report.xml"
        self.run(tests, f"--junitxml={report}", seconds=TEST_SECONDS * len(tests))
        if not report.exists():
            return {}
        cases: dict[str, list[ET.Element]] = {test: [] for test in tests}
        for case in ET.parse(report).iter("testcase"):
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
            for test in {name, name.partition("[")[0]} & cases.keys():
                cases[test].append(case)
        report.unlink()
        return {
            test: sum(float(case.get("time", 0)) for case in found)
            for test, found in cases.items()
            if found
            and not any(
                case.find(word) is not None for case in found for word in ("failure", "error", "skipped")
            )
        }

    @contextmanager
    def without(self, guard: Guard) -> Iterator[Path]:
        """Take a guard out of the copy meanwhile. Each time the file is of another time: bytecode goes by that."""
        path = self.folder / guard.file
        octets, known = path.read_bytes(), path.stat()
        self._taken_out += 1
        changed = known.st_mtime + 10 * self._taken_out
        path.write_text(path.read_text().replace(guard.find, guard.replace))
        os.utime(path, (changed, changed))
        try:
            yield path
        finally:
            path.write_bytes(octets)
            os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))


@contextmanager
def workplace(root: Path) -> Iterator[Workplace]:
    """Copy the project for a while."""
    with tempfile.TemporaryDirectory(prefix="guards-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "project"
        shutil.copytree(root, copy, ignore=NOT_COPIED, symlinks=True)
        yield Workplace(copy)


def judge(guard: Guard, place: Workplace, green: Mapping[str, float]) -> Verdict:
    """Run the guard's test without it; before that with it, unless it is among the `green`."""
    started = time.monotonic()

    def verdict(fault: str) -> Verdict:
        return Verdict(guard, fault, time.monotonic() - started)

    if fault := misplaced(guard, place.folder):
        return verdict(fault)
    seconds = float(TEST_SECONDS)
    if guard.test in green:
        seconds = min(seconds, TIMES_SLOWER * green[guard.test] + MORE_SECONDS)
    else:
        code, said = place.run([guard.test], "-x", seconds=seconds)
        if not _passed(code, said):
            return verdict(f"with the guard its test did not pass: {_last_line(said)}")
    with place.without(guard) as path:
        try:
            compile(path.read_text(), str(path), "exec") if path.suffix == ".py" else None
        except SyntaxError as error:
            return verdict(f"without the guard the file does not compile: {error}")
        code, said = place.run([guard.test], "-x", seconds=seconds)
    if code == 0:
        return verdict("its test stayed green without it")
    if code != FAILED:
        return verdict(f"without the guard its test could not run: {_last_line(said)}")
    return verdict("")


def run(root: Path, file: Path, *, only: Sequence[str] = (), jobs: int = JOBS) -> list[Verdict]:
    """Judge every guard of `file` (or those in `only`), some at a time; the verdicts stand as the file's rows."""
    guards = [guard for guard in load(file) if not only or guard.id in only]
    tests = sorted({guard.test for guard in guards if not misplaced(guard, root)})
    with ExitStack() as ending:
        free: SimpleQueue[Workplace] = SimpleQueue()
        for _ in range(jobs):
            free.put(ending.enter_context(workplace(root)))

        def somewhere(work: Callable[[Workplace], T]) -> T:
            place = free.get()
            try:
                return work(place)
            finally:
                free.put(place)

        pool = ending.enter_context(ThreadPoolExecutor(jobs))
        green: dict[str, float] = {}
        if len(guards) > 1:
            for found in pool.map(lambda part: somewhere(lambda at: at.green(part)), _parts(tests, jobs)):
                green |= found
        longest_first = sorted(guards, key=lambda guard: -green.get(guard.test, TEST_SECONDS))
        verdicts = pool.map(lambda one: somewhere(lambda at: judge(one, at, green)), longest_first)
        return sorted(verdicts, key=lambda verdict: guards.index(verdict.guard))


def _parts(tests: Sequence[str], jobs: int) -> list[list[str]]:
    """Divide tests for some runs, those of a file together."""
    files = sorted({test.partition("::")[0] for test in tests})
    count = min(len(files), jobs * RUNS_A_JOB)
    return [
        [test for test in tests if test.partition("::")[0] in files[number::count]] for number in range(count)
    ]


def _passed(code: int, said: str) -> bool:
    """Whether every test of a run passed; a skipped one shows nothing."""
    last = _last_line(said)
    return code == 0 and " passed" in last and "skipped" not in last


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("peers:")]
    return lines[-1] if lines else "nothing was said"


def main(arguments: Sequence[str] | None = None, *, root: Path = debian.ROOT) -> int:
    """Print the table; 0 only when there are guards and all of them passed."""
    parser = argparse.ArgumentParser(prog="guards", description="take guards out; their tests must fail")
    parser.add_argument("id", nargs="*", help="only these")
    parser.add_argument("--jobs", type=int, default=JOBS)
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
