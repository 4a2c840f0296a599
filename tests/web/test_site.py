"""What all answers have in common, and which requests are refused before a page sees them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from mailferry.store.database import Database
from mailferry.web.assets import KEPT, STATIC, asset
from mailferry.web.desk import Desk
from mailferry.web.site import make_site
from tests.web.browser import HOST, Browser
from tests.web.conftest import MakeDesk

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ANSWERS = (
    ("GET", "/", 200),
    ("GET", asset("mailferry.css"), 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("HEAD", "/", 200),
    ("HEAD", "/healthz", 200),
    ("HEAD", "/nowhere", 404),
    ("GET", "/admin/sign-in", 200),
    ("GET", "/admin/", 303),
    ("GET", "/admin/account?address=x", 303),
    ("GET", "/nowhere", 404),
    ("GET", "/sign-in", 405),
    ("POST", "/sign-in", 403),
    ("DELETE", "/", 403),
)


def check_headers(answer: httpx.Response, path: str) -> None:
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    kept = KEPT if path.startswith("/static/") else "no-store"
    assert answer.headers["cache-control"] == kept


@pytest.mark.hazard("T38")
@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_carries_the_headers(browser: Browser, method: str, path: str, status: int) -> None:
    answer = browser.ask(method, path)
    assert answer.status_code == status
    check_headers(answer, path)


@pytest.mark.hazard("T38")
def test_every_route_answers_with_the_headers_whoever_asks(
    site: FastAPI, browser: Browser, admin: Browser
) -> None:
    asked = 0
    for route in routes_of(site):
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        for method in sorted(getattr(route, "methods", ())):
            for headers in ({}, {"sec-fetch-site": "same-origin"}):
                for who in (browser, admin):
                    check_headers(who.ask(method, path, headers=headers), path)
                    asked += 1
    assert asked > 100


@pytest.mark.hazard("T40")
def test_a_fault_of_ours_shows_nothing_of_its_insides_and_carries_the_headers(site: FastAPI) -> None:
    @site.get("/broken")
    def broken() -> None:
        secret = "canary-secret"
        raise RuntimeError(f"with {secret} in it")

    with capture_logs() as told:
        answer = Browser(site).get("/broken")
    assert [line["event"] for line in told] == ["a page broke"]
    assert answer.status_code == 500
    check_headers(answer, "/broken")
    assert "canary" not in answer.text
    assert "Traceback" not in answer.text


def routes_of(router: Any) -> Iterator[Any]:
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from routes_of(inner) if inner is not None else [route]


def posts_of(site: FastAPI) -> list[str]:
    """Return an address for each route of a page that changes something."""
    routes = [route for route in routes_of(site) if "POST" in getattr(route, "methods", ())]
    return sorted(re.sub(r"\{action\}", "pause", route.path) for route in routes)


def test_pages_are_asked_and_forms_are_posted_and_nothing_else(site: FastAPI) -> None:
    assert {m for r in routes_of(site) for m in getattr(r, "methods", ())} <= {"GET", "HEAD", "POST"}
    assert {"/start", "/again", "/sign-in", "/admin/sign-in", "/admin/import"} <= set(posts_of(site))
    assert len(posts_of(site)) > 9


@pytest.mark.hazard("T38")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": f"http://{HOST}.evil.test"},
        {"origin": f"http://{HOST}:8080"},
        {"origin": f"http://evil.test/{HOST}"},
        {"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"},
        {"sec-fetch-site": "same-site", "origin": f"http://{HOST}"},
    ],
)
def test_a_form_of_another_site_is_refused(site: FastAPI, admin: Browser, headers: dict[str, str]) -> None:
    for path in posts_of(site):
        fields = {"address": "li@old.test", "name": "old.test"}
        assert admin.ask("POST", path, data=fields, headers=headers).status_code == 403, path


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"origin": f"http://{HOST}"},
        {"origin": f"https://{HOST.upper()}"},
    ],
)
def test_a_form_of_this_site_is_taken(browser: Browser, headers: dict[str, str]) -> None:
    answer = browser.ask("POST", "/sign-out", headers=headers)
    assert answer.status_code == 303


@pytest.mark.hazard("T38")
@pytest.mark.parametrize(
    "path", ["/admin/account/retry", "/admin/account/pause", "/admin/domain/pause", "/start", "/again"]
)
def test_nothing_is_changed_by_a_link(admin: Browser, path: str) -> None:
    assert admin.get(path).status_code in {404, 405}


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/accounts", "/admin/accounts.csv", "/admin/import", "/admin/audit", "/admin/domains"]
)  # fmt: skip
def test_the_console_shows_strangers_its_door_only(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")


@pytest.mark.parametrize(
    ("path", "title"), [("/nothing", "Moving your mailbox"), ("/admin/nothing", "mailferry console")]
)
def test_a_page_that_is_not_there_is_told_in_the_look_of_those_around_it(
    browser: Browser, path: str, title: str
) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert title in answer.text
    assert f'href="{path.removesuffix("nothing")}"' in answer.text


def test_a_store_that_cannot_be_asked_is_one_plain_page(make_desk: MakeDesk, tmp_path) -> None:
    gone = Database(f"sqlite:///{tmp_path}/nowhere/mailferry.db")
    desk: Desk = make_desk(database=gone)
    browser = Browser(make_site(desk, doors=()), language="zh")
    answer = browser.post("/admin/sign-in", {"name": "anna", "password": "a long password"})
    assert answer.status_code == 503
    assert "nowhere" not in answer.text
    assert "稍后再试" in answer.text
    assert browser.get("/healthz").status_code == 200


def test_the_switch_of_languages_is_kept_in_a_cookie(browser: Browser) -> None:
    assert "Moving your mailbox" in browser.get("/").text
    answer = browser.get("/?lang=zh")
    assert "邮箱搬家" in answer.text
    assert 'lang="zh-Hans"' in answer.text
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert "邮箱搬家" in browser.get("/").text


def test_the_switch_of_dark_and_light_is_kept_in_a_cookie(browser: Browser) -> None:
    assert "data-look" not in browser.get("/").text
    answer = browser.get("/?look=dark")
    assert '<html lang="en" data-look="dark">' in answer.text
    assert {"httponly", "samesite=strict"} <= set(answer.headers["set-cookie"].lower().split("; "))
    assert 'data-look="dark"' in browser.get("/admin/sign-in").text
    assert "data-look" not in browser.get("/?look=auto").text
    assert "data-look" not in browser.get("/").text
    assert "data-look" not in browser.get('/?look="><script>').text


def test_the_switch_leads_nowhere_else(browser: Browser) -> None:
    page = browser.get("//evil.test/%22%3E%3Cscript%3E?x=%22%3E").text
    assert "evil.test" not in page
    assert "<script" not in page


@pytest.mark.parametrize("name", ["..%2f..%2fsite.py", "%2e%2e/site.py", "mailferry.css", "htmx.LICENSE"])
def test_only_the_files_of_pages_are_served_and_only_under_the_names_of_their_content(
    browser: Browser, name: str
) -> None:
    assert browser.get(f"/static/{name}").status_code == 404


def test_a_file_of_pages_has_its_type_and_another_name_when_its_content_changes(browser: Browser) -> None:
    for name, media_type in (("mailferry.css", "text/css"), ("mailferry.svg", "image/svg+xml")):
        octets = (STATIC / name).read_bytes()
        answer = browser.get(asset(name))
        assert answer.content == octets
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert hashlib.sha256(octets).hexdigest()[:16] in asset(name)
