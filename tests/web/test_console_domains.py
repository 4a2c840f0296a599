"""The console's domains: detection, a real login, adding, rules, and what cannot be undone asks twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from mailferry.model.access import Secret
from mailferry.model.account import Phase
from mailferry.providers.detection import Gathered
from mailferry.roster import domains, overview, sign_ins, switching
from mailferry.roster.rights import AdminRole
from mailferry.store.database import Database
from mailferry.web.old_hosts import FetchedMessage, OldHosts, Report
from mailferry.web.site import make_site
from tests.kit.canary import canary, search
from tests.web.accounts import DOMAIN, add_domain, add_five_with_passwords, get
from tests.web.browser import Browser, shown
from tests.web.conftest import ADMIN, ADMIN_PASSWORD, MakeDesk

FIELDS = {"name": "old.test", "source": "imaps://imap.old.test", "provider": "generic", "window_days": "30"}


@dataclass(frozen=True)
class Line:
    sign: str
    what: str
    found: str
    fix: str = ""
    fix_zh: str = ""
    what_zh: str = ""
    found_zh: str = ""


@dataclass(frozen=True)
class Mapped:
    source: str
    target: str | None
    role: str | None
    why: str


class Hosts:
    """Stands for the mail servers: remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.gathered: dict[str, Any] = {"mx": ("qiye163mx01.mxmail.netease.com",)}
        self.report: Report | Exception = Report(
            [
                Line("ok", "source imap login", "accepts the password"),
                Line("you", "checklist", "?", "look", "请看"),
            ],
            [Mapped("已发送", "Sent", "sent", "name"), Mapped("Calendar", None, None, "no_mail")],
        )

    def gather(self, asked: Gathered, servers: Any) -> Deferred[Gathered]:
        self.asked.append((asked, servers))
        return succeed(
            Gathered(asked.domain, recorded_mx=asked.recorded_mx, hosts=asked.hosts, **self.gathered)
        )

    def test(self, domain: Any, account: Any, password: Any, *, stored: bool) -> Deferred[Report]:
        self.asked.append((domain, account, password, stored))
        return fail(self.report) if isinstance(self.report, Exception) else succeed(self.report)

    def fetch(self, *asked: Any) -> Deferred[FetchedMessage]:
        raise AssertionError(asked)


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


async def at_once(work: Any) -> Any:
    """Return what a Deferred holds that has its result already, or raise it."""
    held: list[Any] = []
    work().addBoth(held.append)
    if isinstance(held[0], Failure):
        raise held[0].value
    return held[0]


def browser_of(desk: Any, store: Database, name: str = ADMIN, **role: Any) -> Browser:
    sign_ins.add(store, name, Secret(ADMIN_PASSWORD.encode()), who="test", **role)
    browser = Browser(make_site(desk, doors=()))
    assert browser.post("/admin/sign-in", {"name": name, "password": ADMIN_PASSWORD}).status_code == 303
    return browser


@pytest.fixture
def admin(make_desk: MakeDesk, store: Database, hosts: Hosts) -> Browser:
    desk = make_desk(
        old_hosts=OldHosts(hosts.gather, hosts.test, hosts.fetch, hosts.fetch), on_reactor=at_once
    )
    return browser_of(desk, store)


def test_detection_fills_the_form_in_and_says_why(admin: Browser, hosts: Hosts, store: Database) -> None:
    answer = admin.post(
        "/admin/domains/add", {"name": "Old.test", "do": "detect", "mx": "qiye163mx01.mxmail.netease.com"}
    )
    page = shown(answer.text)
    assert "The old host is NetEase" in page
    assert (
        "earlier MX : qiye163mx01.mxmail.netease.com" in page
        or "earlier MX: qiye163mx01.mxmail.netease.com" in page
    )
    assert 'value="imaps://imap.qiye.163.com"' in answer.text
    assert '<option value="netease_qiye" selected>' in answer.text
    assert hosts.asked[0][0].domain == "old.test"
    assert domains.names(store) == []


def test_what_cannot_be_an_address_stands_at_its_field_and_nobody_is_asked(
    admin: Browser, hosts: Hosts
) -> None:
    for do in ("detect", "test", "add"):
        answer = admin.post("/admin/domains/add", {**FIELDS, "source": "ftp://x", "do": do})
        assert answer.status_code == 400
        assert 'aria-invalid="true" aria-describedby="fault-source"' in answer.text
    assert hosts.asked == []
    assert admin.post("/admin/domains/add", {**FIELDS, "do": "explode"}).status_code == 404


def test_a_domain_is_tested_before_it_is_there_and_its_password_is_not_repeated(
    admin: Browser, hosts: Hosts, store: Database
) -> None:
    typed = canary()
    fields = {**FIELDS, "account": "li@old.test", "password": typed, "do": "test"}
    answer = admin.post("/admin/domains/add", fields)
    page = shown(answer.text)
    assert "Nothing speaks against the move" in page
    assert "已发送 Sent sent by its name" in page
    assert "Calendar left out calendars or contacts" in page
    domain, account, password, stored = hosts.asked[0]
    assert (domain.name, account, password.reveal(), stored) == (
        "old.test",
        "li@old.test",
        typed.encode(),
        False,
    )
    assert not list(search(answer.content, [typed]))
    assert domains.names(store) == []
    chinese = ("换密码", "原服务器 IMAP 登录", "密码错误")
    english = ("other password", "source imap login", "bad_credentials")
    fix, what, found = english
    hosts.report = Report([Line("fault", what, found, fix, *chinese)])
    page = admin.post("/admin/domains/add", fields).text
    assert "cannot be moved" in page
    assert all(words in page for words in english)
    assert not any(words in page for words in chinese)
    page = admin.post("/admin/domains/add?lang=zh", fields).text
    assert all(words in page for words in chinese)
    assert not any(words in page for words in english)


def test_a_domain_is_added_with_its_rules(admin: Browser, store: Database) -> None:
    fields = {**FIELDS, "do": "add", "only_listed": "1", "login_form": "local", "window_days": "10"}
    answer = admin.post("/admin/domains/add", fields, follow=True)
    assert "The domain was added" in answer.text
    found = domains.show(store, "old.test")
    assert (found["only_listed"], found["login_form"], found["window_days"]) == (True, "local", 10)
    again = admin.post("/admin/domains/add", fields)
    assert again.status_code == 409
    assert "is there already" in again.text
    unknown = admin.post("/admin/domains/add", {**fields, "name": "b.test", "provider": "nobody"})
    assert unknown.status_code == 400


def test_rules_are_changed_and_the_form_shows_them(admin: Browser, store: Database) -> None:
    add_domain(store)
    page = admin.get(f"/admin/domain/rules?name={DOMAIN}").text
    assert 'value="imaps://imap.old.test"' in page
    fields = {**FIELDS, "name": DOMAIN, "switch": "at-once", "language": "zh", "login_form": "full"}
    answer = admin.post("/admin/domain/rules", fields, follow=True)
    assert "Saved." in answer.text
    assert domains.show(store, DOMAIN)["switch"] == "at-once"
    assert overview.audit_log(store, limit=1)[0]["what"] == "domain.set"
    assert admin.post("/admin/domain/rules", {**fields, "source": ""}).status_code == 400


def test_a_stored_domain_is_tested_as_stored(admin: Browser, hosts: Hosts, store: Database) -> None:
    add_domain(store)
    answer = admin.post("/admin/domain/test", {"name": DOMAIN, "account": "li@old.test", "password": "x"})
    assert "What becomes of the mailboxes" in answer.text
    assert hosts.asked[0][3] is True


def test_switch_and_removal_want_the_name_typed(admin: Browser, store: Database) -> None:
    add_domain(store)
    for action in ("switch", "remove"):
        assert admin.post(f"/admin/domain/{action}", {"name": DOMAIN, "confirm": "other"}).status_code == 400
    assert (
        "0 accounts live on the new host"
        in admin.post("/admin/domain/switch", {"name": DOMAIN, "confirm": DOMAIN}).text
    )
    assert domains.names(store) == [DOMAIN]
    assert admin.post("/admin/domain/remove", {"name": DOMAIN, "confirm": DOMAIN}).status_code == 303
    assert domains.names(store) == []


def test_a_domain_of_many_accounts_is_switched_page_by_page(
    admin: Browser, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "AT_ONCE", 2)
    monkeypatch.setattr(switching, "REQUEST_SECONDS", 0.0)
    everybody = add_five_with_passwords(store)
    fields = {"name": DOMAIN, "confirm": DOMAIN}
    for asked in range(4):
        page = admin.post("/admin/domain/switch", fields).text
        moved = [address for address in everybody if get(store, address).phase is Phase.BACKFILL]
        assert len(moved) == min(5, 2 * asked + 2)
        more = re.search(r'name="after" value="([^"]+)"', page)
        assert (more is None) is (asked == 3)
        fields["after"] = more[1] if more else ""
    assert admin.post("/admin/domain/switch", {**fields, "after": "nonsense"}).status_code == 409


@pytest.mark.hazard("T37")
def test_an_administrator_of_a_domain_neither_adds_nor_removes_nor_names_a_target(
    make_desk: MakeDesk, store: Database, hosts: Hosts
) -> None:
    add_domain(store)
    add_domain(store, "other.test")
    desk = make_desk(
        old_hosts=OldHosts(hosts.gather, hosts.test, hosts.fetch, hosts.fetch), on_reactor=at_once
    )
    bo = browser_of(desk, store, "bo", role=AdminRole.DOMAIN_ADMIN, domains=[DOMAIN])
    assert "other.test" not in bo.get("/admin/").text + bo.get("/admin/domains").text
    assert bo.get("/admin/?domain=other.test").status_code == 404
    assert bo.get("/admin/domains/add").status_code == 403
    assert bo.post("/admin/domains/add", {**FIELDS, "do": "test"}).status_code == 403
    assert bo.post("/admin/domain/remove", {"name": DOMAIN, "confirm": DOMAIN}).status_code == 403
    target = {
        **FIELDS,
        "name": DOMAIN,
        "target": "imaps://evil.test",
        "login_form": "full",
        "switch": "at-once",
    }
    assert bo.post("/admin/domain/rules", {**target, "language": "zh"}).status_code == 403
    assert bo.post("/admin/domain/test", {"name": "other.test"}).status_code == 404
    assert hosts.asked == []
    assert domains.show(store, DOMAIN)["target"] is None
