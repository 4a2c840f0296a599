"""docs/benchmarks.md: each bench replaces its own parts of the page and leaves the rest as it is."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


class NoSuchPart(ValueError):
    """The page has no place for such a part."""


def put(part: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the markers of `part`; raises NoSuchPart."""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before = page.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(before)) != 1:
        raise NoSuchPart(f"{page.name} has no place between {begin} and {end}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", before), encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; the first column holds names, the others figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])
