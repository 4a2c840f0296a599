from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.plan import addresses
from mailferry.plan.addresses import BadAddress, canonical_address, source_login


@pytest.mark.hazard("T26")
@pytest.mark.parametrize(
    "typed",
    ["li@old.test", "LI@Old.Test", " LI@old.test ", "ＬＩ＠ｏｌｄ．ｔｅｓｔ", "li@old.test.", "li", "LI"],
)
def test_spellings_of_one_mailbox_are_one_account(typed: str) -> None:
    assert canonical_address(typed, "old.test") == "li@old.test"


@pytest.mark.hazard("T20")
@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "li*boss@old.test",
        "li%boss@old.test",
        "a@b@old.test",
        "li\r\n@old.test",
        "l\u200bi@old.test",
        "@old.test",
        "li@",
        "l i@old.test",
        "li\x00@old.test",
        "li\x1b[2J@old.test",
        "x" * 400 + "@old.test",
    ],
)
def test_names_that_no_account_can_have_are_refused(typed: str) -> None:
    with pytest.raises(BadAddress):
        canonical_address(typed, "old.test")


def test_a_name_without_a_domain_needs_a_default() -> None:
    with pytest.raises(BadAddress):
        canonical_address("li")


def test_an_international_domain_goes_to_its_ascii_form() -> None:
    assert canonical_address("li@公司.cn") == "li@xn--55qx5d.cn"


@given(st.text(max_size=60))
def test_spelling_twice_changes_nothing(name: str) -> None:
    try:
        once = canonical_address(name, "old.test")
    except BadAddress:
        return
    assert canonical_address(once) == once


@pytest.mark.parametrize(
    ("form", "override", "expected"),
    [
        ("full", None, "li@new.test"),
        ("local", None, "li"),
        (r"CORP\{local}", None, r"CORP\li"),
        ("full", "li@old.test", "li@old.test"),
        ("local", "wei@old.test", "wei"),
        ("full", r"CORP\wei", r"CORP\wei"),
        ("{local}+{domain}", None, "li+new.test"),
    ],
)
def test_the_name_at_the_source_follows_form_and_mapping(
    form: str, override: str | None, expected: str
) -> None:
    assert source_login("li@new.test", form, override) == expected


@given(
    st.from_regex(r"[ -~]{0,12}@?[ -~]{0,20}", fullmatch=True)
    | st.from_regex(r"[A-Za-z0-9._+-]{1,8}@[A-Za-z0-9.-]{1,12}\.[a-z]{1,4}", fullmatch=True)
    | st.just("\u212a@k.test")
    | st.just(f"a@{'x' * 64}.test")
)
def test_the_short_way_for_plain_names_gives_what_folding_gives(name: str) -> None:
    def judged() -> str | None:
        try:
            return canonical_address(name)
        except BadAddress:
            return None

    short = judged()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "_PLAIN", re.compile("(?!)"))
        assert judged() == short
