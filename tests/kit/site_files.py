"""The sample configuration under `conf/`, as it stands, with only ports and paths of a test in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"


def as_it_stands(name: str, places: Mapping[str, str]) -> str:
    """Return the text of `conf/name` with each place of a real site replaced by one of the test's.

    A place that the file does not hold fails: the test would run something else than the sample.
    """
    text = (CONF / name).read_text()
    for place, instead in places.items():
        assert place in text, f"conf/{name} holds no {place!r}"
        text = text.replace(place, instead)
    return text
