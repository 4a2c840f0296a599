"""The plugin's files: PHP that compiles, and both languages with the same words."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.kit.debian import find
from tests.kit.site_files import CONF

PLUGIN = CONF / "roundcube/plugins/mailferry_state"
PHP = sorted(
    p.relative_to(CONF / "roundcube")
    for p in (CONF / "roundcube").rglob("*")
    if p.suffix in {".php", ".inc", ".dist"}
)


@pytest.mark.peer("roundcube")
@pytest.mark.parametrize("name", [str(path) for path in PHP])
def test_php_reads_the_file(name: str) -> None:
    php = find("roundcube")
    ran = subprocess.run(
        [php.program, "-n", "-l", CONF / "roundcube" / name],
        env=dict(php.env),
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def labels(language: str) -> dict[str, str]:
    text = (PLUGIN / f"localization/{language}.inc").read_text()
    return dict(re.findall(r"^\$labels\['(\w+)'\] = '(.*)';$", text, re.MULTILINE))


def test_every_word_of_the_plugin_is_in_both_languages_and_not_merely_copied() -> None:
    english, chinese = labels("en_US"), labels("zh_CN")
    assert english.keys() == chinese.keys()
    used = re.findall(r"gettext\(\[?(?:'name' => )?'(\w+)'", (PLUGIN / "mailferry_state.php").read_text())
    assert set(used) == english.keys()
    for name, words in chinese.items():
        assert re.search(r"[\u4e00-\u9fff]", words)
        assert re.findall(r"\$\w+", words) == re.findall(r"\$\w+", english[name])
