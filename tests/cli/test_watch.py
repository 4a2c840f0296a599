"""`mailferry watch`: plain lines in a pipe, the same numbers as everywhere."""

from __future__ import annotations

from tests.cli.place import DOMAIN, Place


def test_the_counts_are_those_of_the_list(filled: Place) -> None:
    line = filled.well("watch", "--once").out
    assert line.startswith("9 accounts (")
    for told in ("1 not_started", "3 in_progress", "2 done", "2 failed", "1 not_migrating"):
        assert told in line
    assert line == filled.well("watch", "--once", "--domain", DOMAIN.upper()).out
    assert len(line.splitlines()) == 1


def test_a_domain_that_does_not_exist_is_named(filled: Place) -> None:
    assert "there is no domain nix.test" in filled.fails("watch", "--once", "--domain", "nix.test")
