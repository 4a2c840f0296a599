"""The console's door."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from twisted.internet.task import Clock

from mailferry.model.access import Secret
from mailferry.roster import sign_ins
from mailferry.store.database import Database
from mailferry.web.throttle import SPAN_SECONDS
from mailferry.web.tickets import Kind, Tickets
from tests.kit.canary import canary, search
from tests.web.browser import Browser
from tests.web.conftest import ADMIN, ADMIN_PASSWORD, WallClock

COOKIE = "mailferry-console"


def sign_in(browser: Browser, name: str = ADMIN, password: str = ADMIN_PASSWORD) -> int:
    return browser.post("/admin/sign-in", {"name": name, "password": password}).status_code


@pytest.mark.hazard("T38")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_not_for_scripts_nor_other_sites_and_over_tls_only_where_there_is_tls(
    site: FastAPI, admin: Browser, scheme: str
) -> None:
    browser = Browser(site, scheme=scheme)
    answer = browser.post("/admin/sign-in", {"name": ADMIN, "password": ADMIN_PASSWORD})
    flags = {flag.lower() for flag in answer.headers["set-cookie"].split("; ")[1:]}
    assert {"httponly", "samesite=strict", "path=/admin"} <= flags
    assert ("secure" in flags) == (scheme == "https")
    assert not any(flag.startswith(("max-age", "expires")) for flag in flags), "it goes with the browser"


@pytest.mark.hazard("T38")
def test_the_cookie_changes_at_each_login_and_the_one_before_ends(site: FastAPI, admin: Browser) -> None:
    first = admin.cookies[COOKIE]
    assert sign_in(admin) == 303
    assert admin.cookies[COOKIE] != first
    thief = Browser(site)
    thief.set_cookie(COOKIE, first)
    assert thief.get("/admin/").status_code == 303


def test_signing_out_ends_the_ticket_itself(site: FastAPI, admin: Browser) -> None:
    ticket = admin.cookies[COOKIE]
    assert admin.get("/admin/").status_code == 200
    assert admin.post("/admin/sign-out").status_code == 303
    admin.set_cookie(COOKIE, ticket)
    assert admin.get("/admin/").status_code == 303


def test_a_sign_in_expires(admin: Browser, wall: WallClock) -> None:
    wall.at += 8 * 3600 - 1
    assert admin.get("/admin/").status_code == 200
    wall.at += 1
    assert admin.get("/admin/").status_code == 303
    assert "Your sign-in has ended" in admin.get("/admin/sign-in").text


def test_an_open_page_whose_sign_in_ended_is_sent_to_the_door_as_a_whole(
    admin: Browser, wall: WallClock
) -> None:
    assert "<html" not in admin.get("/admin/", **{"hx-request": "true"}).text
    wall.at += 8 * 3600
    answer = admin.get("/admin/", **{"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (204, "/admin/sign-in", "")


def test_only_whoever_was_signed_in_reads_that_it_ended(site: FastAPI, admin: Browser) -> None:
    assert "has ended" not in Browser(site).get("/admin/sign-in").text
    assert "has ended" not in admin.get("/admin/sign-in").text
    admin.post("/admin/sign-out")
    assert "has ended" not in admin.get("/admin/sign-in").text


def test_another_password_signs_out_whoever_had_the_old_one(admin: Browser, store: Database) -> None:
    sign_ins.add(store, ADMIN, Secret(b"another password"), who="test")
    assert admin.get("/admin/").status_code == 303


def test_a_removed_administrator_is_signed_out(admin: Browser, store: Database) -> None:
    sign_ins.remove(store, ADMIN, who="test")
    assert admin.get("/admin/").status_code == 303


@pytest.mark.hazard("T38")
def test_a_users_ticket_does_not_open_the_console(admin: Browser, wall: WallClock) -> None:
    admin.set_cookie(COOKIE, Tickets(b"t" * 32, wall).give(Kind.USER, ADMIN, seconds=60))
    assert admin.get("/admin/").status_code == 303


@pytest.mark.hazard("T40")
def test_a_wrong_name_and_a_wrong_password_read_the_same(site: FastAPI, admin: Browser) -> None:
    stranger = Browser(site)
    pages = [
        stranger.post("/admin/sign-in", {"name": name, "password": password})
        for name, password in [(ADMIN, "wrong password"), ("nobody", ADMIN_PASSWORD), (ADMIN, "")]
    ]
    assert {page.status_code for page in pages} == {401}
    assert len({page.text.replace('value="anna"', "").replace('value="nobody"', "") for page in pages}) == 1
    assert all("set-cookie" not in page.headers for page in pages)


def test_a_typed_password_stands_in_no_page(site: FastAPI, admin: Browser) -> None:
    typed = canary()
    page = Browser(site).post("/admin/sign-in", {"name": ADMIN, "password": typed})
    assert not list(search(page.content + str(page.headers).encode(), [typed]))


@pytest.mark.hazard("T40")
def test_guessing_is_slowed_down_and_does_not_lock_out_the_owner(
    site: FastAPI, admin: Browser, ticks: Clock
) -> None:
    guesser = Browser(site, client="203.0.113.9")
    assert [sign_in(guesser, password=f"guess number {n}") for n in range(7)] == [401] * 5 + [429] * 2
    assert sign_in(guesser) == 429, "the right one is not told apart either"
    assert sign_in(Browser(site, client="198.51.100.4")) == 303
    ticks.advance(SPAN_SECONDS)
    assert sign_in(guesser) == 303


def test_spellings_of_a_name_count_together(site: FastAPI, admin: Browser) -> None:
    guesser = Browser(site, client="203.0.113.9")
    names = ["anna", "ANNA", "Anna", "aNNa", "annA", "AnNa"]
    assert [sign_in(guesser, name, "wrong password") for name in names][-1] == 429


def test_a_blocked_browser_is_told_how_long_to_wait(site: FastAPI, admin: Browser) -> None:
    guesser = Browser(site, language="zh")
    for _ in range(5):
        sign_in(guesser, password="wrong password")
    page = guesser.post("/admin/sign-in", {"name": ADMIN, "password": ADMIN_PASSWORD})
    assert "15 分钟" in page.text


@pytest.mark.parametrize("name", ["", "x" * 300, "'; DROP TABLE sign_ins; --", "<script>"])
def test_odd_names_are_refused_like_others(browser: Browser, name: str) -> None:
    answer = browser.post("/admin/sign-in", {"name": name, "password": "a long password"})
    assert answer.status_code == 401
    assert "<script>" not in answer.text


def test_a_name_with_control_characters_is_no_name(browser: Browser) -> None:
    answer = browser.post("/admin/sign-in", {"name": "a\0b", "password": "a long password"})
    assert answer.status_code == 400
