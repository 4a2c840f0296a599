"""Both languages for everything that `domain test` says."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from mailferry.app import preflight, preflight_lines
from mailferry.app.checking import Sign
from mailferry.app.preflight import altered
from mailferry.app.preflight_words import SENTENCES, finding, named, said
from mailferry.model.causes import Cause
from mailferry.plan.checklist import Seen
from mailferry.plan.copy_estimate import Slowed
from mailferry.providers.sentences import Words

CHINESE = re.compile(r"[\u4e00-\u9fff]")
WRITERS = [Path(str(module.__file__)) for module in (preflight, preflight_lines)]


def values(text: str) -> set[tuple[str, str | None]]:
    """Return what is put into a sentence, and how it is written."""
    return {(name, how) for _, name, how, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", SENTENCES)
def test_each_sentence_has_its_chinese_with_the_same_values(key: str) -> None:
    words = SENTENCES[key]
    assert re.search("[A-Za-z]", words.en)
    assert not CHINESE.search(words.en)
    assert CHINESE.search(words.zh), "a copy of the English is no Chinese"
    assert values(words.en) == values(words.zh)


@pytest.mark.parametrize("path", WRITERS, ids=lambda path: path.stem)
def test_no_line_is_made_of_other_sentences(path: Path) -> None:
    """Each line is a `finding` of what `said` returns; no part of one is a text of its own."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = [(node.func.id, node) for node in calls if isinstance(node.func, ast.Name)]
    assert "Line" not in {name for name, _ in names}
    parts = [part for name, node in names if name == "finding" for part in node.args[1:]]
    assert parts
    assert not [part for part in parts if isinstance(part, ast.Constant | ast.JoinedStr)]


def test_each_sentence_has_a_reader_and_each_reader_a_sentence() -> None:
    text = "".join(path.read_text() for path in WRITERS)
    whole = set(re.findall(r'\bsaid\(\s*"([^"]+)"', text)) | set(re.findall(r'else said\("([^"]+)"', text))
    whole |= {"made-up.blocked", "made-up.accepted", "at.server"}
    whole |= {f"at.server{part}" for part in re.findall(r'at_server\([^()]*, "([^"]+)"\)', text)}
    whole |= {f"variant.{kind}" for kind in altered(b"Secret")}
    whole |= {f"seen.{seen.name.lower()}" for seen in Seen}
    whole |= {f"slowed.{limit.name.lower()}" for limit in Slowed}
    assert whole == set(SENTENCES)


def test_values_that_are_sentences_come_in_each_language() -> None:
    found = said("slowed", limit=said("slowed.by_day"))
    assert found == Words(", because of the octets that it gives a day", "（受限于其每日流量上限）")
    line = finding(
        Sign.NOTE, said("at.estimate"), said("failed", cause=named(Cause.EXPIRED), text="{NO} 过期")
    )
    assert line.found == "expired: {NO} 过期", "a server's words are shown as they are"
    assert line.found_zh.endswith("（expired）：{NO} 过期")
    assert (line.fix, line.fix_zh) == ("", "")


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_chinese_name(cause: Cause) -> None:
    assert CHINESE.search(named(cause).zh)
