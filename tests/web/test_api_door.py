"""Who comes in to the API, and how fast."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from twisted.internet.task import Clock

from mailferry.roster import tokens
from mailferry.roster.tokens import Scope
from mailferry.store.database import Database
from mailferry.web.api.door import WRONG_LIMITS
from mailferry.web.api.pace import AT_ONCE, PER_SECOND, Pace
from mailferry.web.throttle import SPAN_SECONDS
from tests.kit.canary import canary, search
from tests.web.browser import Browser
from tests.web.program import API, Program, make_token, problem_of

WRONG = "mailferry_" + "A" * 43


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        ("Basic YTpi", "Bearer"),
        ("Bearer", "Bearer"),
        (f"Bearer {WRONG}", 'Bearer error="invalid_token"'),
        ("Bearer x", 'Bearer error="invalid_token"'),
        (f"Bearer {WRONG} {WRONG}", 'Bearer error="invalid_token"'),
        ("Bearer \u00e9", 'Bearer error="invalid_token"'),
    ],
    ids=str,
)
def test_nobody_comes_in_without_a_token(
    site: FastAPI, store: Database, header: str | None, challenge: str
) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    answer = Program(site, None).ask("GET", "/domains", headers=headers)
    assert problem_of(answer)["status"] == 401
    assert answer.headers["www-authenticate"] == challenge


def test_the_word_bearer_is_read_in_any_case(site: FastAPI, store: Database) -> None:
    token = make_token(store)
    answer = Program(site, None).ask("GET", "/domains", headers={"authorization": f"bEARER {token}"})
    assert answer.status_code == 200


@pytest.mark.hazard("T38")
def test_a_cookie_opens_nothing_so_no_other_site_can_ask(admin: Browser) -> None:
    """The console's cookie is sent on `/admin` only; even if it came here, nobody would look at it."""
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    for method, path in (("GET", "/domains"), ("POST", "/domains/old.test/pause"), ("POST", "/import")):
        answer = admin.ask(
            method,
            f"{API}{path}",
            headers={"cookie": cookie, "origin": "http://evil.test", "sec-fetch-site": "cross-site"},
        )
        assert answer.status_code == 401


@pytest.mark.hazard("T38")
def test_the_way_around_the_same_origin_check_leads_to_the_api_alone(admin: Browser) -> None:
    for path in (
        "/api/v1/../../admin/sign-out",
        "/api/../admin/sign-out",
        "/api/v1//admin/sign-out",
        "/api/x",
    ):
        answer = admin.ask("POST", path, headers={"origin": "http://evil.test"})
        assert answer.status_code in {401, 403, 404, 405}, path
    assert admin.get("/admin/").status_code == 200


@pytest.mark.hazard("T40")
def test_a_removed_and_an_expired_token_are_refused_at_once(site: FastAPI, store: Database) -> None:
    program = Program(site, make_token(store))
    assert program.ask("GET", "/domains").status_code == 200
    tokens.remove(store, "robot", who="test")
    assert program.ask("GET", "/domains").status_code == 401


@pytest.mark.hazard("T40")
def test_wrong_tokens_are_slowed_down_by_network_and_good_ones_are_not(
    site: FastAPI, store: Database, ticks: Clock
) -> None:
    good = make_token(store)
    known, late = Program(site, good), Program(site, make_token(store, "late"))
    assert known.ask("GET", "/domains").status_code == 200
    guesser = Program(site, WRONG)
    answers = [guesser.ask("GET", "/domains") for _ in range(WRONG_LIMITS.network + 2)]
    assert [answer.status_code for answer in answers[-3:]] == [401, 429, 429]
    assert int(problem_of(answers[-1]) and answers[-1].headers["retry-after"]) <= SPAN_SECONDS
    assert known.ask("GET", "/domains").status_code == 200, "one that was good here before goes on"
    assert late.ask("GET", "/domains").status_code == 429
    assert (
        Program(site, make_token(store, "far"), client="198.51.100.9").ask("GET", "/domains").status_code
        == 200
    )
    ticks.advance(SPAN_SECONDS)
    assert late.ask("GET", "/domains").status_code == 200
    assert guesser.ask("GET", "/domains").status_code == 401


def test_requests_without_a_token_count_nowhere(site: FastAPI, store: Database) -> None:
    nobody = Program(site, None)
    assert {nobody.ask("GET", "/domains").status_code for _ in range(40)} == {401}
    assert Program(site, make_token(store)).ask("GET", "/domains").status_code == 200


def test_a_token_that_was_removed_counts_as_a_wrong_one_from_its_second_use(
    site: FastAPI, store: Database
) -> None:
    program = Program(site, make_token(store))
    program.ask("GET", "/domains")
    tokens.remove(store, "robot", who="test")
    statuses = [program.ask("GET", "/domains").status_code for _ in range(WRONG_LIMITS.network + 2)]
    assert statuses == [401] * (WRONG_LIMITS.network + 1) + [429]


@pytest.mark.parametrize(
    ("scope", "reads", "writes", "logs_in"),
    [(Scope.READ, 200, 403, 403), (Scope.WRITE, 200, 409, 403), (Scope.LOGIN, 403, 403, 422)],
)
def test_a_token_is_good_for_its_scope_alone(
    site: FastAPI, store: Database, scope: Scope, reads: int, writes: int, logs_in: int
) -> None:
    program = Program(site, make_token(store, scopes=[scope]))
    assert program.ask("GET", "/domains").status_code == reads
    add = {"name": "old.test", "source": "imaps://imap.old.test"}
    if writes == 409:
        assert program.ask("POST", "/domains", json=add).status_code == 201
    answer = program.ask("POST", "/domains", json=add)
    assert answer.status_code == writes
    if writes == 403:
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert program.ask("POST", "/login", json={}).status_code == logs_in


def test_one_token_asks_so_often_and_no_oftener() -> None:
    clock = Clock()
    pace = Pace(clock.seconds, at_once=3, per_second=2.0)
    assert [pace.wait(1) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert pace.wait(2) == 0.0
    clock.advance(0.5)
    assert [pace.wait(1) for _ in range(2)] == [0.0, 0.5]
    clock.advance(1000)
    assert [pace.wait(1) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_token_beyond_its_pace_is_told_when_to_ask_again(
    site: FastAPI, store: Database, ticks: Clock
) -> None:
    program = Program(site, make_token(store))
    door = next(route.app for route in site.routes if getattr(route, "path", "") == API).state.door
    door._pace = Pace(ticks.seconds, at_once=2)
    assert [program.ask("GET", "/domains").status_code for _ in range(3)] == [200, 200, 429]
    answer = program.ask("GET", "/domains")
    assert problem_of(answer)["status"] == 429
    assert answer.headers["retry-after"] == "1"
    ticks.advance(1 / PER_SECOND)
    assert program.ask("GET", "/domains").status_code == 200
    assert AT_ONCE > 2


@pytest.mark.hazard("T31")
def test_a_wrong_token_stands_in_no_answer(site: FastAPI) -> None:
    typed = canary().replace(" ", "-").replace("é", "e")
    answer = Program(site, typed).ask("GET", "/domains")
    assert answer.status_code == 401
    assert not list(search(answer.content + str(answer.headers).encode(), [typed]))


def test_the_description_is_open_and_names_no_other_host(site: FastAPI) -> None:
    answer = Program(site, None).ask("GET", "/openapi.json")
    assert answer.status_code == 200
    assert "http" not in answer.text.replace("HTTP", "").replace("httpBearer", "").replace(
        '"type":"http"', ""
    )
    for path in ("/docs", "/redoc"):
        assert Program(site, None).ask("GET", path).status_code == 404
