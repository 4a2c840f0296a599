"""Shells complete commands and options, by the scripts that lie in conf/completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer._completion_shared import get_completion_script

FOLDER = Path(__file__).parents[2] / "conf/completion"
SCRIPTS = {"bash": "mailferry.bash", "zsh": "_mailferry", "fish": "mailferry.fish"}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_the_one_that_the_program_understands(shell: str) -> None:
    made = get_completion_script(prog_name="mailferry", complete_var="_MAILFERRY_COMPLETE", shell=shell)
    assert (FOLDER / SCRIPTS[shell]).read_text() == made + "\n"


@pytest.fixture(scope="module")
def with_program() -> dict[str, str]:
    """An environment in which a shell finds the program."""
    beside = Path(sys.executable).parent
    assert (beside / "mailferry").exists()
    return {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "HOME": "/nonexistent"}


def completed(environment: dict[str, str], *words: str) -> list[str]:
    """Return what bash offers for the last of these words."""
    script = (
        f"source {FOLDER}/mailferry.bash\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mailferry_completion mailferry\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
        "complete -p mailferry >&2\n"
    )
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run(
        [bash, "--norc", "-c", script, "bash", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "_mailferry_completion mailferry" in ran.stderr
    return ran.stdout.split()


def test_bash_completes_commands_groups_and_options(with_program: dict[str, str]) -> None:
    assert completed(with_program, "mailferry", "do") == ["domain"]
    assert set(completed(with_program, "mailferry", "account", "re")) == {
        "receipt",
        "reset",
        "resume",
        "retry",
    }
    assert "--notices" in completed(with_program, "mailferry", "domain", "set", "--no")
