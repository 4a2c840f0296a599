"""Pictures in the documents: each one that is kept is shown somewhere, and each one shown is there and small."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
MOST_OCTETS = 200_000


def shown() -> set[Path]:
    """Return where the pages' links to pictures lead."""
    found = set()
    for page in PAGES:
        links = re.findall(r"\]\(([^)\s]+\.png)\)", page.read_text(encoding="utf-8"))
        found |= {(page.parent / link).resolve() for link in links}
    return found


def test_each_picture_is_shown_and_each_shown_is_there() -> None:
    assert set((ROOT / "docs/images").glob("*.png")) == shown()


def test_pictures_are_small() -> None:
    assert not [path for path in shown() if path.stat().st_size > MOST_OCTETS]
