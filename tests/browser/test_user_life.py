"""A user's whole life on the page, in a real browser and both languages; nothing but the page is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Connection

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.store import accounts, domains
from mailferry.store.database import Database
from mailferry.web.language import Language
from mailferry.web.pages import spoken
from tests.browser.conftest import NOW, Change, Picture
from tests.browser.judge import Judge
from tests.kit.chromium import fits, unnamed, visit
from tests.web.accounts import DOMAIN, USER, add_domain

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.timeout(120)]

OLD, NEW = "old password", "new password"
FLIP = (Event.EARLY_SWITCH, Event.HISTORY_COMPLETE)
ZONES = {"en": "Europe/London", "zh": "Asia/Shanghai"}
BOTH = pytest.mark.parametrize("language", ["en", "zh"])
Words = Callable[..., str]


@pytest.fixture
def t(language: str) -> Words:
    return lambda key, **values: spoken(Language(language), key, **values)


@pytest.fixture(autouse=True)
def _a_domain_that_moves(store: Database, judge: Judge) -> None:
    add_domain(store, provider="netease_qiye")
    judge.old[USER], judge.new["new@old.test"] = OLD, NEW


@pytest.fixture
def page(browser: Browser, address: str, language: str) -> Iterator[Page]:
    with visit(browser, address, language=language, zone=ZONES[language], expected={401, 429, 503}) as page:
        page.goto("/")
        yield page


def sign_in(page: Page, t: Words, password: str = OLD, user: str = USER) -> None:
    page.get_by_label(t("user.address")).fill(user)
    page.get_by_label(t("password")).fill(password)
    page.get_by_role("button", name=t("sign-in")).click()


def noting(address: str = USER, *events: Event, **facts: Any) -> Callable[[Connection], None]:
    """Return what leads the account through `events` and notes `facts`."""

    def work(conn: Connection) -> None:
        account = accounts.find(conn, address)
        assert account is not None
        for event in events:
            account = accounts.apply(conn, account.id, event, epoch=account.epoch)
        if facts:
            accounts.note(conn, account.id, **facts)

    return work


def check(page: Page) -> None:
    """What holds on every page: each control has a name, nothing scrolls sideways, one heading of the first rank."""
    assert unnamed(page) == []
    assert fits(page)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.locator("html").get_attribute("lang") in {"en", "zh-Hans"}


@BOTH
def test_a_users_whole_life(page: Page, change: Change, picture: Picture, t: Words, language: str) -> None:
    expect(page.get_by_role("heading", name=t("user.title"))).to_be_visible()
    check(page)
    sign_in(page, t, "wrong")
    expect(page.get_by_role("alert")).to_contain_text(t("user.refused"))
    expect(page.get_by_label(t("password"))).to_have_value("")
    expect(page.get_by_label(t("user.address"))).to_have_value(USER)
    check(page)

    sign_in(page, t)
    expect(page.get_by_role("heading", name=t("user.headline.in_progress"))).to_be_visible()
    page.evaluate("window.untouched = true")
    change(noting(total=2400, copied=600, started_at=NOW - 900))
    expect(page.get_by_role("progressbar", name=t("user.progress"))).to_have_attribute("value", "25.0")
    expect(page.get_by_text(re.compile("2,400"))).to_be_visible()
    expect(page).to_have_title(re.compile("^25%"))
    expect(page.locator("#news")).to_contain_text(t("user.copied", percent="25%"))
    check(page)
    picture(page, f"user-in-progress-{language}")

    change(noting(USER, Event.GAVE_UP, cause=Cause.APP_PASSWORD_REQUIRED))
    expect(page.get_by_role("heading", name=t("user.headline.failed"))).to_be_visible()
    expect(page.locator("#news")).to_contain_text(t("state.failed"))
    expect(page.get_by_text("客户端授权码").first).to_be_visible()
    expect(
        page.get_by_text({"en": "NetEase enterprise mail", "zh": "网易企业邮箱"}[language])
    ).to_be_visible()
    check(page)
    if language == "zh":
        picture(page, "user-failed-zh")
    assert page.evaluate("window.untouched"), "no page was loaded since the sign-in"

    page.get_by_label(t("user.start.old-password")).fill("wrong")
    page.get_by_role("button", name=t("user.again.button")).click()
    expect(page.get_by_role("alert")).to_contain_text(t("user.start.refused"))
    page.get_by_label(t("user.start.old-password")).fill(OLD)
    page.get_by_role("button", name=t("user.again.button")).click()
    expect(page.get_by_text(t("user.said.again"))).to_be_visible()
    expect(page.get_by_role("heading", name=t("user.headline.in_progress"))).to_be_visible()

    change(noting(USER, *FLIP, copied=2400, finished_at=1_790_000_900.0))
    expect(page.get_by_role("heading", name=t("user.headline.done"))).to_be_visible()
    expect(page.locator("#news")).to_contain_text(t("state.done"))
    expect(page.get_by_text({"en": "21 September 2026", "zh": "2026年9月21日"}[language])).to_be_visible()
    check(page)

    change(end_window)
    page.reload()
    expect(page.get_by_text(t("user.window-over"))).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)
    check(page)
    page.get_by_role("button", name=t("sign-out")).click()
    expect(page.get_by_label(t("password"))).to_be_visible()


def end_window(conn: Connection) -> None:
    domains.set_window_days(conn, DOMAIN, -1)
    domains.confirm_ended(conn, seconds=domains.SEEN_OVER_SECONDS)


@BOTH
def test_who_has_a_new_password_starts_the_move_with_the_old_address(
    page: Page, judge: Judge, t: Words
) -> None:
    judge.old["zhang@old.test"] = OLD
    sign_in(page, t, NEW, "new@old.test")
    expect(page.get_by_role("heading", name=t("user.headline.not_migrating"))).to_be_visible()
    check(page)
    page.get_by_label(t("user.start.old-address")).fill("zhang@old.test")
    page.get_by_label(t("user.start.old-password")).fill("wrong")
    page.get_by_role("button", name=t("user.start.button"), exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(t("user.start.refused"))
    page.get_by_label(t("user.start.old-address")).fill("zhang@old.test")
    page.get_by_label(t("user.start.old-password")).fill(OLD)
    page.get_by_role("button", name=t("user.start.button"), exact=True).click()
    expect(page.get_by_text(t("user.said.started"))).to_be_visible()
    expect(page.get_by_role("heading", name=t("user.headline.in_progress"))).to_be_visible()
    check(page)


@BOTH
def test_hosts_that_are_down_are_no_wrong_password(page: Page, judge: Judge, t: Words) -> None:
    judge.down = True
    sign_in(page, t)
    expect(page.get_by_role("alert")).to_contain_text(t("try-later"))


@pytest.mark.parametrize("language", ["en"])
def test_what_is_typed_stays_while_nothing_changes(page: Page, change: Change, t: Words) -> None:
    sign_in(page, t)
    change(noting(USER, Event.GAVE_UP, cause=Cause.BAD_CREDENTIALS))
    field = page.get_by_label(t("user.start.old-password"))
    field.fill("half a passw")
    with page.expect_response(lambda answer: "/progress" in answer.url and answer.status == 204):
        pass
    expect(field).to_have_value("half a passw")
    expect(field).to_be_focused()


@pytest.mark.parametrize("language", ["en"])
def test_a_page_whose_sign_in_ended_leads_to_the_door_by_itself(page: Page, t: Words) -> None:
    sign_in(page, t)
    expect(page.get_by_role("progressbar").or_(page.get_by_role("heading", level=1))).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_label(t("password"))).to_be_visible()
