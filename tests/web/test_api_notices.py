"""Notices over the API: pages, filters, and nothing of somebody else's domain."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from sqlalchemy import Connection

from mailferry.roster.tokens import Scope
from mailferry.store import notices
from mailferry.store.database import Database
from mailferry.store.notices import Audience
from mailferry.web.api.notices import Notice, NoticeList, Reached
from tests.web.accounts import USER, add_account, add_domain
from tests.web.program import Program, make_token, problem_of


@pytest.fixture
def robot(site: FastAPI, store: Database) -> Program:
    """A program that may look, at a store with five notices of two domains."""
    for name in ("old.test", "other.test"):
        add_domain(store, name)
    account = add_account(store)

    def fill(conn: Connection) -> None:
        for number in range(4):
            name = "other.test" if number % 2 else "old.test"
            notices.want(conn, Audience.MAIL, "window_ends", f"{name}/{number}", domain=name, due_at=1.0)
        notices.want(
            conn, Audience.USER, "done", str(account.id), domain="old.test", due_at=1.0, account_id=account.id
        )

    store.run_now("notices", fill)
    return Program(site, make_token(store, scopes=[Scope.READ]))


def test_they_come_in_pages_newest_first(robot: Program) -> None:
    seen, query = [], {"limit": 2}
    while True:
        page = robot.get("/notices", **query)
        NoticeList.model_validate(page)
        assert all(set(one) == set(Notice.model_fields) for one in page["notices"])
        seen += [one["id"] for one in page["notices"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5


def test_they_are_found_by_filters(robot: Program) -> None:
    assert [one["address"] for one in robot.get("/notices", address="Li@Old.test")["notices"]] == [USER]
    assert len(robot.get("/notices", domain="other.test")["notices"]) == 2
    assert len(robot.get("/notices", to="mail", state="due")["notices"]) == 4
    assert robot.get("/notices", state="sent") == {"notices": [], "next": None}
    wrong = {"state": "lost", "to": "undecided", "address": "no address", "cursor": "W10"}
    for name, word in wrong.items():
        assert problem_of(robot.ask("GET", "/notices", params={name: word}))["status"] == 422, name
    for name, word in {"domain": "lost.test", "address": "nobody@old.test"}.items():
        assert problem_of(robot.ask("GET", "/notices", params={name: word}))["status"] == 404, name


@pytest.mark.hazard("T38")
def test_a_token_of_one_domain_sees_its_notices_alone(robot: Program, site: FastAPI, store: Database) -> None:
    narrow = Program(site, make_token(store, "narrow", [Scope.READ], "other.test"))
    assert {one["domain"] for one in narrow.get("/notices")["notices"]} == {"other.test"}
    assert narrow.ask("GET", "/notices", params={"address": USER}).status_code == 404
    assert narrow.ask("GET", "/notices", params={"domain": "old.test"}).status_code == 404


def test_the_ways_are_those_of_the_store() -> None:
    assert {one.value for one in Reached} == {one.value for one in Audience} - {Audience.UNDECIDED.value}
