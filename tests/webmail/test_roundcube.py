"""A real Roundcube, by conf/roundcube as it stands, in a real Chromium: its IMAP host is us, before and after the flip."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kit.chromium import chromium
from tests.kit.peer_imapproxy import ImapProxy
from tests.kit.peer_plugin import require
from tests.kit.peer_roundcube import Roundcube
from tests.kit.service import until
from tests.kit.site import CLIENT, DOMAIN, Site, message

LI, WANG, CHEN, ZHAO = (f"{name}@{DOMAIN}" for name in ("li", "wang", "chen", "zhao"))
OLD = "旧密码 old-Pa55"
CLICKS = 8
"""More than the wrong passwords of one account that a source is asked."""

pytestmark = [pytest.mark.timeout(240), pytest.mark.peer("roundcube", "dovecot")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("webmail"), dict.fromkeys((LI, WANG, CHEN, ZHAO), OLD))
    yield made
    made.close()


@pytest.fixture(scope="module")
def webmail(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roundcube]:
    token = site.service.run("admin", "token", "add", "webmail", "--scope", "read").stdout.strip()
    server = Roundcube(
        tmp_path_factory.mktemp("roundcube"),
        imap=site.ports["webmail"],
        api=site.service.web_port,
        token=token,
        patience=20,
    )
    yield server
    server.stop()


@pytest.fixture
def kept(site: Site, tmp_path: Path) -> Iterator[Roundcube]:
    """A webmail whose sessions imapproxy keeps for the next click."""
    between = ImapProxy(tmp_path, imap=site.ports["webmail"])
    server = Roundcube(tmp_path, imap=between.ports["imap"], api=site.service.web_port, token="none")
    yield server
    server.stop()
    between.stop()


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


class _From(urllib.request.HTTPHandler):
    """Connects from an address of its own."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        made: Any = partial(http.client.HTTPConnection, source_address=(self._address, 0))
        return self.do_open(made, request)


class HttpUser:
    """A user without a browser, at an address."""

    def __init__(self, webmail: Roundcube, address: str = "127.0.0.1") -> None:
        self._base = f"http://127.0.0.1:{webmail.ports['web']}/"
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, _From(address))
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

    def click(self) -> str:
        """Ask for the list of messages, as a click on the folder does."""
        listed: str = self._ask("list&_mbox=INBOX")["exec"]
        return listed

    def state(self) -> dict[str, Any]:
        """Ask for what the plugin shows."""
        told: dict[str, Any] = self._ask("plugin.mailferry_state")["callbacks"][0][1]
        return told

    def _ask(self, action: str) -> dict[str, Any]:
        headers = {"X-Requested-With": "XMLHttpRequest", "X-Roundcube-Request": self._token}
        url = f"{self._base}?_task=mail&_remote=1&_action={action}"
        answer: dict[str, Any] = json.loads(self._get(urllib.request.Request(url, headers=headers)))
        return answer

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


def test_each_click_is_a_login_of_the_browsers_own_address_and_none_counts_as_a_guess(
    site: Site, webmail: Roundcube
) -> None:
    site.service.run("domain", "pause", DOMAIN)
    user = HttpUser(webmail, CLIENT)
    assert 'id="messagelist"' in user.login(CHEN)
    before = len(site.logins(site.source, CHEN))
    for _ in range(CLICKS):
        assert "old 0" in user.click()
    assert len(site.logins(site.source, CHEN)) - before == CLICKS, "one each, and not more"
    refused = len(site.refusals(site.source, CHEN))
    assert "plugin.mailferry_state" not in HttpUser(webmail, CLIENT).login(CHEN, "wrong")
    assert len(site.refusals(site.source, CHEN)) == refused + 1, "an unseen password is still asked"
    site.service.run("domain", "resume", DOMAIN)
    site.wait_for("SWITCHED", CHEN)
    assert "old 0" in user.click()
    assert ("imap", CLIENT) in site.logins(site.target, CHEN)


@pytest.mark.slow
@pytest.mark.peer("imapproxy")
def test_with_imapproxy_clicks_cost_the_old_host_no_login_and_the_flip_is_seen_at_the_next_one(
    site: Site, kept: Roundcube
) -> None:
    site.service.run("domain", "pause", DOMAIN)
    user = HttpUser(kept, CLIENT)
    assert 'id="messagelist"' in user.login(ZHAO)
    for _ in range(CLICKS):
        assert "old 0" in user.click()
    logins = len(site.logins(site.source, ZHAO))
    assert logins <= 2, "one or two sessions are kept for all of them"
    site.service.run("domain", "resume", DOMAIN)
    site.wait_for("SWITCHED", ZHAO)
    site.target.save(ZHAO, message("for the new host"))
    assert "for the new host" in user.click()
    until(lambda: "Your mailbox has moved" in user.click(), 60, "the letter is seen in the new mailbox")


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
