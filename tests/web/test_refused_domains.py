"""A domain that its old host refuses as a whole: the console says so, offers the switch, and lists who never logged in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.roster import accounts, domains
from mailferry.roster.rights import AdminRole
from mailferry.store import domain_refusals
from mailferry.store.database import Database
from mailferry.store.wrong_tries import TryKeys
from tests.web.accounts import DOMAIN, add_account, add_domain, add_five_with_passwords
from tests.web.browser import Browser, shown
from tests.web.conftest import MakeDesk
from tests.web.test_console_domains import browser_of

LI = TryKeys(b"a" * 16, b"0" * 16, "imap.old.test", f"li@{DOMAIN}")
NEVER = [f"never{number}@{DOMAIN}" for number in range(2)]


def refuse(store: Database, accounts_of_it: int) -> None:
    for number in range(accounts_of_it):
        keys = replace(LI, account=number.to_bytes(16, "big"))
        store.run_now(
            "refuse", lambda conn, keys=keys: domain_refusals.refused(conn, keys, Cause.BAD_CREDENTIALS)
        )


@pytest.fixture
def admin(make_desk: MakeDesk, store: Database) -> Browser:
    add_five_with_passwords(store)
    for address in NEVER:
        add_account(store, address)
    return browser_of(make_desk(), store)


def test_the_domains_page_offers_the_switch_and_lists_who_never_logged_in(
    admin: Browser, store: Database
) -> None:
    refuse(store, 4)
    page = admin.get(f"/admin/domain?name={DOMAIN}").text
    assert "refuses the whole domain" not in page
    assert '<details id="switch">' in page
    refuse(store, 5)
    page = admin.get(f"/admin/domain?name={DOMAIN}").text
    assert "The old host refuses the whole domain: 5 accounts" in shown(page)
    assert "5 accounts can be served from the new host now" in shown(page)
    assert "2 accounts have never logged in" in shown(page)
    assert '<details id="switch" open>' in page
    listed = admin.get(f"/admin/accounts?domain={DOMAIN}&verified=no").text
    assert f'href="/admin/accounts?domain={DOMAIN}&amp;verified=no"' in page
    assert [address in listed for address in (*NEVER, f"u0@{DOMAIN}")] == [True, True, False]
    answer = admin.post("/admin/domain/switch", {"name": DOMAIN, "confirm": DOMAIN})
    assert "5 accounts live on the new host now" in shown(answer.text)
    assert "can be served from the new host now" not in shown(admin.get(f"/admin/domain?name={DOMAIN}").text)


def test_the_overview_says_that_somebody_must_act(admin: Browser, store: Database) -> None:
    add_domain(store, "other.test")
    assert "refuses the whole domain" not in admin.get("/admin/").text
    refuse(store, 5)
    page = shown(admin.get("/admin/").text)
    assert f"{DOMAIN} : The old host refuses the whole domain" in page or f"{DOMAIN}: The old host" in page
    assert "Somebody must act" in page


def test_others_domains_are_not_told_of(admin: Browser, store: Database, make_desk: MakeDesk) -> None:
    add_domain(store, "other.test")
    refuse(store, 5)
    bo = browser_of(make_desk(), store, "bo", role=AdminRole.DOMAIN_ADMIN, domains=["other.test"])
    assert "refuses the whole domain" not in bo.get("/admin/").text


def test_readers_are_told_and_offered_nothing(admin: Browser, store: Database, make_desk: MakeDesk) -> None:
    refuse(store, 5)
    reader = browser_of(make_desk(), store, "re", role=AdminRole.READER)
    page = reader.get(f"/admin/domain?name={DOMAIN}").text
    assert "refuses the whole domain" in page
    assert 'href="#switch"' not in page


def test_a_filter_that_is_neither_yes_nor_no_is_a_bad_request(admin: Browser) -> None:
    assert admin.get("/admin/accounts?verified=maybe").status_code == 400
    assert NEVER[0] not in admin.get("/admin/accounts?verified=yes").text


def test_the_domain_tells_its_figures_to_programs(admin: Browser, store: Database) -> None:
    refuse(store, 5)
    add_account(store, f"idle@{DOMAIN}", Event.SOURCE_ACCEPTED)  # its push has not been made yet
    found = domains.show(store, DOMAIN)
    assert (found["source_refuses_all"], found["switchable"], found["never_verified"]) == (5, 5, 3)
    only = accounts.wanted(domain=DOMAIN, verified=False)
    assert [one["address"] for one in accounts.every(store, only)] == [f"idle@{DOMAIN}", *NEVER]
