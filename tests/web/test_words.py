"""Both languages for everything that a page says, and pages that need nothing from elsewhere."""

from __future__ import annotations

import re
import string

import pytest

from mailferry.model.account import State
from mailferry.model.causes import Actor
from mailferry.store.remarks import RemarkKind
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


def said(text: str) -> set[str]:
    """Return the keys that a template says, and with a star what begins a key that is put together."""
    keys = set()
    for call in re.findall(r"\bt\(((?:[^()]|\([^()]*\))*)\)", text):
        first = re.split(r",\s*\w+=", call, maxsplit=1)[0]
        chosen = re.sub(r"\bif\b.*?(?=\belse\b|$)", "", first)  # what decides is no key
        for _, key, put in re.findall(r"""(["'])([^"']+)\1\s*(~)?""", chosen):
            keys.add(key + "*" * bool(put))
    return keys


def test_templates_say_only_what_the_dictionary_has() -> None:
    used = {key for path in SOURCES for key in said(path.read_text())}
    assert {key for key in used if not key.endswith("*")} - set(DICTIONARY) == set()
    for start in (key[:-1] for key in used if key.endswith("*")):
        assert any(key.startswith(start) for key in DICTIONARY), start
    assert len(used) > 100


def test_keys_are_found_however_a_template_says_them() -> None:
    assert said("""{{ t("a.b", n=x|f) }} {{ t('c') }} {{ t("d" if x == "no" else "e") }} {{ t("f." ~ y) }}""") == {
        "a.b", "c", "d", "e", "f.*"
    }  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_every_state_is_said_and_explained(state: State) -> None:
    assert f"state.{state.value}" in DICTIONARY
    assert f"user.{state.value}" in DICTIONARY
    assert f"user.headline.{state.value}" in DICTIONARY


@pytest.mark.parametrize("actor", Actor)
def test_everybody_who_must_act_is_named(actor: Actor) -> None:
    assert f"who.{actor.value}" in DICTIONARY


@pytest.mark.parametrize("kind", RemarkKind)
def test_everything_that_is_remarked_of_a_copy_is_named(kind: RemarkKind) -> None:
    assert f"remark.{kind.value}" in DICTIONARY


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
    starts = {key[:-1] for path in SOURCES for key in said(path.read_text()) if key.endswith("*")}
    kinds = {kind for path in SOURCES for kind in re.findall(r'\bnamed\("([a-z]+)"', path.read_text())}
    starts |= {f"{kind}." for kind in kinds}
    indirect = {key for key in DICTIONARY if key.startswith(("state.", "said.", "fault.", *starts))}
    indirect |= {f"user.{part}{state.value}" for state in State for part in ("", "headline.")}
    unread = {key for key in set(DICTIONARY) - indirect if everything.count(f'"{key}"') < 2}
    assert not unread


@pytest.mark.hazard("T38")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_templates_hold_no_script_no_style_and_no_other_host(path) -> None:
    text = re.sub(r"""<script src="\{\{ asset\('[a-z.-]+'\) \}\}" defer></script>""", "", path.read_text())
    assert not re.search(
        r"<script|<style|\sstyle=|\son[a-z]+=|\shx-on|javascript:|js:|https?://|\|\s*safe",
        text,
        re.IGNORECASE,
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_words_stand_in_a_template_itself(path) -> None:
    """Names, units and signs may; a sentence has a key, so that it has its Chinese."""
    text = re.sub(r"\{% block width %\}\w+\{% endblock %\}", "", path.read_text())  # a class
    text = re.sub(r"\{[{%#].*?[}%#]\}|<!?[^>]*>", " ", text, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"&[a-z]+;", "", text)))
    assert words <= {"English", "mailferry", "UID", "PID", "CSV", "IMAP", "SMTP", "DNS"}
    assert set(re.findall(r"[\u4e00-\u9fff]+", text)) <= {"简体中文"}
