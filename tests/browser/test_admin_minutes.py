"""An administrator's first five minutes: a real service, two real hosts of the lab and a real browser, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mailferry.model.access import Secret
from mailferry.roster import sign_ins
from mailferry.store import accounts, nodes
from mailferry.store.database import Database
from mailferry.web.language import Language
from mailferry.web.pages import spoken
from tests.browser.a_month import fill_month
from tests.browser.conftest import Picture
from tests.browser.still import make_still
from tests.e2e.lab_service import DOMAIN, USER, LabService
from tests.kit.canary import search_files
from tests.kit.chromium import fits, pale, unnamed, visit
from tests.kit.service import until

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.timeout(400)]

ANNA, ANNAS_PASSWORD = "anna", "correct horse battery"
WANG = "wang@old.test"
MESSAGES = 20
PATIENCE_MS = 90_000
Words = Callable[..., str]
SHOWN = {"setup", "import-check", "account"}
"""Of what is looked at on the way, the pages that the documents show."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabService]:
    lab = LabService(tmp_path / "lab", messages=MESSAGES, users=(USER, WANG))
    try:
        lab.service.run("db", "upgrade")
        with_store(lab, lambda store: sign_ins.add(store, ANNA, Secret(ANNAS_PASSWORD.encode()), who="test"))
        lab.service.start()
        yield lab
    finally:
        lab.close()


def with_store(lab: LabService, work: Callable[[Database], Any]) -> Any:
    store = Database(f"sqlite:///{lab.service.state_dir}/mailferry.db")
    try:
        return work(store)
    finally:
        store.close()


def doubt(lab: LabService, address: str) -> None:
    """Let the listing of a paused account be doubtful, as a source that hides mail makes it."""

    def work(conn: Any) -> bool:
        found = accounts.find(conn, address)
        assert found is not None
        if found.lease_node is not None:
            return False  # a pass that began before the pause grades once more
        accounts.note(conn, found.id, completeness="poor")
        return True

    with_store(lab, lambda store: until(lambda: store.run_now("doubt", work), 60, "the last pass ends"))


def signed_in(page: Page, t: Words) -> None:
    page.goto("/admin/")
    page.get_by_label(t("console.name")).fill(ANNA)
    page.get_by_label(t("password")).fill(ANNAS_PASSWORD)
    page.get_by_role("button", name=t("sign-in")).click()
    expect(page.get_by_role("heading", name=t("nav.overview"))).to_be_visible()


def add_the_domain(page: Page, t: Words, lab: LabService, picture: Callable[[str], None]) -> None:
    page.get_by_role("link", name=t("domain.add")).click()
    page.locator("[name=name]").fill(DOMAIN)
    page.locator("[name=source]").fill(lab.source("imap"))
    page.locator("[name=source_pop3]").fill(lab.source("pop3"))
    page.get_by_role("button", name=t("setup.detect")).click()
    expect(page.locator("#found")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("[name=account]").fill(USER)
    page.locator("[name=password]").fill(lab.password)
    page.get_by_role("button", name=t("setup.test")).click()
    expect(page.locator("#report")).to_contain_text(t("test.well"), timeout=PATIENCE_MS)
    expect(page.get_by_role("cell", name=t("mapped.inbox"), exact=True)).to_be_visible()
    assert lab.password not in page.content()
    picture("setup")
    page.get_by_role("button", name=t("setup.add"), exact=True).click()
    expect(page.get_by_role("status")).to_contain_text(t("said.added"))


def import_the_list(page: Page, t: Words, lab: LabService, picture: Callable[[str], None]) -> None:
    """The file is dropped on the page; wang's password in it is an old one."""
    page.get_by_role("link", name=t("nav.import"), exact=True).click()
    text = f"target,password\r\n{USER},{lab.password}\r\n{WANG},not this one\r\n"
    for button in ("import.check", "import.button"):
        dropped = page.evaluate_handle(
            """text => {
                const moved = new DataTransfer();
                moved.items.add(new File([text], "accounts.csv", {type: "text/csv"}));
                return moved;
            }""",
            text,
        )
        page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
        expect(page.locator(".drop output")).to_have_text("accounts.csv")
        page.get_by_role("button", name=t(button), exact=True).click()
        said = "import.would" if button == "import.check" else "import.done"
        expect(page.locator(".said")).to_contain_text(t(said, rows=2, added=2, passwords=2))
        picture(button.replace(".", "-"))


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_first_five_minutes_of_an_administrator(
    browser: Browser, lab: LabService, picture: Picture, language: str
) -> None:
    def t(key: str, **values: object) -> str:
        return spoken(Language(language), key, **values)

    where = f"http://127.0.0.1:{lab.service.web_port}"
    with visit(browser, where, language=language) as page:

        def keep(name: str) -> None:
            assert unnamed(page) == []
            if name in SHOWN:
                make_still(page)
                picture(page, f"admin-{name}-{language}")

        signed_in(page, t)
        add_the_domain(page, t, lab, keep)
        import_the_list(page, t, lab, keep)
        page.get_by_role("link", name=t("nav.overview")).first.click()
        failed = page.locator("#board").get_by_role("link", name=t("cause.bad_credentials"))
        expect(failed).to_be_visible(timeout=PATIENCE_MS)  # the page asks again by itself
        keep("overview")
        failed.click()
        keep("accounts")
        page.get_by_role("link", name=WANG).click()
        keep("account")
        page.get_by_label(t("account.re-enter")).fill(lab.password)
        page.get_by_role("button", name=t("act.password")).click()
        expect(page.get_by_role("status")).to_contain_text(t("said.password"))
        page.goto(f"/admin/account?address={USER}")
        page.get_by_role("button", name=t("act.pause")).click()
        expect(page.get_by_role("status")).to_contain_text(t("said.pause"))
        doubt(lab, USER)
        page.goto(f"/admin/account?address={USER}")
        page.get_by_role("button", name=t("act.approve")).click()
        expect(page.get_by_role("status")).to_contain_text(t("said.approve"))
        page.get_by_role("button", name=t("act.resume")).click()
        page.get_by_role("link", name=t("nav.audit")).click()
        for what in ("domain.add", "account.import", "account.password", "account.approve"):
            expect(page.get_by_role("cell", name=what, exact=True).first).to_be_visible()
        page.set_viewport_size({"width": 360, "height": 740})
        for path in (
            "/admin/",
            "/admin/accounts",
            f"/admin/account?address={WANG}",
            f"/admin/domain?name={DOMAIN}",
        ):
            page.goto(path)
            assert fits(page), path
    assert not search_files(lab.folder / "service", [lab.password])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_minutes_later_the_overview_shows_a_move_under_way(
    browser: Browser, address: str, store: Database, picture: Picture, language: str
) -> None:
    fill_month(store, 400, ["example.com", "shop.example", "lab.example"])
    for role in ("proxy", "copier"):
        store.run_now("node", lambda conn, role=role: nodes.register(conn, role, "mail1", "boot", 1))
    sign_ins.add(store, ANNA, Secret(ANNAS_PASSWORD.encode()), who="test")
    with visit(browser, address, language=language) as page:
        signed_in(page, lambda key: spoken(Language(language), key))
        page.set_viewport_size({"width": 1100, "height": 1300})  # a taller one makes too large a file
        expect(page.locator("figure.chart svg")).to_have_count(7)
        assert (unnamed(page), pale(page)) == ([], [])
        picture(page, f"admin-move-{language}")
        page.set_viewport_size({"width": 1100, "height": 1500})
        page.goto("/admin/?span=30d#charts")
        picture(page, f"admin-charts-{language}")
        page.set_viewport_size({"width": 360, "height": 740})
        assert fits(page)
        page.goto("/admin/")
        picture(page, f"admin-phone-{language}")
