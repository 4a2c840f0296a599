"""Which of the two languages a page is in, and by whose customs its dates and numbers are written.

The language is asked for by the switch, kept in a cookie, else the browser's. Words come in English and
in simplified Chinese; the customs are a country's (Babel's data), as far as the browser names one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from babel import Locale, localedata, negotiate_locale

COOKIE = "mailferry-language"
QUERY = "lang"
_LONGEST_HEADER = 1000


class Language(StrEnum):
    """A language that every page speaks."""

    EN = "en"
    ZH = "zh"

    @property
    def tag(self) -> str:
        """The language as HTML names it (RFC 5646)."""
        return "zh-Hans" if self is Language.ZH else "en"


_SIMPLIFIED = "zh_Hans_CN"
_ENGLISH = sorted(name for name in localedata.locale_identifiers() if re.fullmatch("en(_[A-Z]{2})?", name))
_CUSTOMS: Mapping[str, str] = {
    **{name: name for name in _ENGLISH},
    **dict.fromkeys(("zh", "zh_CN", "zh_SG", "zh_TW", "zh_HK", "zh_MO"), _SIMPLIFIED),
}
"""What a browser may ask for, and the locale it gets; Babel itself knows no bare `zh`."""


def chosen(query: Mapping[str, str]) -> Language | None:
    """Return what the switch of a page asks for, None when it was not used."""
    return _known(query.get(QUERY, ""))


def language_of(query: Mapping[str, str], cookies: Mapping[str, str], accepted: str) -> Language:
    """Return the language of an answer; `accepted` is the Accept-Language header (RFC 9110 12.5.4)."""
    return chosen(query) or _known(cookies.get(COOKIE, "")) or _first_accepted(accepted) or Language.EN


def locale_of(language: Language, accepted: str) -> Locale:
    """Return whose customs a page in `language` follows: of the first country accepted that speaks it."""
    names = [name for name in _CUSTOMS if name.partition("_")[0] == language.value]
    found = negotiate_locale(_accepted(accepted), names, sep="_")
    return Locale.parse(
        _CUSTOMS[_spelled(found)] if found else _SIMPLIFIED if language is Language.ZH else "en"
    )


def _known(word: str) -> Language | None:
    return Language(word) if word in set(Language) else None


def _first_accepted(header: str) -> Language | None:
    found = negotiate_locale(_accepted(header), list(_CUSTOMS), sep="_")
    return _known(found.partition("_")[0].lower()) if found else None


def _spelled(name: str) -> str:
    """Return a locale's name in Babel's own letters; a browser may write `ZH-cn`."""
    language, _, country = name.partition("_")
    return f"{language.lower()}_{country.upper()}" if country else language.lower()


def _accepted(header: str) -> list[str]:
    """Return the locales that a browser names, the most wanted first, with Babel's separator."""
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:_LONGEST_HEADER].split(",")):
        name, _, weight = part.strip().partition(";")
        quality = _quality(weight)
        if name.strip() and quality > 0:
            weighed.append((-quality, place, name.strip().replace("-", "_")))
    return [name for _, _, name in sorted(weighed)]


def _quality(weight: str) -> float:
    key, _, value = weight.replace(" ", "").partition("=")
    if key != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
