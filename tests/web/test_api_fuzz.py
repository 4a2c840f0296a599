"""The API is asked what its own description allows, and what it forbids: it never breaks, and answers as described."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mailferry.app.preflight import Line, Sign
from mailferry.gate.checking import CheckAttempt, Verdict
from mailferry.model.causes import Answer, Cause
from mailferry.providers.detection import Gathered
from mailferry.roster.tokens import Scope
from mailferry.store import domains
from mailferry.store.database import Database
from mailferry.web.old_hosts import FetchedMessage, OldHosts, Report
from mailferry.web.site import make_site
from tests.web.accounts import DOMAIN, USER, add_account, add_domain, add_failed
from tests.web.conftest import MakeDesk
from tests.web.program import API, Program, make_token

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
GOOD = {
    "name": ["new.test", DOMAIN, "x"],
    "source": ["imaps://imap.new.test", "x"],
    **{key: [None] for key in ("source_pop3", "provider", "target", "target_pop3", "login_form", "notices")},
}
"""What a domain that can be added says, and a little that it cannot."""
QUICK = 5
LONG = 100
"""For each operation: some 80 seconds of one core in all. Chance comes from a fixed seed."""


class Refuses:
    """Judges every password the same."""

    def check(self, attempt: CheckAttempt) -> Deferred[Verdict]:
        assert attempt.password.reveal()
        return succeed(Verdict(Answer.REFUSED, text="no", cause=Cause.UNKNOWN_USER))


def gather(asked: Gathered, servers: Any) -> Deferred[Gathered]:
    return succeed(replace(asked, silent={server.host: "nobody is asked" for server in servers}))


def not_had(*_: Any) -> Any:
    return succeed(FetchedMessage(None, "it is gone"))


def compared(_address: str, _share: float, tell: Any, _watch: Any) -> Any:
    tell({"mailbox": "INBOX", "uid": 1, "fault": "not_copied", "detail": ""})
    counted = dict.fromkeys(("messages", "bodies_compared", "skipped", "target_only", "gone", "unlocated"), 1)
    return succeed({"equal": False, **counted, "faults": {"not_copied": 1}})


def reported(*_: Any, **__: Any) -> Any:
    return succeed(Report([Line(Sign.NOTE, "login", "none was tried")]))


async def at_once(work: Any) -> Any:
    """Await a Deferred that has fired."""
    result: list[Any] = []
    work().addCallback(result.append)
    return result[0]


@pytest.fixture
def fuzzed(make_desk: MakeDesk, store: Database, ticks: Clock) -> Program:
    """A program before a site with something in it; time passes with each request, so that none is too many."""
    site: FastAPI = make_site(
        make_desk(
            checker=Refuses(), on_reactor=at_once, old_hosts=OldHosts(gather, reported, not_had, compared)
        ),
        doors=(),
    )
    furnish(store)
    token = make_token(store, scopes=[Scope.WRITE, Scope.LOGIN])
    return Program(site, token)


def furnish(store: Database) -> None:
    """Put in what requests ask for; some of them remove it."""
    if store.read_now("domain", lambda conn: domains.find(conn, DOMAIN)) is None:
        add_domain(store)
        add_failed(store)
        add_account(store, "wang@old.test")


def described(program: Program) -> schemathesis.BaseSchema:
    """Return the description; names of things that are there are among what is tried."""
    raw = program.get("/openapi.json")
    for operations in raw["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    if parameter["schema"].get("type") == "integer":
                        parameter["schema"] = {"type": "integer", "enum": [1, 2]}
                        continue
                    known = USER if parameter["name"] == "address" else DOMAIN
                    parameter["schema"] = {"type": "string", "enum": [known, f"x{known}"]}
    domain = raw["components"]["schemas"]["NewDomain"]["properties"]
    for name, tried in GOOD.items():  # chance finds no domain that can be
        domain[name] = {"enum": tried}
    return schemathesis.openapi.from_dict(raw)


def fuzz(program: Program, store: Database, ticks: Clock, examples: int) -> Counter[int]:
    """Ask each operation so often; return how many answers of each status there were."""
    seen: Counter[int] = Counter()
    for found in described(program).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            furnish(store)
            ticks.advance(10)
            sent = case.as_transport_kwargs(base_url="http://mail.example.test")
            sent.pop("timeout", None)
            request = requests.Request(**sent).prepare()
            assert request.url is not None
            path = request.url.removeprefix("http://mail.example.test").removeprefix(API)
            headers = {
                name: value for name, value in request.headers.items() if name.lower() != "authorization"
            }
            answer = program.ask(str(request.method), path, content=request.body or b"", headers=headers)
            seen[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        ask()
    return seen


def test_the_api_answers_as_its_description_says_whatever_is_asked(
    fuzzed: Program, store: Database, ticks: Clock
) -> None:
    seen = fuzz(fuzzed, store, ticks, QUICK)
    assert seen[200] >= 30, seen
    assert not seen[401] + seen[429], seen


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_api_answers_as_described_to_thousands_of_requests(
    fuzzed: Program, store: Database, ticks: Clock
) -> None:
    seen = fuzz(fuzzed, store, ticks, LONG)
    assert seen[200] >= 1000, seen
    assert {200, 201, 404, 409, 422} <= set(seen)
