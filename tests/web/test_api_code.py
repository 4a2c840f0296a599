"""The API as administrators' programs use it: domains as code, many accounts switched, processes that are gone."""

from __future__ import annotations

import time

import pytest
from fastapi import FastAPI

from mailferry.model.account import Phase
from mailferry.roster import domains, overview, switching
from mailferry.store.database import Database
from tests.store.rows import node
from tests.web.accounts import DOMAIN, add_five_with_passwords, get
from tests.web.program import Program, make_token, problem_of


@pytest.fixture
def robot(site: FastAPI, store: Database) -> Program:
    return Program(site, make_token(store))


def test_domains_as_code_are_made_changed_and_left_alone(robot: Program, store: Database) -> None:
    robot.post("/domains", {"name": DOMAIN, "source": "imaps://imap.old.test"})
    wanted = [
        {"name": DOMAIN, "source": "imaps://imap.old.test", "language": "zh"},
        {"name": "new.test", "source": "imaps://imap.new.test"},
    ]
    told = robot.post("/domains/apply", {"domains": wanted})["domains"]
    assert told == [
        {"name": DOMAIN, "what": "changed", "keys": ["language"]},
        {"name": "new.test", "what": "added", "keys": []},
    ]
    assert overview.audit_log(store, limit=1)[0]["who"] == "api:robot"
    again = robot.post("/domains/apply", {"domains": wanted[:1]})["domains"]
    assert again == [{"name": DOMAIN, "what": "unchanged", "keys": []}]
    assert domains.names(store) == ["new.test", DOMAIN]


def test_domains_as_code_are_taken_all_or_none_and_every_fault_is_named(
    robot: Program, store: Database
) -> None:
    good = {"name": "good.test", "source": "imaps://imap.good.test"}
    bad = {"name": "bad.test", "source": "imaps://user:CANARY@bad.test"}
    answer = robot.ask(
        "POST", "/domains/apply", json={"domains": [good, bad, {**good, "provider": "nobody"}]}
    )
    said = problem_of(answer)
    assert said["status"] == 422
    assert [one["where"] for one in said["errors"]] == ["body.domains.1.source", "body.domains.2.provider"]
    assert "CANARY" not in answer.text
    twice = problem_of(robot.ask("POST", "/domains/apply", json={"domains": [good, good]}))
    assert [one["message"] for one in twice["errors"]] == ["a domain is named twice"]
    assert domains.names(store) == []


def test_many_accounts_are_switched_a_request_at_a_time(
    robot: Program, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "AT_ONCE", 2)
    monkeypatch.setattr(switching, "REQUEST_SECONDS", 0.0)
    everybody = add_five_with_passwords(store)
    moved: list[str] = []
    query: dict[str, str] = {}
    while True:
        found = robot.post(f"/domains/{DOMAIN}/switch", params=query)
        assert len(found["moved"]) <= 2
        moved += found["moved"]
        if found["next"] is None:
            break
        query = {"cursor": found["next"]}
    assert sorted(moved) == everybody
    assert {get(store, address).phase for address in everybody} == {Phase.BACKFILL}
    answer = robot.ask("POST", f"/domains/{DOMAIN}/switch", params={"cursor": "x"})
    assert problem_of(answer)["status"] == 422


def test_a_silent_process_is_declared_dead_and_one_that_lives_is_not(robot: Program, store: Database) -> None:
    gone, alive = node(store, now=0.0), node(store, pid=12, now=time.time())
    refused = problem_of(robot.ask("POST", f"/processes/{alive}/declare-dead"))
    assert (refused["status"], f"process {alive} is alive" in refused["detail"]) == (409, True)
    left = robot.post(f"/processes/{gone}/declare-dead")["processes"]
    assert [one["id"] for one in left] == [alive]
    assert overview.audit_log(store, limit=1)[0]["what"] == "process.declare-dead"
