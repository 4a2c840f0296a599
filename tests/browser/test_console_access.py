"""The console for everybody: phone and desk, dark and light, keyboard, long names, and a sign-in that ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mailferry.model.access import Secret
from mailferry.roster import sign_ins
from mailferry.store import accounts, audit, mailboxes, skipped
from mailferry.store.database import Database
from tests.kit.chromium import fits, pale, unnamed, visit
from tests.web.accounts import DOMAIN, add_domain, add_failed
from tests.web.conftest import ADMIN, ADMIN_PASSWORD

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.timeout(120)]

LONG = f"a-very-long-name.of-somebody{'x' * 60}@{DOMAIN}"
PAGES = (
    "/admin/", "/admin/domains", f"/admin/domain?name={DOMAIN}", "/admin/domains/add", "/admin/accounts",
    f"/admin/account?address={LONG}", "/admin/import", "/admin/audit", "/admin/sign-ins", "/admin/tokens",
)  # fmt: skip
SHATTERED = """() => [...document.querySelectorAll("td, th, dd")].filter(e => {
  const range = document.createRange();
  range.selectNodeContents(e);
  const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top))).size;
  return e.offsetWidth < 90 && lines > 4;
}).map(e => e.textContent.trim())"""
"""Words of columns so narrow that they stand there letter below letter."""


@pytest.fixture(autouse=True)
def _somebody_with_a_long_name(store: Database) -> None:
    add_domain(store, provider="netease_qiye")
    failed = add_failed(store, LONG, text="NO " + "words " * 30 + "u" * 200)

    def work(conn: Any) -> None:
        box = mailboxes.ensure(conn, failed.id, b"Sent Items" + b"/deep" * 20, target_name=b"x")
        skipped.note(conn, box.id, 1, reason="header_only_at_source", detail="the server says " * 4)
        audit.write(conn, who=ADMIN, what="account.retry", subject=LONG, detail="x" * 80)
        accounts.note(conn, failed.id, source_login="zhang." * 20)

    store.run_now("long names", work)
    sign_ins.add(store, ADMIN, Secret(ADMIN_PASSWORD.encode()), who="test")


def signed_in(browser: Browser, address: str, **how: Any) -> Any:
    return visit(browser, address, expected={401}, **how)


def sign_in(page: Page) -> None:
    page.goto("/admin/")
    page.locator("[name=name]").fill(ADMIN)
    page.locator("[name=password]").fill(ADMIN_PASSWORD)
    page.locator("main form button").click()
    expect(page.locator("#board")).to_be_visible()


LOOKS = {
    "phone-dark-zh": {"phone": True, "dark": True, "language": "zh"},
    "desk-light-en": {"language": "en"},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_no_page_scrolls_sideways_or_is_pale_and_no_words_stand_letter_below_letter(
    browser: Browser, address: str, look: dict[str, Any]
) -> None:
    with signed_in(browser, address, **look) as page:
        sign_in(page)
        for path in PAGES:
            page.goto(path)
            page.eval_on_selector_all("main details", "all => all.forEach(e => e.open = true)")
            assert fits(page), path
            assert (pale(page), unnamed(page), page.evaluate(SHATTERED)) == ([], [], []), path


def stops(page: Page) -> Iterator[tuple[str, bool]]:
    """Go through a page by the key Tab: the element's words, and whether it is seen to be where one is."""
    while True:
        page.keyboard.press("Tab")
        words, ring, seen = page.evaluate(
            """() => {
                const e = document.activeElement, place = e.getBoundingClientRect();
                return [e === document.body ? "" : e.outerHTML.slice(0, 80),
                    getComputedStyle(e).outlineStyle, place.width > 0 && place.bottom > 0 && place.top < innerHeight];
            }"""
        )
        if not words:
            return
        yield words, ring == "solid" and seen


@pytest.mark.slow
def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as page:
        sign_in(page)
        for path in PAGES:
            page.goto(path)
            went = list(stops(page))
            assert len(went) > 10, path
            assert [words for words, shown in went if not shown] == [], path


def test_an_open_overview_whose_sign_in_ended_becomes_the_door(browser: Browser, address: str) -> None:
    with signed_in(browser, address) as page:
        sign_in(page)
        page.context.clear_cookies()
        page.context.add_cookies([{"name": "mailferry-console", "value": "old", "url": f"{address}/admin/"}])
        page.evaluate("htmx.ajax('GET', '/admin/?domain=&span=24h', '#board')")
        expect(page.get_by_role("status")).to_contain_text("Your sign-in has ended")
        expect(page.locator("header")).to_have_count(1)
