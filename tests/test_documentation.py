"""Documentation that can be compared with the code is compared with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from mailferry.model.account import TRANSITIONS, Phase, state_of

ROOT = Path(__file__).parents[1]


def table_rows(text: str, heading: str) -> list[list[str]]:
    section = text.split(heading, 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and not set(line) <= set("|- ")
    ]
    return rows[1:]


def test_the_transition_table_of_the_architecture_page_is_the_programs_own() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    shown = {(a, b, c) for a, b, c in table_rows(text, "## Transitions")}
    real = {(phase.value, event.value, to.value) for (phase, event), to in TRANSITIONS.items()}
    assert shown == real


def test_the_phase_table_shows_each_phase_with_its_state() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    shown = {row[0]: row[2] for row in table_rows(text, "## Phases")}
    assert shown == {phase.value: state_of(phase).value for phase in Phase}


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *(d for extra in project["project"]["optional-dependencies"].values() for d in extra),
    ]
    decisions = (ROOT / "docs/decisions/0001-dependencies.md").read_text()
    missing = [n for n in (re.split(r"[\[><=]", d)[0] for d in named) if n != "rich" and n not in decisions]
    assert not missing


def test_every_room_is_in_the_picture_of_the_floors() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {p.name for p in (ROOT / "src/mailferry").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert {room for room in rooms if f"{room}/" not in text} == set()
