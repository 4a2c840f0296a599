"""Pages from templates: everything that a page shows is escaped, and its words come in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from mailferry.providers.sentences import Words
from mailferry.web.console_words import CONSOLE
from mailferry.web.language import COOKIE, QUERY, Language, chosen, language_of
from mailferry.web.words import SHARED, USER_PAGE, state_key

TEMPLATES = Path(__file__).with_name("templates")
DICTIONARY: Mapping[str, Words] = {**SHARED, **USER_PAGE, **CONSOLE}
_YEAR = 365 * 86400


def spoken(language: Language, key: str, **values: object) -> str:
    """Return the words of `key` with `values` put in; raises KeyError for a key that nobody wrote."""
    words = DICTIONARY[key]
    text = words.zh if language is Language.ZH else words.en
    return text.format(**values) if values else text


class Pages:
    """Renders templates."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["state_key"] = state_key
        self._templates.filters["thousands"] = lambda number: f"{number:,}"

    def page(self, request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
        """Return the page in the language of `request`."""
        language = page_language(request)

        def say(key: str, **values: object) -> str:
            return spoken(language, key, **values)

        text = self._templates.get_template(template).render(
            t=say, language=language, switches=_switches(request), **facts
        )
        answer = HTMLResponse(text, status_code=status)
        if chosen(request.query_params) is not None:
            answer.set_cookie(
                COOKIE,
                language.value,
                max_age=_YEAR,
                secure=secure(request),
                httponly=True,
                samesite="strict",
            )
        return answer


def page_language(request: Request) -> Language:
    """Return the language of the answer to `request`."""
    return language_of(request.query_params, request.cookies, request.headers.get("accept-language", ""))


def secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to the web server before us."""
    return request.url.scheme == "https"


def _switches(request: Request) -> Mapping[Language, str]:
    """Return where each language's link leads: the same page, or what comes before a posted form."""
    if request.method == "GET":
        return {
            language: f"?{request.url.include_query_params(**{QUERY: language.value}).query}"
            for language in Language
        }
    start = "/admin/" if request.url.path.startswith("/admin/") else "/"
    return {language: f"{start}?{QUERY}={language.value}" for language in Language}
