"""The user page for everybody: keyboard, phone, dark and light, without scripts, each by a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.store.database import Database
from mailferry.web.words import USER_PAGE
from tests.browser.conftest import Change, Picture
from tests.browser.judge import Judge
from tests.browser.test_user_life import FLIP, OLD, end_window, noting
from tests.kit.chromium import fits, pale, unnamed, visit
from tests.web.accounts import USER, add_domain

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _a_domain_that_moves(store: Database, judge: Judge) -> None:
    add_domain(store, provider="netease_qiye")
    judge.old[USER] = OLD


def sign_in(page: Page) -> None:
    page.goto("/")
    page.locator("[name=address]").fill(USER)
    page.locator("[name=password]").fill(OLD)
    page.locator("main form button").click()
    expect(page.locator("#headline")).to_be_visible()


AT = 1_789_999_200.0  # 2026-09-21 14:00 UTC
LATE = 1_790_006_400.0  # 2026-09-21 16:00 UTC, which is the next day in Shanghai
ZONES = {
    "en-london": ("en", "Europe/London", "21 Sept 2026, 15:00", "21 September 2026"),
    "zh-shanghai": ("zh", "Asia/Shanghai", "2026年9月21日 22:00", "2026年9月22日"),
}
"""Language and zone of a browser, and what it shows of AT as a moment and of LATE as a day."""


@pytest.mark.parametrize(("language", "zone", "moment", "day"), ZONES.values(), ids=ZONES)
def test_times_are_the_readers_own_also_where_the_page_brings_them_later(
    browser: Browser, address: str, change: Change, language: str, zone: str, moment: str, day: str
) -> None:
    with visit(browser, address, language=language, zone=zone) as page:
        sign_in(page)
        change(noting(total=10, started_at=AT))
        expect(page.locator("time").first).to_have_text(moment)
        change(noting(USER, *FLIP, copied=10, finished_at=LATE))
        expect(page.locator("#headline")).to_have_text(getattr(USER_PAGE["user.headline.done"], language))
        expect(page.locator("time").first).to_have_text(day)
        assert "UTC" not in page.locator("main").inner_text()


@pytest.mark.parametrize(
    ("language", "moment", "day"),
    [
        ("en", "21 Sept 2026 14:00 UTC", "21 September 2026 (UTC)"),
        ("zh", "2026年9月21日 14:00 UTC", "2026年9月21日 (UTC)"),
    ],
    ids=["en", "zh"],
)
def test_without_scripts_times_name_their_zone(
    browser: Browser, address: str, change: Change, language: str, moment: str, day: str
) -> None:
    with visit(browser, address, language=language, zone="Asia/Shanghai", scripts=False) as page:
        sign_in(page)
        change(noting(total=10, started_at=AT))
        page.goto("/")
        expect(page.locator("time").first).to_have_text(moment)
        change(noting(USER, *FLIP, copied=10, finished_at=LATE))
        page.goto("/")
        expect(page.locator("time").first).to_have_text(day)


STATES = {
    "in_progress": noting(USER, total=5000, copied=1234, skipped=3),
    "failed": noting(USER, Event.GAVE_UP, cause=Cause.AMBIGUOUS_REFUSAL),
    "done": noting(USER, Event.RETRIED, *FLIP, copied=5000, finished_at=1_790_000_900.0),
    "over": end_window,
}
"""What brings the account from each state to the next."""


@pytest.mark.parametrize(("language", "dark"), [("en", False), ("zh", True)], ids=["en-light", "zh-dark"])
def test_on_a_phone_nothing_scrolls_sideways_and_words_stand_out_in_every_state(
    browser: Browser, address: str, change: Change, picture: Picture, language: str, dark: bool
) -> None:
    with visit(browser, address, language=language, zone="Asia/Shanghai", dark=dark, phone=True) as page:
        page.goto("/")
        for state in ("door", *STATES):
            if state == "in_progress":
                sign_in(page)
            if state in STATES:
                change(STATES[state])
                page.goto("/")
            assert fits(page), state
            assert pale(page) == [], state
            assert unnamed(page) == [], state
            low = page.eval_on_selector_all(
                "main button:not(.plain), main input", "all => all.filter(e => e.offsetHeight < 40).length"
            )
            assert low == 0, "too low for a finger"
            if state == "failed" and dark:
                picture(page, f"user-phone-dark-{language}")


def test_the_switch_at_the_foot_is_kept_and_beats_the_system(browser: Browser, address: str) -> None:
    def ground(page: Page) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    with visit(browser, address, dark=True) as page:
        page.goto("/")
        assert ground(page) < 150
        page.get_by_role("link", name="Light").click()
        assert ground(page) > 600
        assert pale(page) == []
        page.goto("/")
        assert ground(page) > 600
        page.get_by_role("link", name="As the system").click()
        assert ground(page) < 150


def test_the_switch_of_languages_works_by_a_click(browser: Browser, address: str) -> None:
    with visit(browser, address) as page:
        page.goto("/")
        page.get_by_role("link", name="简体中文").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(USER_PAGE["user.title"].zh)
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_have_text(USER_PAGE["user.title"].zh)


def test_the_keyboard_alone_is_enough_and_shows_where_it_is(browser: Browser, address: str) -> None:
    with visit(browser, address, expected={401}) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Mail address")).to_be_focused()
        page.keyboard.type(USER)
        page.keyboard.press("Tab")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        field = page.get_by_label("Password")
        expect(field).to_have_attribute("aria-invalid", "true")
        assert "not accepted" in page.locator(f"#{field.get_attribute('aria-describedby')}").inner_text()
        for _ in range(20):
            page.keyboard.press("Tab")
            if field.evaluate("e => e === document.activeElement"):
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.type(OLD)
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.locator("#headline")).to_be_visible()
        reached = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.textContent.trim()"))
        assert {"Sign out", "English", "简体中文", "Dark"} <= reached


def test_without_scripts_all_of_it_works_and_the_page_is_loaded_again_by_itself(
    browser: Browser, address: str, change: Change
) -> None:
    with visit(browser, address, scripts=False) as page:
        sign_in(page)
        assert 'http-equiv="refresh" content="30;url=/"' in page.content()
        change(STATES["in_progress"])
        page.goto("/")
        expect(page.get_by_role("progressbar")).to_be_visible()
        change(STATES["failed"])
        page.goto("/")
        page.locator("[name=password]").fill(OLD)
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("It is tried again now.")).to_be_visible()
