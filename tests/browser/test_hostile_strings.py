"""Two hundred hostile texts in every field that a page shows: in a real browser no script runs (T39).

Each page shows hundreds of them at once. A visit ends with an assertion that nothing was asked of
another host and that the content security policy had nothing to report: a text that got out of its
place would be reported even where the policy stops it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, succeed

from mailferry.model.access import Secret
from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.model.profile import CheckStep, Profile
from mailferry.model.server_url import BadServerUrl, parse_server_url
from mailferry.providers.detection import Gathered
from mailferry.providers.loader import load_profiles
from mailferry.roster import sign_ins
from mailferry.store import accounts, api_tokens, audit, domains, mailboxes, nodes, remarks, skipped
from mailferry.store import sign_ins as sign_ins_kept
from mailferry.store.database import Database
from mailferry.store.remarks import RemarkKind
from mailferry.web.old_hosts import OldHosts, Report
from mailferry.web.site import make_site
from tests.browser.conftest import at_once
from tests.browser.judge import Judge
from tests.browser.test_user_life import OLD
from tests.kit.chromium import visit
from tests.kit.hostile_markup import HOSTILE
from tests.kit.live_site import live
from tests.web.accounts import DOMAIN, USER
from tests.web.conftest import ADMIN, ADMIN_PASSWORD, MakeDesk
from tests.web.test_site import routes_of

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.hazard("T39"), pytest.mark.timeout(200)]

WORST = USER
"""The account that everything happened to."""


def hostile_profiles() -> dict[str, Profile]:
    """Return a provider whose every word is hostile; an administrator's own file may hold such."""
    steps = tuple(CheckStep("code", text, text) for text in HOSTILE)
    known = load_profiles()
    evil = replace(
        known["generic"], profile_id="evil", names={"en": HOSTILE[0], "zh": HOSTILE[1]}, checklist=steps
    )
    return {**known, "evil": evil}


def source(text: str) -> str:
    """Return the address of a host of that name, as far as an administrator may write it."""
    try:
        parse_server_url(f"imaps://{text}")
    except BadServerUrl:
        return "imaps://imap.old.test"
    return f"imaps://{text}"


def litter(conn: Connection) -> None:
    """Put each text into each field that the store has for words of others."""
    domains.add(conn, DOMAIN, source_imap="imaps://imap.old.test", provider="evil")
    worst = accounts.ensure(conn, WORST, DOMAIN)
    worst = accounts.apply(conn, worst.id, Event.SOURCE_ACCEPTED, epoch=worst.epoch)
    for number, text in enumerate(HOSTILE):
        domains.add(conn, f"{text}.{number}.test", source_imap=source(text), provider=text)
        account = accounts.ensure(conn, f"{text.replace('@', '')}{number}@{DOMAIN}", DOMAIN)
        accounts.apply(conn, account.id, Event.SOURCE_ACCEPTED, epoch=account.epoch, who=text, detail=text)
        accounts.note(conn, account.id, source_login=text, cause=Cause.UNKNOWN, cause_text=text)
        event = Event.RETRIED if number % 2 else Event.GAVE_UP
        worst = accounts.apply(conn, worst.id, event, epoch=worst.epoch, who=text, detail=text)
        box = mailboxes.ensure(conn, worst.id, text.encode(), target_name=text.encode())
        skipped.note(conn, box.id, number + 1, reason=text, detail=text)
        audit.write(conn, who=text, what=text, subject=text, detail=text)
        remarks.note(conn, worst.id, RemarkKind.KEYWORD, text.encode(), number=1, detail=text)
        nodes.register(conn, "proxy", text, text, number)
        sign_ins_kept.put(
            conn, f"{number}{text}", "x", role="domain-reader", domains=[f"{text}.{number}.test"]
        )
        api_tokens.add(
            conn, f"{number}{text}", b"%d" % number, scopes=text, domain=None, added_by=text, expires_at=None
        )
    domains.set_rules(conn, DOMAIN, login_form="\n".join(HOSTILE))
    accounts.apply(conn, worst.id, Event.GAVE_UP, epoch=worst.epoch, who="x", detail="x")
    accounts.note(conn, worst.id, source_login=HOSTILE[0], cause=Cause.APP_PASSWORD_REQUIRED)
    accounts.note(conn, worst.id, cause_text="\n".join(HOSTILE), total=900, copied=100)


@dataclass(frozen=True)
class Seen:
    """A line of a connection test, or a mailbox of its preview, whose every word is a host's."""

    text: str

    def __getattr__(self, name: str) -> str:
        return "fault" if name == "sign" else self.text


def gathered(asked: Gathered, _servers: object) -> Deferred[Gathered]:
    """Stand for DNS and servers that say such things."""
    return succeed(replace(asked, silent={text: text for text in HOSTILE}))


def tested(*_: object, **__: object) -> Deferred[Report]:
    """Stand for a host whose mailboxes and answers are such."""
    found: list[Any] = [Seen(text) for text in HOSTILE]
    return succeed(Report(found, found))


@dataclass(frozen=True)
class Hostile:
    """A site over a littered store, and where it is."""

    site: FastAPI
    address: str


@pytest.fixture
def hostile(store: Database, make_desk: MakeDesk, judge: Judge) -> Iterator[Hostile]:
    store.run_now("litter", litter)
    sign_ins.add(store, ADMIN, Secret(ADMIN_PASSWORD.encode()), who="test")
    judge.old[WORST] = OLD
    desk = make_desk(
        old_mailbox=judge,
        on_reactor=at_once,
        profiles=hostile_profiles(),
        old_hosts=OldHosts(gathered, tested, gathered, tested),
    )
    site = make_site(desk, doors=())
    with live(site) as where:
        yield Hostile(site, where)


ACTING = """() => [...document.querySelectorAll("*")].filter(e =>
  [...e.attributes].some(a => a.name.startsWith("on") || ["style", "srcdoc"].includes(a.name))
  || ["href", "src", "action", "formAction", "data"].some(name => typeof e[name] === "string" && e.getAttribute(name)
    && new URL(e[name], location).origin !== location.origin)
).map(e => e.outerHTML.slice(0, 200))"""
FOREIGN = (
    "iframe, object, embed, base, template, math, style, script:not([src^='/static/']), form form, body img"
)


def harmless(page: Page, what: str) -> set[str]:
    """Return which texts the page shows as text: no marker was set, nothing of theirs became an element."""
    assert page.evaluate("window.marker") is None, what
    assert page.evaluate(ACTING) == [], what
    assert page.locator(FOREIGN).count() == 0, what
    shown = page.locator("body").inner_text()
    return {text for text in HOSTILE if text in shown}


def groups(longest: int) -> Iterator[str]:
    """Yield the texts, joined while they fit into a field of `longest` letters."""
    group = ""
    for text in HOSTILE:
        if len(group) + len(text) > longest:
            yield group
            group = ""
        group += text
    yield group


def submit(page: Page, **fields: str) -> None:
    """Fill in the page's form and send it."""
    for name, value in fields.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("main form button").click()


def console_pages(site: FastAPI) -> list[str]:
    """Return each page of the console, asked about what is worst."""
    paths = {route.path for route in routes_of(site) if "GET" in getattr(route, "methods", ())}
    asked = f"address={quote(WORST)}&name={DOMAIN}&domain={DOMAIN}&days=30"
    pages = [path for path in sorted(paths) if path.startswith("/admin/") and "." not in path]
    return [f"{path}?{asked}" for path in pages if "{" not in path]


def test_two_hundred_texts_and_more_are_tried() -> None:
    assert len(HOSTILE) > 200


def test_the_user_page_shows_hostile_words_as_words(browser: Browser, hostile: Hostile) -> None:
    with visit(browser, hostile.address, expected={401, 429}) as page:
        page.goto("/")
        submit(page, address=WORST, password=OLD)
        expect(page.locator("#headline")).to_be_visible()
        for language in ("en", "zh"):
            page.goto(f"/?lang={language}")
            assert len(harmless(page, "the provider's own words")) > 200
        page.goto(f"/?said={quote(HOSTILE[0])}&lang={quote(HOSTILE[1])}&look={quote(HOSTILE[2])}")
        harmless(page, "the switches")
        page.context.clear_cookies()
        page.goto("/")
        for group in groups(990):
            page.locator("[name=address]").evaluate("field => field.removeAttribute('maxlength')")
            submit(page, address=group, password="x")
            expect(page.get_by_role("alert")).to_be_visible()
            expect(page.locator("[name=address]")).to_have_value(group)
            harmless(page, "the door")


@pytest.mark.slow
def test_the_console_shows_hostile_words_as_words(browser: Browser, hostile: Hostile) -> None:
    with visit(browser, hostile.address, expected={400, 401, 404, 409, 422, 429}) as page:
        page.goto("/admin/sign-in")
        submit(page, name=next(groups(60)), password="x")
        expect(page.get_by_role("alert")).to_be_visible()
        harmless(page, "the console's door")
        submit(page, name=ADMIN, password=ADMIN_PASSWORD)
        expect(page.get_by_role("navigation").first).to_be_visible()
        for path in console_pages(hostile.site):
            page.goto(path)
            harmless(page, path)
        for path in (
            f"/admin/account?address={quote(WORST)}",
            "/admin/domains",
            "/admin/accounts",
            "/admin/audit",
            "/admin/sign-ins",
            "/admin/tokens",
            "/admin/",
            f"/admin/domain?name={DOMAIN}",
        ):
            page.goto(path)
            shown = harmless(page, path)
            while len(shown) <= 200 and page.locator("a[rel=next]").count():
                page.locator("a[rel=next]").first.click()
                shown |= harmless(page, path)
            assert len(shown) > 200, path
        for text in HOSTILE[::43]:
            for path in (
                "/admin/account?address",
                "/admin/accounts?search",
                "/admin/domain?name",
                "/admin/x?x",
            ):
                page.goto(f"{path}={quote(text)}")
                harmless(page, path)
        for octets in (hostile_list(), f"target,{HOSTILE[5]}\r\nli@{DOMAIN},x".encode()):
            upload(page, octets)


@pytest.mark.slow
def test_setting_a_domain_up_shows_what_hosts_say_as_words(browser: Browser, hostile: Hostile) -> None:
    with visit(browser, hostile.address, expected={400, 409}) as page:
        page.goto("/admin/sign-in")
        submit(page, name=ADMIN, password=ADMIN_PASSWORD)
        expect(page.get_by_role("navigation").first).to_be_visible()
        page.goto("/admin/domains/add")
        fields = page.locator("main form input[type=text], main form input:not([type])")
        for button in ("detect", "test", "add"):
            for place in range(fields.count()):
                text = HOSTILE[(7 * place + len(button)) % len(HOSTILE)]
                fields.nth(place).evaluate(
                    "(field, text) => { field.removeAttribute('maxlength'); field.value = text }", text
                )
            page.locator("[name=source]").fill("imaps://imap.old.test")
            page.locator("[name=source_pop3]").fill("")
            page.locator("[name=name]").fill(HOSTILE[0] if button == "add" else "new.test")
            shown = press(page, button)
            if button == "detect":
                assert len(shown) > 200
            page.goto("/admin/domains/add")
        page.goto(f"/admin/domain?name={DOMAIN}")
        page.locator("form[action='/admin/domain/test'] button").click()
        expect(page.locator("#report")).to_be_visible()
        assert len(harmless(page, "a test of a domain")) > 200


def press(page: Page, button: str) -> set[str]:
    """Press a button of the form; return which texts the answer shows."""
    page.locator(f"button[name=do][value={button}]").click()
    page.wait_for_load_state()
    return harmless(page, button)


def hostile_list() -> bytes:
    """Return a list of accounts whose every cell is hostile."""
    cells = [f'"{text.replace(chr(34), chr(34) * 2)}"' for text in HOSTILE]
    return "\r\n".join(["target,source", *(f"{cell},{cell}" for cell in cells)]).encode()


def upload(page: Page, octets: bytes) -> None:
    """Give the console a list to look at."""
    page.goto("/admin/import")
    page.locator("input[type=file]").set_input_files(
        {"name": f"{HOSTILE[2]}.csv", "mimeType": "text/csv", "buffer": octets}
    )
    page.locator("main form[enctype] button").first.click()
    expect(page.get_by_role("alert").or_(page.get_by_role("status")).first).to_be_visible()
    harmless(page, "the import")
