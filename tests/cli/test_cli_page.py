"""docs/cli.md says of every command what the program's own help says."""

from __future__ import annotations

import re

from tests.cli.help_pages import HelpPage, commands
from tests.cli.program import ROOT, Program


def pages() -> list[HelpPage]:
    """Return the page's sections, one a command."""
    text = (ROOT / "docs/cli.md").read_text()
    found = []
    for usage, body in re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        sentence = next(line for line in body.splitlines() if line)
        rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", body, re.MULTILINE)
        found.append(
            HelpPage(usage, sentence, tuple((name, told.replace(r"\|", "|")) for name, told in rows))
        )
    return found


def test_the_page_has_every_command_with_every_option_as_the_program_explains_them(program: Program) -> None:
    real = {page.usage: page for page in commands(program)}
    shown = {page.usage: page for page in pages()}
    assert list(shown) == list(real)
    for usage, page in real.items():
        assert shown[usage] == page
