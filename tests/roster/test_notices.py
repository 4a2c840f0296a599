"""What was told and is to be told, newest first, with what came of it, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from mailferry.model.account import Event
from mailferry.model.causes import Cause
from mailferry.roster import notices as roster
from mailferry.roster.lookup import NoSuchAccount, NoSuchDomain
from mailferry.store import notices
from mailferry.store.database import Database
from mailferry.store.notices import Audience, Standing
from tests.roster.rows import with_domain
from tests.store.rows import apply, precopy

NOW = 1_900_000_000.0
LI, WANG = "li@a.test", "wang@b.test"


@pytest.fixture
def told(store: Database) -> Database:
    """A store in which a user was told, another is to be told, and one notice to administrators was dropped."""
    with_domain(store)
    with_domain(store, "b.test")
    li, wang = precopy(store, LI), precopy(store, WANG)
    apply(store, li, Event.GAVE_UP, cause=Cause.EXPIRED)

    def fill(conn: Connection) -> None:
        def want(audience: Audience, kind: str, subject: str, domain: str, **more: Any) -> None:
            notices.want(conn, audience, kind, subject, domain=domain, due_at=NOW, now=NOW, **more)

        def settle(audience: Audience, how: Any) -> None:
            for notice in notices.take(conn, [audience], limit=9, hold_seconds=60.0, now=NOW):
                assert how(conn, notice)

        want(Audience.USER, "done", str(li.id), "a.test", account_id=li.id)
        settle(Audience.USER, lambda conn, one: notices.sent(conn, one, now=NOW + 5))
        want(Audience.WEBHOOK, "must_act", "a.test/expired", "a.test")
        settle(Audience.WEBHOOK, lambda conn, one: notices.put_off(conn, one, due_at=None))
        want(Audience.USER, "failed", f"{wang.id}/bad_credentials", "b.test", account_id=wang.id)

    store.run_now("notices", fill)
    return store


def test_each_says_who_is_told_what_and_what_came_of_it(told: Database) -> None:
    due, dropped, sent = roster.listing(told)
    at = "2030-03-17T17:46:40Z"
    assert {key: due[key] for key in due if key != "id"} == {
        "domain": "b.test", "address": WANG, "to": "user", "kind": "failed", "cause": "bad_credentials",
        "state": "due", "made_at": at, "due_at": at, "sent_at": None, "tries": 0,
    }  # fmt: skip
    assert (dropped["to"], dropped["address"], dropped["cause"]) == ("webhook", None, "expired")
    assert (dropped["state"], dropped["due_at"], dropped["sent_at"], dropped["tries"]) == (
        "dropped",
        None,
        None,
        1,
    )
    assert (sent["address"], sent["kind"], sent["cause"], sent["state"]) == (LI, "done", None, "sent")
    assert sent["sent_at"] == "2030-03-17T17:46:45Z"


def test_one_that_was_sent_and_is_due_again_says_both(told: Database) -> None:
    def again(conn: Connection) -> None:
        more = {"domain": "a.test", "due_at": NOW, "now": NOW + 9, "again_after": 60.0}
        notices.want(conn, Audience.USER, "done", roster_subject, **more)

    sent = roster.listing(told, standing=Standing.SENT)[0]
    found = told.read_now("one", lambda conn: notices.of_domain(conn, "a.test"))
    roster_subject = next(one.subject for one in found if one.id == sent["id"])
    told.run_now("again", again)
    row = next(one for one in roster.listing(told) if one["id"] == sent["id"])
    assert (row["state"], row["sent_at"] < row["due_at"]) == ("due", True)


def test_they_are_found_by_domain_account_way_and_what_came_of_them(told: Database) -> None:
    def found(**only: Any) -> list[str]:
        return [one["kind"] for one in roster.listing(told, **only)]

    assert found() == ["failed", "must_act", "done"]
    assert found(domain="A.test") == ["must_act", "done"]
    assert found(address=WANG) == ["failed"]
    assert found(to=Audience.USER) == ["failed", "done"]
    assert [found(standing=one) for one in (Standing.DUE, Standing.SENT, Standing.DROPPED)] == [
        ["failed"],
        ["done"],
        ["must_act"],
    ]
    assert found(within=frozenset({"b.test"})) == ["failed"]
    assert found(within=frozenset()) == []
    ids = [one["id"] for one in roster.listing(told)]
    assert found(limit=2) == ["failed", "must_act"]
    assert found(before=ids[1], limit=2) == ["done"]
    with pytest.raises(NoSuchDomain):
        found(domain="lost.test")
    with pytest.raises(NoSuchAccount):
        found(address="nobody@a.test")


def test_an_event_of_which_no_notice_was_made_yet_is_none(told: Database) -> None:
    stored = told.read_now("all", lambda conn: notices.of_domain(conn, "a.test"))
    assert Audience.UNDECIDED in {one.audience for one in stored}
    assert {one["to"] for one in roster.listing(told)} == {"user", "webhook"}
