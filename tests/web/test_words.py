"""Both languages for everything that a page says, and pages that need nothing from elsewhere."""

from __future__ import annotations

import re
import string

import pytest

from mailferry.model.account import State
from mailferry.model.causes import Actor
from mailferry.web.console_words import CONSOLE
from mailferry.web.language import Language
from mailferry.web.pages import DICTIONARY, TEMPLATES, spoken
from mailferry.web.words import SHARED, USER_PAGE

CHINESE = re.compile(r"[\u4e00-\u9fff]")
SOURCES = sorted(TEMPLATES.glob("*.html"))
PYTHON = sorted(TEMPLATES.parent.glob("*.py"))


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_each_sentence_has_its_chinese_with_the_same_values() -> None:
    for key, words in DICTIONARY.items():
        assert re.search("[A-Za-z]", words.en), key
        assert CHINESE.search(words.zh), f"{key} has no Chinese"
        assert fields(words.en) == fields(words.zh), key


def test_no_key_stands_in_two_dictionaries() -> None:
    assert len(DICTIONARY) == len(SHARED) + len(USER_PAGE) + len(CONSOLE)


def test_templates_say_only_what_the_dictionary_has() -> None:
    used = {key for path in SOURCES for key in re.findall(r'\bt\("([^"~]+)"\s*[,)]', path.read_text())}
    assert used <= set(DICTIONARY)
    assert len(used) > 80


@pytest.mark.parametrize("state", State)
def test_every_state_is_said_and_explained(state: State) -> None:
    assert f"state.{state.value}" in DICTIONARY
    assert f"user.{state.value}" in DICTIONARY


@pytest.mark.parametrize("actor", Actor)
def test_everybody_who_must_act_is_named(actor: Actor) -> None:
    assert f"who.{actor.value}" in DICTIONARY


def test_words_of_states_are_those_of_the_design() -> None:
    assert [spoken(Language.ZH, f"state.{state.value}") for state in State] == [
        "未开始",
        "搬家中",
        "完成",
        "失败",
        "非搬家账号",
    ]


def test_no_word_is_without_a_reader() -> None:
    everything = "".join(path.read_text() for path in [*SOURCES, *PYTHON])
    indirect = {key for key in DICTIONARY if key.startswith(("state.", "who.", "said.", "act.", "fault."))}
    indirect |= {f"user.{state.value}" for state in State}
    unread = {key for key in set(DICTIONARY) - indirect if everything.count(f'"{key}"') < 2}
    assert not unread


@pytest.mark.hazard("T38")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_templates_hold_no_script_no_style_and_no_other_host(path) -> None:
    text = path.read_text()
    assert not re.search(
        r"<script|<style|\sstyle=|\son[a-z]+=|javascript:|https?://|\|\s*safe", text, re.IGNORECASE
    )
