"""A real service, two real hosts of the lab and a real browser: the page starts a move and sees it end."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from mailferry.web.words import USER_PAGE
from tests.e2e.lab_service import USER, LabService
from tests.kit.canary import search_files
from tests.kit.chromium import visit

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.slow, pytest.mark.timeout(150)]


def test_a_sign_in_on_the_page_moves_the_mailbox_and_the_open_page_tells_when_it_has_moved(
    browser: Browser, tmp_path: Path
) -> None:
    lab = LabService(tmp_path / "lab", messages=120)
    try:
        lab.apply_domains()
        lab.service.start()
        with visit(
            browser, f"http://127.0.0.1:{lab.service.web_port}", language="zh", expected={401}
        ) as page:
            page.goto("/")
            for password in ("wrong", lab.password):
                page.get_by_label(USER_PAGE["user.address"].zh).fill(USER)
                page.locator("[name=password]").fill(password)
                page.get_by_role("button", name="登录").click()
                if password == "wrong":
                    expect(page.get_by_role("alert")).to_contain_text(USER_PAGE["user.refused"].zh)
            headline = page.locator("#headline")
            expect(headline).to_be_visible()
            page.evaluate("window.untouched = true")
            expect(headline).to_have_text(USER_PAGE["user.headline.done"].zh, timeout=60_000)
            assert page.evaluate("window.untouched")
            expect(page.get_by_role("progressbar")).to_have_attribute("value", "100.0")
            expect(page.get_by_text("120 封邮件")).to_be_visible()
        program = lab.imap()
        program.select("INBOX", readonly=True)
        program.logout()
        assert not search_files(tmp_path / "lab" / "service", [lab.password])
    finally:
        lab.close()
