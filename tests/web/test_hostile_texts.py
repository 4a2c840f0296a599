"""Names and texts that servers, users and files bring stay text on every page (T39)."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.store import accounts, audit, mailboxes, skipped
from mailferry.store.database import Database
from tests.web.accounts import add_account, add_domain, add_failed, get
from tests.web.browser import Browser, tags

pytestmark = pytest.mark.hazard("T39")

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea><svg/onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)//",
    "<!--<base href=//evil.test>",
    "]]><iframe srcdoc='<script>1</script>'>",
    "\u2028</title><meta http-equiv=refresh content=0;url=//evil.test>",
    "＜script＞&lt;b&gt;&#60;i&#62;",
)


class Attributes(HTMLParser):
    """Collects addresses and values that could act."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]


def check(page: str, payload: str) -> None:
    attributes = Attributes()
    attributes.feed(page)
    assert not {tag for tag, _ in tags(page)} & {"script", "img", "svg", "iframe", "base", "b", "i"}
    assert not {name for name in attributes.names if name.startswith("on") or name in {"style", "srcdoc"}}
    assert all(link.startswith(("/", "?")) and not link.startswith("//") for link in attributes.links)
    assert payload not in page or not set(payload) & set("<>\"'&"), "not escaped"
    assert "49" not in page.partition("<main>")[0]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_everything_from_outside_is_escaped_in_the_console(
    admin: Browser, store: Database, payload: str
) -> None:
    add_domain(store)
    address = f"{payload.replace('@', '')}@old.test"
    account = add_failed(store, address, Cause.UNKNOWN, text=payload)

    def litter(conn) -> None:
        accounts.note(conn, account.id, source_login=payload)
        mailbox = mailboxes.ensure(conn, account.id, payload.encode(), target_name=b"INBOX")
        skipped.note(conn, mailbox.id, 7, reason=payload, detail=payload)
        audit.write(conn, who=payload, what=payload, subject=payload, detail=payload)

    store.run_now("litter", litter)
    event = store.run_now(
        "event",
        lambda conn: accounts.apply(
            conn, account.id, Event.RETRIED, epoch=get(store, address).epoch, who=payload, detail=payload
        ),
    )
    assert event.address == address
    for path in (
        "/admin/",
        "/admin/accounts",
        f"/admin/accounts?search={quote(payload)}",
        "/admin/audit",
        f"/admin/accounts?domain={quote(payload)}",
        f"/admin/account?address={quote(payload)}",
        f"/admin/domain?name={quote(payload)}",
        f"/?said={quote(payload)}&lang={quote(payload)}&x={quote(payload)}",
        f"/admin/?x={quote(payload)}",
    ):
        check(admin.get(path).text, payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_was_typed_or_uploaded_comes_back_escaped(admin: Browser, store: Database, payload: str) -> None:
    add_domain(store)
    check(admin.post("/admin/sign-in", {"name": payload[:60], "password": ""}).text, payload[:60])
    check(admin.post("/sign-in", {"address": payload, "password": ""}).text, payload)
    check(admin.upload("/admin/import", f"target,{payload}\r\n{payload},x\r\n".encode()).text, payload)
    check(admin.post("/admin/account/retry", {"address": payload}).text, payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_page_of_one_account_escapes_all_of_it(admin: Browser, store: Database, payload: str) -> None:
    add_domain(store)
    account = add_account(store, "li@old.test", Event.SOURCE_ACCEPTED)

    def litter(conn) -> None:
        accounts.apply(
            conn,
            account.id,
            Event.GAVE_UP,
            epoch=account.epoch,
            who=payload,
            detail=payload,
            cause=Cause.UNKNOWN,
        )
        accounts.note(conn, account.id, source_login=payload, cause=Cause.UNKNOWN, cause_text=payload)
        mailbox = mailboxes.ensure(conn, account.id, payload.encode(), target_name=b"INBOX")
        skipped.note(conn, mailbox.id, 7, reason=payload, detail=payload)

    store.run_now("litter", litter)
    page = admin.get("/admin/account?address=li@old.test").text
    assert page.count("&lt;") or not set(payload) & set("<>")
    check(page, payload)
