from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mailferry.config.toml_text import toml_tables, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(st.from_regex(r"[a-z_-]{1,9}", fullmatch=True), inner),
)


@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


def test_tables_lists_of_tables_and_tables_inside_tables_are_written() -> None:
    text = toml_tables(
        {
            "one": {"path": Path("/a b")},
            "one.inner": {"n": 3},
            "many": [{"name": "a"}, {"name": "b"}],
            "none": [],
        }
    )
    assert tomllib.loads(text) == {
        "one": {"path": "/a b", "inner": {"n": 3}},
        "many": [{"name": "a"}, {"name": "b"}],
    }
