"""What the page tells of an account in each phase and for each cause."""

from __future__ import annotations

from typing import Any

import pytest

from mailferry.gate.place import find_place
from mailferry.model.account import Event, State
from mailferry.model.causes import CAUSES, Cause
from mailferry.providers.loader import load_profiles
from mailferry.providers.sentences import SENTENCES
from mailferry.store.database import Database
from mailferry.web.user_view import View, view_of
from tests.web.accounts import USER, add_account, add_domain, add_failed

PROFILES = load_profiles()
NOW = 1_700_000_000.0


def view(store: Database) -> View:
    def look(conn: Any) -> View:
        place = find_place(conn, USER)
        assert place is not None
        return view_of(place, PROFILES, now=NOW)

    return store.read_now("view", look)


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_has_its_sentence_and_who_acts(store: Database, cause: Cause) -> None:
    add_domain(store, provider="netease_qiye")
    add_failed(store, cause=cause, text="canary words of the server")
    seen = view(store)
    assert seen.remedy is not None
    words = SENTENCES[cause].user
    assert seen.remedy.advice == {"en": words.en, "zh": words.zh}
    assert seen.remedy.actor is CAUSES[cause].actor
    assert seen.may_try_again
    assert "canary" not in repr(seen)


def test_a_cause_of_before_is_not_told_once_the_move_goes_on(store: Database) -> None:
    add_domain(store)
    add_account(store, USER, Event.SOURCE_ACCEPTED, cause=Cause.SERVER_DOWN)
    assert view(store).remedy is None


def test_a_provider_that_nobody_knows_any_more_has_no_steps(store: Database) -> None:
    add_domain(store, provider="gone")
    add_failed(store, cause=Cause.APP_PASSWORD_REQUIRED)
    remedy = view(store).remedy
    assert remedy is not None
    assert (remedy.steps, remedy.provider) == ((), None)


def test_a_copy_that_goes_on_tells_how_long_it_takes(store: Database) -> None:
    add_domain(store)
    add_account(store, USER, Event.SOURCE_ACCEPTED, total=100, copied=50, started_at=NOW - 3600)
    seen = view(store)
    assert (seen.left_seconds, seen.quarter, seen.looks_again) == (3600, 2, 3)


@pytest.mark.parametrize(
    ("events", "state", "start", "again"),
    [
        ((), State.NOT_STARTED, True, None),
        ((Event.TARGET_ONLY,), State.NOT_MIGRATING, True, None),
        ((Event.SOURCE_ACCEPTED,), State.IN_PROGRESS, False, 3),
        ((Event.SOURCE_ACCEPTED, Event.GAVE_UP), State.FAILED, False, 30),
        ((Event.SOURCE_ACCEPTED_AT_ONCE, Event.GAVE_UP), State.FAILED, False, 30),
        ((Event.SOURCE_ACCEPTED_AT_ONCE, Event.HISTORY_COMPLETE), State.DONE, False, None),
    ],
)
def test_what_may_be_done_follows_from_the_phase(
    store: Database, events: tuple[Event, ...], state: State, start: bool, again: int | None
) -> None:
    add_domain(store)
    add_account(store, USER, *events)
    seen = view(store)
    assert (seen.state, seen.may_start, seen.looks_again) == (state, start, again)
