"""The rest of the console: orders, charts, the board that asks again, the audit filter, sign-ins, tokens, .eml files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mailferry.model.account import Event
from mailferry.model.causes import Cause, Unavailable
from mailferry.roster import sign_ins, tokens
from mailferry.store import mailboxes, skipped
from mailferry.store.database import Database
from mailferry.web.old_hosts import FetchedMessage, OldHosts
from tests.web.accounts import USER, add_account, add_domain, add_failed
from tests.web.browser import Browser, shown, tags
from tests.web.conftest import MakeDesk
from tests.web.test_console_domains import at_once, browser_of


def test_the_overview_draws_charts_with_words_and_a_table_for_each(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_failed(store)
    page = admin.get("/admin/?span=6h").text
    assert page.count("<svg") == page.count("</title>") - 1 == page.count("</desc>") == 7
    assert page.count("As a table") == 7
    assert 'role="img"' in page
    assert not {name for _, names in tags(page) for name in names} & {"style"}
    assert admin.get("/admin/?span=year").status_code == 400
    assert admin.get("/admin/?domain=nowhere.test").status_code == 404


def test_the_board_alone_is_what_the_open_page_asks_for_again(admin: Browser, store: Database) -> None:
    add_domain(store)
    answer = admin.get("/admin/", **{"hx-request": "true"})
    assert "<html" not in answer.text
    assert '<div id="board" hx-get="/admin/?domain=&amp;span=24h"' in answer.text


def test_lists_are_sorted_by_their_headings(admin: Browser, store: Database) -> None:
    add_domain(store)
    for number, copied in enumerate((10, 90, 50)):
        add_account(store, f"u{number}@old.test", Event.SOURCE_ACCEPTED, total=100, copied=copied)
    page = admin.get("/admin/accounts?sort=percent&down=1").text
    places = [page.index(f">u{number}@old.test<") for number in (1, 2, 0)]
    assert places == sorted(places)
    assert 'aria-sort="descending"' in page
    assert admin.get("/admin/accounts?sort=shoe").status_code == 400
    assert admin.get("/admin/accounts?sort=percent&after=x").status_code == 400


def test_accounts_are_found_by_who_must_act(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_failed(store)
    assert f">{USER}<" in admin.get("/admin/accounts?actor=administrator").text
    assert f">{USER}<" not in admin.get("/admin/accounts?actor=user").text
    assert admin.get("/admin/accounts?actor=strange").status_code == 400


def test_the_audit_log_is_filtered(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_failed(store)
    admin.post("/admin/account/pause", {"address": USER})
    assert "account.pause" in admin.get(f"/admin/audit?subject={USER}&by=anna").text
    assert "account.pause" not in admin.get(f"/admin/audit?subject={USER}&by=bo").text


def test_owners_add_and_remove_sign_ins(admin: Browser, store: Database) -> None:
    add_domain(store)
    fields = {
        "name": "bo",
        "password": "long enough now",
        "role": "domain-admin",
        "domains": "old.test",
        "do": "add",
    }
    assert "can be used now" in admin.post("/admin/sign-ins", fields, follow=True).text
    assert [(one["name"], one["domains"]) for one in sign_ins.listing(store)] == [
        ("anna", None),
        ("bo", ["old.test"]),
    ]
    assert admin.post("/admin/sign-ins", {**fields, "password": "short"}).status_code == 409
    assert admin.post("/admin/sign-ins", {**fields, "role": "king"}).status_code == 400
    assert admin.post("/admin/sign-ins", {"name": "anna", "do": "remove"}).status_code == 409
    assert admin.post("/admin/sign-ins", {"name": "bo", "do": "remove"}).status_code == 303
    assert len(sign_ins.listing(store)) == 1


def test_a_token_is_shown_once(admin: Browser, store: Database) -> None:
    fields = {"name": "webmail", "login": "1", "days": "30", "do": "add"}
    made = admin.post("/admin/tokens", fields).text
    assert tokens.PREFIX in made
    assert tokens.PREFIX not in admin.get("/admin/tokens").text
    assert admin.post("/admin/tokens", fields).status_code == 409
    assert admin.post("/admin/tokens", {"name": "webmail", "do": "remove"}).status_code == 303
    assert tokens.listing(store) == []


def skip_one(store: Database) -> int:
    def work(conn: Any) -> int:
        account = add_row(conn)
        row = mailboxes.ensure(conn, account, b"INBOX", target_name=b"INBOX")
        skipped.note(conn, row.id, 7, reason="too_big", size=99)
        return skipped.listing(conn, account)[0].id

    return store.run_now("skip", work)


def add_row(conn: Any) -> int:
    from mailferry.store import accounts

    return accounts.ensure(conn, USER, "old.test").id


@pytest.mark.hazard("T40")
def test_a_skipped_message_comes_as_a_file_and_leaves_none_behind(
    make_desk: MakeDesk, store: Database
) -> None:
    add_domain(store)
    number = skip_one(store)
    folders: list[Path] = []
    given: list[Any] = []

    def fetch(address: str, mailbox: int, uid: int, folder: Path) -> Deferred[FetchedMessage]:
        folders.append(folder)
        if given:
            return given.pop()
        assert (address, uid) == (USER, 7)
        (folder / "1-7.eml").write_bytes(b"Subject: x\r\n\r\n<script>")
        return succeed(FetchedMessage(folder / "1-7.eml"))

    nobody: Any = None
    desk = make_desk(old_hosts=OldHosts(nobody, nobody, fetch, nobody), on_reactor=at_once)
    admin = browser_of(desk, store)
    asked = {"address": USER, "message": str(number)}
    answer = admin.post("/admin/account/skipped", asked)
    assert answer.content == b"Subject: x\r\n\r\n<script>"
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"].startswith("attachment;")
    given.append(succeed(FetchedMessage(None, "it is gone there")))
    assert "it is gone there" in admin.post("/admin/account/skipped", asked).text
    given.append(fail(Unavailable(Cause.SERVER_DOWN, "no route to the host")))
    assert admin.post("/admin/account/skipped", asked).status_code == 409
    assert admin.post("/admin/account/skipped", {**asked, "message": "999"}).status_code == 400
    assert len(folders) == 3
    assert not [folder for folder in folders if folder.exists()]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_import_shows_how_the_file_was_read_but_no_password(
    admin: Browser, store: Database, language: str
) -> None:
    add_domain(store)
    file = "搬家帐号,待搬家帐号,待搬家帐号密码\r\nli@old.test,li-old,geheim99\r\n".encode("gb18030")
    page = admin.upload(f"/admin/import?lang={language}", file, {"check_only": "1"}).text
    assert "li-old" in page
    assert "geheim99" not in page
    assert "gb18030" in page
    assert ("given" if language == "en" else "已提供") in shown(page)
