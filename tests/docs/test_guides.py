"""What the pages for people say can be typed and set, and both languages say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mailferry.config.domains import DomainsFile
from mailferry.config.known_names import every_key, fields_of, section_in
from mailferry.config.settings import Settings
from tests.docs import said_commands
from tests.docs.said_commands import ROOT

PAIRS = [
    ("README.md", "README.zh-CN.md"),
    ("docs/administrator.md", "docs/administrator.zh-CN.md"),
    ("docs/users.md", "docs/users.zh-CN.md"),
]
GUIDES = [name for pair in PAIRS for name in pair]
HAN = re.compile(r"[\u4e00-\u9fff]")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def outline(page: str) -> list[str]:
    """Return what a translation keeps: levels of headings, blocks, items, rows and their cells."""
    kept, inside = [], False
    for line in page.splitlines():
        if line.strip().startswith("```"):
            inside = not inside
            kept.append("```")
        elif inside:
            continue
        elif found := re.match(r"(#+) ", line):
            kept.append(found[1])
        elif found := re.match(r"( *)(-|\d+\.) ", line):
            kept.append(f"{len(found[1])}{found[2]}")
        elif line.startswith("|"):
            kept.append(f"|{line.count('|')}")
    return kept


def blocks(page: str) -> list[str]:
    return re.findall(r"^ *```\w*\n.*?^ *```", page, re.MULTILINE | re.DOTALL)


def words_in_backticks(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)))


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_have_the_same_structure(english: str, chinese: str) -> None:
    ours, theirs = text(english), re.sub(r"^\[English\].*\n", "", text(chinese), flags=re.MULTILINE)
    assert outline(theirs) == outline(ours)


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_show_the_same_commands_and_files(english: str, chinese: str) -> None:
    assert blocks(text(chinese)) == blocks(text(english))
    there, here = words_in_backticks(text(chinese)), words_in_backticks(text(english))
    named = {word for word in here if re.search(r"[./_=-]|^mailferry", word)}
    assert named - there == set()
    assert {word for word in there - here if not HAN.search(word)} == set()


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_lead_to_the_same_pages_and_pictures(english: str, chinese: str) -> None:
    def led(page: str) -> set[str]:
        links = re.findall(r"\]\(([^)#]+)\)", page)
        return {re.sub(r"-(?:en|zh)\.png$", ".png", link.replace(".zh-CN.md", ".md")) for link in links}

    itself = {Path(english).name}
    assert led(text(chinese)) - itself == led(text(english)) - itself


@pytest.mark.parametrize("chinese", [pair[1] for pair in PAIRS])
def test_the_chinese_page_is_chinese_throughout(chinese: str) -> None:
    page = re.sub(r"```.*?```", "", text(chinese), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    foreign = {"mailferry", "Foxmail", "Outlook"}
    assert [heading for heading in headings if not HAN.search(heading) and heading not in foreign] == []
    paragraphs = [part for part in re.split(r"\n\s*\n", page) if len(part) > 60]
    assert [part for part in paragraphs if not HAN.search(part)] == []


@pytest.mark.parametrize(
    "name", [*GUIDES, "docs/settings.md", "docs/password-backends.md", "docs/providers.md"]
)
def test_every_command_that_a_page_names_is_one_of_the_programs(name: str) -> None:
    said = said_commands.said_in(text(name))
    assert [wrong for line in said if (wrong := said_commands.fault(line))] == []
    assert said or "users" in name


def test_a_command_that_is_none_is_found() -> None:
    wrong = ["mailferry dance", "mailferry domain dance", "mailferry check --loudly", "mailferry account lst"]
    assert [line for line in wrong if said_commands.fault(line) is None] == []


@pytest.mark.parametrize("name", GUIDES)
def test_every_setting_that_a_page_shows_is_one_of_the_programs(name: str) -> None:
    page = text(name)
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        table = tomllib.loads(block)
        model = DomainsFile if "domain" in table else Settings
        shown = set(_keys(table))
        assert shown - set(every_key(model)) == set()
    tables = {"copy", "domain", *_tables(Settings)}
    named = re.findall(r"`\[+([a-z.-]+)\]+`", page)
    assert [one for one in named if one not in tables] == []
    keys = {path[-1] for model in (Settings, DomainsFile) for path in every_key(model)}
    assert [key for key in re.findall(r"`([a-z_]+) = [^`]+`", page) if key not in keys] == []


def _keys(table: dict, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        items = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for item in items:
            if isinstance(item, dict) and not set(item) & {"file", "env", "credential"}:
                found += _keys(item, (*path, key))
            else:
                found.append((*path, key))
    return found


def _tables(model: type, path: str = "") -> set[str]:
    found = set()
    for key, field in fields_of(model).items():
        inner = section_in(field.annotation)
        if inner is not None:
            found |= {f"{path}{key}", *_tables(inner, f"{path}{key}.")}
    return found


@pytest.mark.parametrize("name", GUIDES)
def test_every_file_that_a_page_leads_to_is_there(name: str) -> None:
    folder = (ROOT / name).parent
    for link in re.findall(r"\]\(([^)#]+)\)", text(name)):
        if "://" not in link:
            assert (folder / link).exists(), link
    for word in words_in_backticks(text(name)):
        if re.fullmatch(r"(docs|conf|systemd)/[\w./-]+", word):
            assert Path(ROOT / word).exists(), word
