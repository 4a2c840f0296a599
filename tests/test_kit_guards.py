"""The runner of guards tells a needed guard from one that no test needs; the file fits the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import debian, guards

FILE = debian.ROOT / "tests" / "guards.toml"

CODE = """
def door(octets):
    if len(octets) > 8:
        raise ValueError("too long")
    if octets == b"never":
        raise ValueError("no test knows")
    return octets
"""
TESTS = """
import pytest
from door import door

def test_long_input_is_refused():
    with pytest.raises(ValueError):
        door(b"123456789")

def test_short_input_passes():
    assert door(b"1") == b"1"

def test_that_is_red_anyway():
    assert door(b"1") == b"2"

@pytest.mark.skip(reason="not here")
def test_that_is_skipped():
    pass
"""
LENGTH = ('    if len(octets) > 8:\n        raise ValueError("too long")\n', "")
UNKNOWN = ('    if octets == b"never":\n        raise ValueError("no test knows")\n', "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # plugins take most of a small run's time
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "door.py").write_text(CODE)
    (tmp_path / "tests" / "test_door.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    return tmp_path


def guard(
    edit: tuple[str, str] = LENGTH,
    test: str = "test_long_input_is_refused",
    file: str = "src/door.py",
    hazard: str = "T9",
) -> guards.Guard:
    return guards.Guard("door", (hazard,), file, *edit, f"tests/test_door.py::{test}")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (guard(), ""),
        (guard(UNKNOWN), "its test stayed green without it"),
        (guard(test="test_short_input_passes"), "its test stayed green without it"),
        (guard(test="test_that_is_red_anyway"), "with the guard its test did not pass: 1 failed"),
        (guard(test="test_that_is_skipped"), "with the guard its test did not pass: 1 skipped"),
        (guard((LENGTH[0], "    if (\n")), "without the guard the file does not compile"),
        (guard(("def door(octets)", "def window(octets)")), "without the guard its test could not run"),
        (guard(test="test_of_nothing"), "tests/test_door.py has no test_of_nothing"),
        (guard(("no such text", "")), "its text stands 0 times in src/door.py"),
        (guard(("raise", "")), "its text stands 2 times in src/door.py"),
        (guard(("return octets", "return octets")), "it replaces the text by itself"),
        (guard(file="src/wall.py"), "there is no src/wall.py"),
        (guard(hazard="X1"), "X1 is no row of hazards"),
    ],
)
def test_a_guard_is_judged_by_its_test(project: Path, row: guards.Guard, fault: str) -> None:
    with guards.workplace(project) as place:
        verdict = guards.judge(row, place, {})
        assert (place.folder / "src" / "door.py").read_text() == CODE
    assert verdict.fault.startswith(fault) if fault else verdict.fault == ""
    assert (project / "src" / "door.py").read_text() == CODE


def test_one_run_tells_which_tests_are_green(project: Path) -> None:
    names = ("long_input_is_refused", "short_input_passes", "that_is_red_anyway", "that_is_skipped")
    tests = [f"tests/test_door.py::test_{name}" for name in names]
    with guards.workplace(project) as place:
        assert list(place.green(tests)) == tests[:2]


def test_the_table_ends_with_the_count(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "tests" / "guards.toml"
    file.write_text("")
    assert guards.main([], root=project) == 1
    row = '[[guard]]\nid = "{}"\nhazards = ["T9", "T10"]\nfile = "src/door.py"\nfind = "{}"\nreplace = "{}"\n'
    test = 'test = "tests/test_door.py::test_long_input_is_refused"\n'
    file.write_text(row.format("length", "> 8", "> 9") + test + row.format("unknown", "never", "ever") + test)
    capsys.readouterr()
    assert guards.main([], root=project) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [
        ["ok", "length", "T9,T10"],
        ["FAIL", "unknown", "T9,T10"],
    ]
    assert lines[-1] == "1 passed, 1 failed"
    assert guards.main(["length"], root=project) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[guard]]\nid = "x"\n', "guard x: missing or unknown: file, find"),
        ('[[guard]]\nid="x"\nhazards=[]\nfile=""\nfind=""\nreplace=""\ntest=""\n' * 2, "stands twice: x"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "guards.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        guards.load(tmp_path / "guards.toml")


def test_every_guard_still_names_code_and_a_test() -> None:
    faults = [
        f"{row.id}: {fault}" for row in guards.load(FILE) if (fault := guards.misplaced(row, debian.ROOT))
    ]
    assert not faults, "\n".join(faults)
