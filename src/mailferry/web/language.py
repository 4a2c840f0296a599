"""Which of the two languages a page is in: asked for by the switch, kept in a cookie, else the browser's."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

COOKIE = "mailferry-language"
QUERY = "lang"


class Language(StrEnum):
    """A language that every page speaks."""

    EN = "en"
    ZH = "zh"

    @property
    def tag(self) -> str:
        """The language as HTML names it (RFC 5646)."""
        return "zh-Hans" if self is Language.ZH else "en"


def chosen(query: Mapping[str, str]) -> Language | None:
    """Return what the switch of a page asks for, None when it was not used."""
    return _known(query.get(QUERY, ""))


def language_of(query: Mapping[str, str], cookies: Mapping[str, str], accepted: str) -> Language:
    """Return the language of an answer; `accepted` is the Accept-Language header (RFC 9110 12.5.4)."""
    return chosen(query) or _known(cookies.get(COOKIE, "")) or _first_accepted(accepted) or Language.EN


def _known(word: str) -> Language | None:
    return Language(word) if word in set(Language) else None


def _first_accepted(header: str) -> Language | None:
    weighed: list[tuple[float, int, Language]] = []
    for place, part in enumerate(header[:1000].split(",")):
        name, _, weight = part.strip().partition(";")
        language = _known(name.strip().lower().partition("-")[0])
        if language is not None:
            weighed.append((-_quality(weight), place, language))
    wanted = [entry for entry in weighed if entry[0] < 0]
    return min(wanted)[2] if wanted else None


def _quality(weight: str) -> float:
    key, _, value = weight.replace(" ", "").partition("=")
    if key != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
