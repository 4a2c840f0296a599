"""What other sites can do with a browser that is signed in here: nothing (T38)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, Page, expect

from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.roster import sign_ins
from mailferry.store.database import Database
from tests.kit.live_site import live
from tests.web.accounts import USER, add_domain, add_failed, get
from tests.web.conftest import ADMIN, ADMIN_PASSWORD

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.hazard("T38")]


@pytest.fixture
def elsewhere(address: str) -> Iterator[str]:
    """Another site, whose pages frame ours, send its forms, link to it and ask it by script."""
    evil = FastAPI()

    @evil.get("/frame")
    def frame() -> HTMLResponse:
        return HTMLResponse(f'<iframe src="{address}/admin/" onload="document.title=\'loaded\'"></iframe>')

    @evil.get("/form")
    def form() -> HTMLResponse:
        fields = f'<input name="address" value="{USER}"><button>Win</button>'
        return HTMLResponse(f'<form method="post" action="{address}/admin/account/retry">{fields}</form>')

    @evil.get("/script")
    def script() -> HTMLResponse:
        return HTMLResponse(
            f"""<script>fetch("{address}/admin/account/retry", {{method: "POST", credentials: "include",
            headers: {{"content-type": "application/x-www-form-urlencoded"}}, body: "address={USER}",
            mode: "no-cors"}}).finally(() => document.title = "sent")</script>"""
        )

    @evil.get("/link")
    def link() -> HTMLResponse:
        return HTMLResponse(f'<a href="{address}/admin/account/retry?address={USER}">Look</a>')

    with live(evil) as where:
        yield where.replace("127.0.0.1", "localhost")


@pytest.fixture
def page(browser: Browser, address: str, store: Database) -> Iterator[Page]:
    """A page of an administrator who is signed in."""
    add_domain(store)
    add_failed(store)
    sign_ins.add(store, ADMIN, Secret(ADMIN_PASSWORD.encode()), who="test")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/admin/sign-in")
    page.locator("[name=name]").fill(ADMIN)
    page.locator("[name=password]").fill(ADMIN_PASSWORD)
    page.locator("main form button").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    yield page
    context.close()


def test_a_frame_of_another_site_shows_nothing(page: Page, elsewhere: str) -> None:
    page.goto(f"{elsewhere}/frame")
    expect(page).to_have_title("loaded")
    inner = page.frames[1]
    assert "chrome-error" in inner.url or "Overview" not in inner.content()


@pytest.mark.parametrize("way", ["form", "script", "link"])
def test_nothing_that_another_site_sends_is_carried_out(
    page: Page, store: Database, elsewhere: str, way: str
) -> None:
    page.goto(f"{elsewhere}/{way}")
    if way == "form":
        page.get_by_role("button", name="Win").click()
        expect(page.locator("body")).to_contain_text("does not come from a page of this site")
    elif way == "script":
        expect(page).to_have_title("sent")
    else:
        page.get_by_role("link", name="Look").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert get(store).phase is Phase.BLOCKED


def test_no_script_reads_the_cookies_of_a_sign_in(page: Page, address: str) -> None:
    assert page.evaluate("document.cookie") == ""
    kept = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert kept["mailferry-console"]["httpOnly"]
    assert kept["mailferry-console"]["sameSite"] == "Strict"
    assert kept["mailferry-console"]["path"] == "/admin"


def test_a_form_of_ours_works_in_the_same_browser(
    browser: Browser, address: str, page: Page, store: Database
) -> None:
    page.goto(f"{address}/admin/account?address={USER}")
    page.locator("form[action='/admin/account/retry'] button").click()
    expect(page.get_by_text("It is tried again now.")).to_be_visible()
    assert get(store).phase is Phase.PRECOPY
