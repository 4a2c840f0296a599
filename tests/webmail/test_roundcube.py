"""A real Roundcube, by conf/roundcube as it stands, in a real Chromium: its IMAP host is us, before and after the flip."""

from __future__ import annotations

import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kit.chromium import chromium
from tests.kit.peer_plugin import require
from tests.kit.peer_roundcube import Roundcube
from tests.kit.site import DOMAIN, Site, message

LI, WANG = f"li@{DOMAIN}", f"wang@{DOMAIN}"
OLD = "旧密码 old-Pa55"

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer("roundcube", "dovecot")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("webmail"), {LI: OLD, WANG: OLD})
    yield made
    made.close()


@pytest.fixture(scope="module")
def webmail(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roundcube]:
    token = site.service.run("admin", "token", "add", "webmail", "--scope", "read").stdout.strip()
    server = Roundcube(
        tmp_path_factory.mktemp("roundcube"),
        imap=site.service.imap_port,
        api=site.service.web_port,
        token=token,
        patience=20,
    )
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("chromium")
    with chromium() as running:
        yield running


@contextmanager
def logged_in(browser: Browser, webmail: Roundcube, user: str, locale: str) -> Iterator[Page]:
    """Log in by the form, as a user does."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{webmail.ports['web']}", locale=locale)
    page = context.new_page()
    page.goto("/")
    page.fill("#rcmloginuser", user)
    page.fill("#rcmloginpwd", OLD)
    page.click("#rcmloginsubmit")
    expect(page.locator("#messagelist")).to_be_visible()
    yield page
    context.close()


@pytest.mark.peer("chromium")
def test_a_user_sees_the_old_mailbox_by_the_old_password_and_the_new_one_after_the_flip(
    site: Site, webmail: Roundcube, browser: Browser
) -> None:
    site.service.run("domain", "pause", DOMAIN)
    with logged_in(browser, webmail, LI, "zh-CN") as page:
        expect(page.locator("#messagelist tbody tr.message")).to_have_count(3)
        expect(page.locator("#mailferry-state")).to_contain_text("您的邮箱正在迁移到新服务器")
        assert site.service.show(LI)["phase"] == "PRECOPY"
        site.service.run("domain", "resume", DOMAIN)
        site.wait_for("SWITCHED", LI)
        site.target.save(LI, message("for the new host"))
        page.reload()
        expect(page.locator("#messagelist")).to_contain_text("for the new host")
        expect(page.locator("#messagelist")).to_contain_text("old 0")
        expect(page.locator("#mailferry-state")).to_contain_text("您的邮箱已迁移到新服务器。")
        strip = page.locator("#mailferry-state")
        strip.get_by_role("button", name="隐藏").click()
        expect(strip).to_have_count(0)
        page.reload()
        expect(page.locator("#messagelist")).to_be_visible()
        expect(strip).to_have_count(0)


class HttpUser:
    """A user without a browser."""

    def __init__(self, webmail: Roundcube) -> None:
        self._base = f"http://127.0.0.1:{webmail.ports['web']}/"
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        self._token = ""

    def login(self, user: str, password: str = OLD) -> str:
        """Log in; return the page that comes."""
        page = self._get(self._base)
        form = {
            "_token": _found(r'name="_token" value="([^"]*)"', page),
            "_task": "login",
            "_action": "login",
        }
        data = urllib.parse.urlencode({**form, "_user": user, "_pass": password}).encode()
        page = self._get(urllib.request.Request(self._base + "?_task=login", data))
        if found := re.search(r'"request_token":"([^"]+)"', page):
            self._token = found[1]
        return page

    def state(self) -> dict[str, Any]:
        """Ask for what the plugin shows."""
        headers = {"X-Requested-With": "XMLHttpRequest", "X-Roundcube-Request": self._token}
        url = self._base + "?_task=mail&_action=plugin.mailferry_state&_remote=1"
        answer = json.loads(self._get(urllib.request.Request(url, headers=headers)))
        told: dict[str, Any] = answer["callbacks"][0][1]
        return told

    def _get(self, asked: str | urllib.request.Request) -> str:
        try:
            with self._opener.open(asked, timeout=90) as answer:
                page: str = answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                page = refusal.read().decode()
        return page


def _found(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found is not None, page[:2000]
    return found[1]


@pytest.mark.slow
def test_the_plugin_shows_nothing_and_quickly_when_nobody_answers(site: Site, webmail: Roundcube) -> None:
    wrong, user = HttpUser(webmail), HttpUser(webmail)
    assert "plugin.mailferry_state" not in wrong.login(WANG, "wrong")
    assert 'id="messagelist"' in user.login(WANG)
    site.wait_for("SWITCHED", WANG)
    told = user.state()
    assert (told["state"], told["text"]) == ("done", "Your mailbox has been moved to the new server.")
    token = webmail.directory / "token"
    kept = token.read_text()
    token.write_text("not a token\n")
    assert (user.state()["text"], user.state()["state"]) == ("", "")
    token.write_text(kept)
    site.service.stop()
    began = time.monotonic()
    assert user.state()["text"] == ""
    assert time.monotonic() - began < 5, "a refused connection is not waited for"
