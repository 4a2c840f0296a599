"""Names and texts that servers, users and files bring stay text on every page (T39).

A quick look at the markup of pages that hold a text beside pages that hold a harmless one;
`tests/browser/test_hostile_strings.py` shows all of it to a real browser.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.store import accounts, audit, mailboxes, skipped
from mailferry.store.database import Database
from tests.kit.hostile_markup import HOSTILE
from tests.web.accounts import USER, add_account, add_domain
from tests.web.browser import Browser, tags

pytestmark = pytest.mark.hazard("T39")

SOME = HOSTILE[::11]
PAGES = ("/admin/", "/admin/accounts", f"/admin/account?address={USER}", "/admin/audit", "/admin/domains")


def markup(page: str) -> set[tuple[str, frozenset[str]]]:
    """Return each tag with the attributes that it has somewhere."""
    return set(tags(page))


def litter(store: Database, text: str) -> None:
    """Write `text` wherever words of others are kept."""

    def work(conn) -> None:
        account = accounts.find(conn, USER)
        assert account is not None
        accounts.note(conn, account.id, source_login=text, cause=Cause.UNKNOWN, cause_text=text)
        accounts.apply(conn, account.id, Event.GAVE_UP, epoch=account.epoch, who=text, detail=text)
        accounts.apply(conn, account.id, Event.RETRIED, epoch=account.epoch + 1, who=text, detail=text)
        mailbox = mailboxes.ensure(conn, account.id, text.encode(), target_name=b"INBOX")
        skipped.note(conn, mailbox.id, 7, reason=text, detail=text)
        audit.write(conn, who=text, what=text, subject=text, detail=text)

    store.run_now("litter", work)


def test_everything_from_outside_is_escaped_in_the_console(admin: Browser, store: Database) -> None:
    add_domain(store)
    add_account(store, USER, Event.SOURCE_ACCEPTED)
    for number in range(2):
        litter(store, f"harmless {number}")
    usual = {path: markup(admin.get(path).text) for path in PAGES}
    for text in SOME:
        litter(store, text)
    for path in PAGES:
        page = admin.get(path).text
        assert markup(page) <= usual[path], path
        assert not [text for text in SOME if set(text) & set("<>\"'&") and text in page], "not escaped"


def echoes(browser: Browser, text: str) -> Iterator[str]:
    """Yield pages that show what was typed, asked for or uploaded."""
    yield browser.post("/admin/sign-in", {"name": text[:60], "password": ""}).text
    yield browser.post("/sign-in", {"address": text, "password": ""}).text
    yield browser.upload("/admin/import", f"target,{text}\r\n{text},x\r\n".encode()).text
    yield browser.post("/admin/account/retry", {"address": text}).text


def test_what_was_typed_or_uploaded_comes_back_escaped(admin: Browser, store: Database) -> None:
    add_domain(store)
    usual = [markup(page) for page in echoes(admin, "harmless")]
    for text in SOME:
        for expected, page in zip(usual, echoes(admin, text), strict=True):
            assert markup(page) <= expected, text
            assert text[:60] not in page or not set(text[:60]) & set("<>\"'&"), "not escaped"
