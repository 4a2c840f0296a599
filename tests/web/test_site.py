"""What all answers have in common, and which requests are refused before a page sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mailferry.store.database import Database
from mailferry.web.desk import Desk
from mailferry.web.site import make_site
from tests.web.browser import HOST, Browser
from tests.web.conftest import MakeDesk

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
POSTS = (
    "/sign-in",
    "/sign-out",
    "/start",
    "/again",
    "/admin/sign-in",
    "/admin/sign-out",
    "/admin/domain/pause",
    "/admin/account/retry",
    "/admin/account/password",
    "/admin/import",
)
ANSWERS = (
    ("GET", "/", 200),
    ("GET", "/static/mailferry.css", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
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
    kept = "public, max-age=3600" if path.endswith(".css") else "no-store"
    assert answer.headers["cache-control"] == kept


@pytest.mark.hazard("T38")
@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_carries_the_headers(browser: Browser, method: str, path: str, status: int) -> None:
    answer = browser.ask(method, path)
    assert answer.status_code == status
    check_headers(answer, path)


@pytest.mark.hazard("T40")
def test_a_fault_of_ours_shows_nothing_of_its_insides_and_carries_the_headers(site: FastAPI) -> None:
    @site.get("/broken")
    def broken() -> None:
        secret = "canary-secret"
        raise RuntimeError(f"with {secret} in it")

    answer = Browser(site).get("/broken")
    assert answer.status_code == 500
    check_headers(answer, "/broken")
    assert "canary" not in answer.text
    assert "Traceback" not in answer.text


def routes_of(router: Any) -> Iterator[Any]:
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from routes_of(inner) if inner is not None else [route]


def test_the_table_names_every_route_that_changes_something(site: FastAPI) -> None:
    posts = {
        re.sub(r"\{action\}", "pause" if "domain" in route.path else "retry", route.path)
        for route in routes_of(site)
        if "POST" in getattr(route, "methods", ())
    }
    assert posts == set(POSTS)
    assert not {m for r in routes_of(site) for m in getattr(r, "methods", ())} - {"GET", "HEAD", "POST"}


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
def test_a_form_of_another_site_is_refused(admin: Browser, headers: dict[str, str]) -> None:
    for path in POSTS:
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


def test_the_switch_leads_nowhere_else(browser: Browser) -> None:
    page = browser.get("//evil.test/%22%3E%3Cscript%3E?x=%22%3E").text
    assert "evil.test" not in page
    assert "<script" not in page


@pytest.mark.parametrize("name", ["..%2f..%2fsite.py", "%2e%2e/site.py", "other.css"])
def test_only_the_one_style_sheet_is_served(browser: Browser, name: str) -> None:
    assert browser.get(f"/static/{name}").status_code == 404
