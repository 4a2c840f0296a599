"""Which language a page is in."""

from __future__ import annotations

import pytest

from mailferry.web.language import Language, language_of, locale_of


@pytest.mark.parametrize(
    ("query", "cookie", "accepted", "language"),
    [
        ("", "", "", "en"),
        ("", "", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "", "zh-TW", "zh"),
        ("", "", "zh-Hant-HK", "zh"),
        ("", "", "ZH-cn", "zh"),
        ("", "", "zh_CN", "zh"),
        ("", "", "*", "en"),
        ("", "", "fr, en;q=0.5, zh;q=0.4", "en"),
        ("", "", "en;q=0.3, zh;q=0.8", "zh"),
        ("", "", "zh;q=0, en;q=0.1", "en"),
        ("", "", "zh;q=x", "en"),
        ("", "", ",,;;q=,zh" * 500, "zh"),
        ("", "zh", "en", "zh"),
        ("en", "zh", "zh", "en"),
        ("klingon", "<script>", "zh", "zh"),
    ],
)
def test_the_switch_comes_before_the_cookie_before_the_browser(
    query: str, cookie: str, accepted: str, language: str
) -> None:
    found = language_of({"lang": query}, {"mailferry-language": cookie}, accepted)
    assert found is Language(language)


@pytest.mark.parametrize(
    ("language", "accepted", "locale"),
    [
        ("en", "", "en"),
        ("en", "en-GB,en;q=0.8", "en_GB"),
        ("en", "zh-CN,EN-au;q=0.5", "en_AU"),
        ("en", "en-Latn-DSRT, de", "en"),
        ("zh", "en-GB", "zh_Hans_CN"),
        ("zh", "zh-TW,zh;q=0.5", "zh_Hans_CN"),
        ("zh", "zh", "zh_Hans_CN"),
        ("en", "../../etc/passwd, en-\x00, en_zz", "en"),
    ],
)
def test_dates_and_numbers_follow_the_first_country_that_speaks_the_pages_language(
    language: str, accepted: str, locale: str
) -> None:
    assert str(locale_of(Language(language), accepted)) == locale
