"""What a domain's users are told: `domain add` and `domain set` take it, `domain show` shows it, a file holds it."""

from __future__ import annotations

from tests.cli.place import NOWHERE, Place

FIRM = "firm.example"


def shown(place: Place) -> str:
    words: str = place.well("domain", "show", FIRM, "--json").json["notices"]
    return words


def test_notices_are_set_shown_and_kept(empty: Place) -> None:
    empty.well("domain", "add", FIRM, "--source", NOWHERE)
    assert shown(empty) == "done"
    empty.well("domain", "set", FIRM, "--notices", "failed,started")
    assert shown(empty) == "started,failed"
    empty.well("domain", "set", FIRM, "--language", "zh")
    assert shown(empty) == "started,failed"
    assert "started,failed" in empty.well("domain", "show", FIRM).out
    assert "notices" in empty.fails("domain", "set", FIRM, "--notices", "everything", status=2)
    empty.well("domain", "set", FIRM, "--notices", "none")
    assert shown(empty) == "none"


def test_a_file_of_domains_holds_them_and_says_the_same_twice(empty: Place) -> None:
    file = empty.config.parent / "domains.toml"
    file.write_text(f'[[domain]]\nname = "{FIRM}"\nsource = "{NOWHERE}"\nnotices = ["done", "failed"]\n')
    assert "added" in empty.well("domain", "apply", file).out
    assert shown(empty) == "done,failed"
    assert "unchanged" in empty.well("domain", "apply", file).out
    file.write_text(file.read_text().replace('["done", "failed"]', "[]"))
    assert "changed (notices)" in empty.well("domain", "apply", file).out
    assert shown(empty) == "none"
