"""Who may ask what: each route of the console and the API, asked as everybody. A route without a rule fails."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection
from starlette.routing import Mount
from twisted.internet.defer import fail

from mailferry.roster import domains
from mailferry.roster.refusals import RosterRefusal
from mailferry.roster.tokens import Scope
from mailferry.store import accounts, mailboxes, sign_ins, skipped
from mailferry.store.database import Database
from mailferry.web.comparisons import Comparison, Comparisons
from mailferry.web.old_hosts import OldHosts
from mailferry.web.site import make_site
from mailferry.web.tickets import Kind, Tickets, mark_of
from tests.web.accounts import DOMAIN, USER, add_domain, add_failed
from tests.web.browser import Browser
from tests.web.conftest import MakeDesk, WallClock
from tests.web.program import API, Program, make_token

DOOR = "/admin/sign-in"
VERIFIER = "no hash at all"


class Role(StrEnum):
    """Who asks."""

    STRANGER = "stranger"
    OWNER = "owner"
    ADMIN = "admin"
    """Of the domain that is asked about."""
    ELSEWHERE = "elsewhere"
    """An administrator of another domain."""
    READER = "reader"
    NARROW = "narrow"
    """Reads the domain that is asked about."""
    WEBMAIL = "webmail"
    """A token for logins; the console knows nothing of the kind."""


IN, OUT, HIDDEN, FORBIDDEN = "in", "out", "not there", "forbidden"
_S, _O, _A, _E, _R, _N = list(Role)[:6]


def _rule(owner: str, admin: str, elsewhere: str, reader: str, narrow: str) -> Mapping[Role, str]:
    return {_S: OUT, _O: owner, _A: admin, _E: elsewhere, _R: reader, _N: narrow}


OPEN: Mapping[Role, str] = {}
LOOK = _rule(IN, IN, IN, IN, IN)
LOOK_OF = _rule(IN, IN, HIDDEN, IN, IN)
CHANGE = _rule(IN, IN, IN, FORBIDDEN, FORBIDDEN)
CHANGE_OF = _rule(IN, IN, HIDDEN, FORBIDDEN, FORBIDDEN)
OWN = _rule(IN, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN)
OWN_OF = _rule(IN, FORBIDDEN, HIDDEN, FORBIDDEN, FORBIDDEN)
EVERYWHERE = _rule(IN, FORBIDDEN, FORBIDDEN, IN, FORBIDDEN)
LOGIN = _rule(*[FORBIDDEN] * 5)

RULES: Mapping[str, Mapping[Role, str]] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /": OPEN,
    "GET /progress": OPEN,
    "POST /sign-in": OPEN,
    "POST /sign-out": OPEN,
    "POST /start": OPEN,
    "POST /again": OPEN,
    "GET /admin/sign-in": OPEN,
    "POST /admin/sign-in": OPEN,
    "POST /admin/sign-out": OPEN,
    "GET /admin/": LOOK,
    "GET /admin/?domain": LOOK_OF,
    "GET /admin/domains": LOOK,
    "GET /admin/domains/add": OWN,
    "POST /admin/domains/add": OWN,
    "GET /admin/domain": LOOK_OF,
    "GET /admin/domain/rules": CHANGE_OF,
    "POST /admin/domain/rules": CHANGE_OF,
    "POST /admin/domain/test": CHANGE_OF,
    "POST /admin/domain/{action}": CHANGE_OF,
    "GET /admin/accounts": LOOK,
    "GET /admin/accounts?domain": LOOK_OF,
    "GET /admin/accounts.csv": LOOK,
    "GET /admin/accounts.csv?domain": LOOK_OF,
    "GET /admin/account": LOOK_OF,
    "POST /admin/account/skipped": CHANGE_OF,
    "POST /admin/account/password": CHANGE_OF,
    "POST /admin/account/switch": CHANGE_OF,
    "POST /admin/account/{action}": CHANGE_OF,
    "GET /admin/import": LOOK,
    "POST /admin/import": CHANGE,
    "GET /admin/audit": LOOK,
    "GET /admin/sign-ins": OWN,
    "POST /admin/sign-ins": OWN,
    "GET /admin/tokens": OWN,
    "POST /admin/tokens": OWN,
    "GET /api/v1/openapi.json": OPEN,
    "GET /api/v1/overview": LOOK,
    "GET /api/v1/overview?domain": LOOK_OF,
    "GET /api/v1/samples": LOOK,
    "GET /api/v1/samples?domain": LOOK_OF,
    "GET /api/v1/audit": LOOK,
    "GET /api/v1/notices": LOOK,
    "GET /api/v1/notices?domain": LOOK_OF,
    "GET /api/v1/processes": EVERYWHERE,
    "GET /api/v1/domains": LOOK,
    "GET /api/v1/domains/{name}": LOOK_OF,
    "POST /api/v1/domains": OWN,
    "PATCH /api/v1/domains/{name}": CHANGE_OF,
    "DELETE /api/v1/domains/{name}": OWN_OF,
    "POST /api/v1/domains/{name}/pause": CHANGE_OF,
    "POST /api/v1/domains/{name}/resume": CHANGE_OF,
    "POST /api/v1/domains/{name}/extend": CHANGE_OF,
    "POST /api/v1/domains/{name}/switch": CHANGE_OF,
    "POST /api/v1/domains/apply": OWN,
    "POST /api/v1/processes/{number}/declare-dead": OWN,
    "POST /api/v1/domains/{name}/test": CHANGE_OF,
    "POST /api/v1/detect": CHANGE_OF,
    "GET /api/v1/accounts": LOOK,
    "GET /api/v1/accounts?domain": LOOK_OF,
    "GET /api/v1/accounts/{address}": LOOK_OF,
    "GET /api/v1/accounts/{address}/log": LOOK_OF,
    "GET /api/v1/accounts/{address}/skipped": LOOK_OF,
    "POST /api/v1/accounts/{address}/skipped/{number}/fetch": CHANGE_OF,
    "GET /api/v1/accounts/{address}/receipt": LOOK_OF,
    "POST /api/v1/accounts/{address}/verify": CHANGE_OF,
    "GET /api/v1/accounts/{address}/verifications/{number}": LOOK_OF,
    "DELETE /api/v1/accounts/{address}/verifications/{number}": CHANGE_OF,
    "POST /api/v1/accounts/{address}/retry": CHANGE_OF,
    "POST /api/v1/accounts/{address}/approve": CHANGE_OF,
    "POST /api/v1/accounts/{address}/pause": CHANGE_OF,
    "POST /api/v1/accounts/{address}/resume": CHANGE_OF,
    "POST /api/v1/accounts/{address}/reset": CHANGE_OF,
    "POST /api/v1/accounts/{address}/exclude": CHANGE_OF,
    "POST /api/v1/accounts/{address}/switch": CHANGE_OF,
    "POST /api/v1/accounts/{address}/password": CHANGE_OF,
    "POST /api/v1/import": CHANGE,
    "GET /api/v1/export": LOOK,
    "GET /api/v1/export?domain": LOOK_OF,
    "POST /api/v1/login": LOGIN,
}
"""What each role gets; `?domain` is the same route, asked for one domain."""

BODIES: Mapping[str, Any] = {
    "POST /api/v1/domains/apply": {"domains": [{"name": "other.test", "source": "imaps://imap.old.test"}]},
    "POST /api/v1/domains": {"name": DOMAIN, "source": "imaps://imap.old.test"},
    "PATCH /api/v1/domains/{name}": {"language": "both"},
    "POST /api/v1/domains/{name}/extend": {"days": 1},
    "POST /api/v1/accounts/{address}/password": {"password": "x"},
}


def every_route(router: Any, before: str = "") -> Iterator[str]:
    """Yield `METHOD path` of each route; the API is mounted, and names of static files change with them."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from every_route(inner, before)
        elif isinstance(route, Mount):
            yield from every_route(route.app, before + route.path)
        elif not route.path.startswith("/static/"):
            yield from (f"{method} {before}{route.path}" for method in route.methods - {"HEAD"})


class Everybody:
    """Asks a site as any role."""

    def __init__(self, site: FastAPI, store: Database, tickets: Tickets) -> None:
        self._tickets = tickets
        tokens: dict[Role, str | None] = dict.fromkeys(Role) | dict(_tokens(store))
        self._programs = {role: Program(site, token) for role, token in tokens.items()}
        self._browser = Browser(site)

    def post(self, role: Role, path: str, fields: Mapping[str, str]) -> httpx.Response:
        """Post a form of the console."""
        ticket = self._tickets.give(Kind.ADMIN, role.value, seconds=60, mark=mark_of(VERIFIER))
        self._browser.set_cookie("mailferry-console", ticket)
        return self._browser.post(path, fields)

    def ask(self, role: Role, what: str, domain: str = DOMAIN, user: str = USER) -> httpx.Response:
        method, _, path = what.partition(" ")
        query = (
            {}
            if path.startswith(("/admin/accounts", API)) or path == "/admin/"
            else {"address": user, "name": domain}
        )
        if path.endswith("?domain"):
            path, query = path.removesuffix("?domain"), {"domain": domain}
        if path.startswith(API):
            place = path.removeprefix(API).format(address=user, name=domain, number=1)
            body = {"json": BODIES[what]} if what in BODIES else {}
            if what == "POST /api/v1/detect":
                body = {"json": {"name": domain}}
            return self._programs[role].ask(method, place, params=query, **body)
        browser = self._browser
        browser.set_cookie("mailferry-console", "")
        if role not in {Role.STRANGER, Role.WEBMAIL}:
            ticket = self._tickets.give(Kind.ADMIN, role.value, seconds=60, mark=mark_of(VERIFIER))
            browser.set_cookie("mailferry-console", ticket)
        if method == "GET":
            return browser.ask("GET", path, params=query)
        if path == "/admin/import":
            return browser.upload(path, b"target\nli@nowhere.test\n")
        fields = {"address": user, "name": domain, "domain": domain, "password": "x"}
        fields |= {"do": "add", "message": "1"}
        return browser.post(path.replace("{action}", "pause"), fields)


def _tokens(store: Database) -> Iterator[tuple[Role, str]]:
    for role, scope, domain in (
        (Role.OWNER, Scope.WRITE, None),
        (Role.ADMIN, Scope.WRITE, DOMAIN),
        (Role.ELSEWHERE, Scope.WRITE, "other.test"),
        (Role.READER, Scope.READ, None),
        (Role.NARROW, Scope.READ, DOMAIN),
        (Role.WEBMAIL, Scope.LOGIN, None),
    ):
        yield role, make_token(store, role.value, [scope], domain)


async def at_once(work: Any) -> Any:
    """Raise what the Deferred failed with."""
    failed: list[Any] = []
    work().addErrback(failed.append)
    raise failed[0].value


def nobody(*_: Any, **__: Any) -> Any:
    return fail(RosterRefusal("no server is asked here"))


def compared_once() -> Comparisons:
    """Return a process's comparisons with one of the account, whose number is 1; it has ended."""
    numbers = itertools.count(1)
    made = Comparisons(number=lambda: next(numbers))

    async def compare(_one: Comparison) -> dict[str, Any]:
        raise RosterRefusal("no server is asked here")

    async def begin() -> None:
        one = made.begin(USER, 1.0, compare)
        assert one.task is not None
        await asyncio.wait([one.task])

    asyncio.run(begin())
    return made


def skip_a_message(conn: Connection) -> None:
    """Make what has the number 1 among the messages that were not copied."""
    account = accounts.ensure(conn, USER, DOMAIN)
    mailbox = mailboxes.ensure(conn, account.id, b"INBOX", target_name=b"INBOX")
    skipped.note(conn, mailbox.id, 7, reason="too_big")


@pytest.fixture
def everybody(make_desk: MakeDesk, store: Database, wall: WallClock) -> Everybody:
    desk = make_desk(
        on_reactor=at_once,
        old_hosts=OldHosts(nobody, nobody, nobody, nobody),
        comparisons=compared_once(),
    )
    for name in (DOMAIN, "other.test"):
        add_domain(store, name)
    add_failed(store)
    store.run_now("skipped", skip_a_message)
    roles = {
        Role.OWNER: ("owner", ()),
        Role.ADMIN: ("domain-admin", (DOMAIN,)),
        Role.ELSEWHERE: ("domain-admin", ("other.test",)),
        Role.READER: ("reader", ()),
        Role.NARROW: ("domain-reader", (DOMAIN,)),
    }
    for role, (name, of) in roles.items():
        store.run_now(
            "sign-in",
            lambda conn, role=role, name=name, of=of: sign_ins.put(
                conn, role.value, VERIFIER, role=name, domains=of
            ),
        )
    return Everybody(make_site(desk, doors=()), store, Tickets(b"t" * 32, wall))


def outcome(answer: httpx.Response) -> str:
    if answer.status_code == 401 or answer.headers.get("location") == DOOR:
        return OUT
    assert answer.status_code < 500, answer.text
    return {403: FORBIDDEN, 404: HIDDEN}.get(answer.status_code, IN)


@pytest.mark.hazard("T38")
def test_every_route_has_a_rule(site: FastAPI) -> None:
    assert {what.partition("?")[0] for what in RULES} == set(every_route(site))


@pytest.mark.hazard("T38")
def test_everybody_gets_what_the_rules_say(everybody: Everybody) -> None:
    wrong = [
        f"{role.value}: {what}: {got} instead of {expected}"
        for what, rule in RULES.items()
        for role, expected in rule.items()
        if (got := outcome(everybody.ask(role, what))) != expected
    ]
    assert not wrong, "\n".join(wrong)


def test_a_token_for_logins_opens_nothing_else(everybody: Everybody) -> None:
    asked = [what for what, rule in RULES.items() if f" {API}" in what and rule not in (OPEN, LOGIN)]
    assert {outcome(everybody.ask(Role.WEBMAIL, what)) for what in asked} == {FORBIDDEN}
    assert everybody.ask(Role.WEBMAIL, "POST /api/v1/login").status_code == 422


@pytest.mark.hazard("T38")
def test_what_is_somebody_elses_reads_exactly_as_what_is_not_there(everybody: Everybody) -> None:
    for what, rule in RULES.items():
        if rule.get(Role.ELSEWHERE) == HIDDEN:
            hidden = everybody.ask(Role.ELSEWHERE, what)
            missing = everybody.ask(Role.ELSEWHERE, what, "lost.test", "li@lost.test")
            assert hidden.status_code == missing.status_code, what
            same = re.sub(r"content-length.*", "", str(hidden.headers)) == re.sub(
                r"content-length.*", "", str(missing.headers)
            )
            assert same, what
            assert hidden.text.replace(DOMAIN, "lost.test") == missing.text, what


@pytest.mark.hazard("T38")
def test_where_our_master_password_is_sent_is_for_owners_to_say(
    everybody: Everybody, site: FastAPI, store: Database
) -> None:
    narrow = Program(site, make_token(store, "narrower", [Scope.WRITE], DOMAIN))
    for key in ("target", "target_pop3"):
        for value in ("imaps://evil.test", None):
            answer = narrow.ask("PATCH", f"/domains/{DOMAIN}", json={key: value})
            assert answer.status_code == 403, (key, value)
    assert narrow.ask("PATCH", f"/domains/{DOMAIN}", json={"source": "imaps://new.test"}).status_code == 200
    rules = {"name": DOMAIN, "source": "imaps://newer.test", "target": "imaps://evil.test"}
    assert everybody.post(Role.ADMIN, "/admin/domain/rules", rules).status_code == 403
    assert domains.show(store, DOMAIN)["source"] == "imaps://new.test:993"
    assert everybody.post(Role.OWNER, "/admin/domain/rules", rules).status_code != 403
