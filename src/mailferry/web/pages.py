"""Pages from templates: everything that a page shows is escaped, and its words come in the reader's language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from mailferry.providers.sentences import Words
from mailferry.web.assets import asset
from mailferry.web.console_words import CONSOLE
from mailferry.web.formats import Formats, format_filters
from mailferry.web.language import COOKIE, QUERY, Language, chosen, language_of, locale_of
from mailferry.web.look import COOKIE as LOOK_COOKIE
from mailferry.web.look import LOOKS, chosen_look, look_of
from mailferry.web.look import QUERY as LOOK_QUERY
from mailferry.web.telling import failure_in_chinese, in_chinese
from mailferry.web.words import SHARED, USER_PAGE, state_key

TEMPLATES = Path(__file__).with_name("templates")
DICTIONARY: Mapping[str, Words] = {**SHARED, **USER_PAGE, **CONSOLE}
HTMX_CONFIG = json.dumps(
    {
        "includeIndicatorStyles": False,  # it would write a style element, which the policy forbids
        "allowEval": False,
        "allowScriptTags": False,
        "selfRequestsOnly": True,
        "historyCacheSize": 0,  # nothing of a page is kept in the browser's storage
    }
)
"""What the one script on our pages is told before it starts (a meta element of the base template)."""

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
        self._templates.globals.update(state_key=state_key, asset=asset, htmx_config=HTMX_CONFIG)
        self._templates.filters.update(format_filters())

    def page(self, request: Request, template: str, *, status: int = 200, **facts: Any) -> HTMLResponse:
        """Return the page in the language of `request`, with dates and numbers as its reader writes them."""
        accepted = request.headers.get("accept-language", "")
        language = page_language(request)

        def say(key: str, **values: object) -> str:
            if any(isinstance(value, Markup) for value in values.values()):
                return escape(spoken(language, key)).format(**values)  # which escapes the others
            return spoken(language, key, **values)

        def named(kind: str, word: str) -> str:
            """Return what a word of the store is called; one that nobody named stands for itself."""
            key = f"{kind}.{word}"
            return say(key) if key in DICTIONARY else word

        text = self._templates.get_template(template).render(
            t=say,
            named=named,
            ours=in_chinese if language is Language.ZH else str,
            failed=failure_in_chinese if language is Language.ZH else str,
            language=language,
            formats=Formats(locale_of(language, accepted)),
            look=look_of(request.query_params, request.cookies),
            switches={one: _link(request, QUERY, one.value) for one in Language},
            looks={one: _link(request, LOOK_QUERY, one) for one in LOOKS},
            **facts,
        )
        answer = HTMLResponse(text, status_code=status)
        if chosen(request.query_params) is not None:
            _keep(request, answer, COOKIE, language.value)
        look = chosen_look(request.query_params)
        if look is not None:
            _keep(request, answer, LOOK_COOKIE, look)
        return answer


def page_language(request: Request) -> Language:
    """Return the language of the answer to `request`."""
    return language_of(request.query_params, request.cookies, request.headers.get("accept-language", ""))


def secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to the web server before us."""
    return request.url.scheme == "https"


def _keep(request: Request, answer: HTMLResponse, name: str, value: str) -> None:
    answer.set_cookie(name, value, max_age=_YEAR, secure=secure(request), httponly=True, samesite="strict")


def _link(request: Request, name: str, value: str) -> str:
    """Return where a switch leads: the same page, or what comes before a posted form."""
    if request.method == "GET":
        return f"?{request.url.include_query_params(**{name: value}).query}"
    start = "/admin/" if request.url.path.startswith("/admin/") else "/"
    return f"{start}?{name}={value}"
