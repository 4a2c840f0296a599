"""Long work shows a bar on a terminal, and nothing of it goes where output is read by programs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mailferry.cli.long_work import long_work


def test_a_terminal_shows_what_goes_on_and_is_clean_afterwards() -> None:
    seen = io.StringIO()
    with long_work("reading both sides", Console(file=seen, force_terminal=True, width=100)):
        pass
    assert "reading both sides" in seen.getvalue()
    assert seen.getvalue().rstrip().endswith("\x1b[2K"), "the last line is taken away"


def test_elsewhere_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with long_work("reading both sides"):
        print("a line")
    assert capsys.readouterr() == ("a line\n", "")


def test_the_output_of_the_work_stays_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    seen = io.StringIO()
    with long_work("reading both sides", Console(file=seen, force_terminal=True, width=100)):
        print("a line")
    assert capsys.readouterr().out == "a line\n"
    assert "a line" not in seen.getvalue()


def test_a_fault_goes_through_and_takes_the_bar_along() -> None:
    seen = io.StringIO()
    with pytest.raises(ValueError, match="broken"), long_work("x", Console(file=seen, force_terminal=True)):
        raise ValueError("broken")
