"""Import and export in the console."""

from __future__ import annotations

import pytest

from mailferry.roster import overview
from mailferry.store import account_listing, passwords
from mailferry.store.database import Database
from tests.kit.canary import canary, search
from tests.web.accounts import USER, add_domain, add_failed, get
from tests.web.browser import Browser, shown


@pytest.fixture(autouse=True)
def domain(store: Database) -> None:
    add_domain(store)


def count(database: Database) -> int:
    return database.read_now("count", account_listing.count)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_file_as_spreadsheets_write_it_is_taken_in(admin: Browser, store: Database, encoding: str) -> None:
    file = "搬家帐号,待搬家帐号,待搬家帐号密码\r\nli@old.test,,\r\nwang@old.test,wang,secret\r\n"
    answer = admin.upload("/admin/import", file.encode(encoding))
    assert answer.status_code == 200
    assert "2 rows taken in: 2 new accounts, 1 passwords" in answer.text
    assert get(store, "wang@old.test").source_login == "wang"
    row = overview.audit_log(store, limit=1)[0]
    assert (row["who"], row["what"]) == ("console:anna", "account.import")


@pytest.mark.hazard("T40")
def test_faults_are_told_with_their_lines_and_nothing_is_done(admin: Browser, store: Database) -> None:
    file = (
        b"target,source,password\r\n"
        b"li@old.test,,\r\n"
        b"no address,,\r\n"
        b"li@old.test,,\r\n"
        b"wang@elsewhere.test,,\r\n"
        b"zhao@old.test,,\x01\r\n"
    )
    answer = admin.upload("/admin/import", file)
    assert answer.status_code == 422
    page = shown(answer.text)
    assert "Nothing was imported: 4 faults" in page
    for line, words in (
        (3, "target"),
        (4, "stands in line 2 already"),
        (5, "elsewhere.test"),
        (6, "control character"),
    ):
        assert f"{line} " in page
        assert words in page
    assert count(store) == 0


def test_a_file_is_checked_without_being_taken_in(admin: Browser, store: Database) -> None:
    answer = admin.upload("/admin/import", b"target\r\nli@old.test\r\n", {"check_only": "1"})
    assert "The file is good: 1 rows, 1 new accounts" in answer.text
    assert count(store) == 0


def test_very_many_faults_make_no_endless_page(admin: Browser) -> None:
    file = b"target\r\n" + b"no address\r\n" * 5000
    answer = admin.upload("/admin/import", file)
    assert "and 4,800 more" in answer.text
    assert answer.text.count("<tr>") == 201


@pytest.mark.hazard("T40")
@pytest.mark.parametrize(
    "octets", [b"", b"\0" * 5000, b"\xff\xfe" + b"\0\xd8" * 999, b'target\r\n"', bytes(range(256)) * 9]
)
def test_a_file_that_is_no_list_is_refused_with_a_reason(admin: Browser, octets: bytes) -> None:
    answer = admin.upload("/admin/import", octets)
    assert answer.status_code == 422
    assert "Nothing was imported" in answer.text


def test_no_file_at_all_is_refused(admin: Browser) -> None:
    answer = admin.post("/admin/import", {"file": "x"})
    assert answer.status_code == 400


def test_passwords_of_a_list_stand_in_no_page_and_are_sealed(admin: Browser, store: Database) -> None:
    typed = canary().replace('"', "")
    file = f"target,password\r\nli@old.test,{typed}\r\n".encode()
    pages = [admin.upload("/admin/import", file).content]
    pages.append(admin.upload("/admin/import", file + f"broken,{typed}\r\n".encode()).content)
    pages += [admin.get(f"/admin/account?address={USER}").content, admin.get("/admin/accounts.csv").content]
    assert not [sighting for page in pages for sighting in search(page, [typed])]
    account = get(store)
    row = store.read_now("password", lambda conn: passwords.get(conn, account.id))
    assert row.sealed_by_import
    assert not list(search(row.sealed or b"", [typed]))


def test_a_strangers_file_is_not_even_read(browser: Browser) -> None:
    answer = browser.upload("/admin/import", b"target\r\nli@old.test\r\n")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/sign-in")


def test_the_export_follows_the_filter_and_opens_in_spreadsheets(admin: Browser, store: Database) -> None:
    add_failed(store, "=cmd@old.test")
    add_failed(store, USER)
    answer = admin.get("/admin/accounts.csv?search=cmd")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="accounts.csv"'
    text = answer.content.decode("utf-8-sig")
    assert "'=cmd@old.test,old.test,failed,BLOCKED" in text
    assert USER not in text
