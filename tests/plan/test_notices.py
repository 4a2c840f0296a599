"""Which notice is due when, and what it says."""

from __future__ import annotations

import re

import pytest

from mailferry.model.account import TRANSITIONS, Event, Phase
from mailferry.model.causes import CAUSES, Actor, Cause
from mailferry.plan.alert_words import AlertFacts, alert_words
from mailferry.plan.notice_words import MoveFacts, letter
from mailferry.plan.notices import (
    DAY,
    TRIES,
    Alert,
    UserNotice,
    for_user,
    in_words,
    next_try,
    still_true,
    wanted_notices,
    window_stage,
)

ALL = frozenset(UserNotice)
SERVED_BY_SOURCE = {Phase.IDLE, Phase.PRECOPY, Phase.FREEZE, Phase.BLOCKED}
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize(("phase", "event"), sorted(TRANSITIONS))
def test_no_change_that_leaves_the_user_at_the_source_gives_a_notice_that_could_be_laid(
    phase: Phase, event: Event
) -> None:
    due = for_user(event, Cause.EXPIRED, ALL)
    after = TRANSITIONS[phase, event]
    if after in SERVED_BY_SOURCE and due is not None:
        assert not still_true(due.kind, after)
    for kind in UserNotice:
        for served_there in SERVED_BY_SOURCE | {Phase.LOCAL}:
            assert not still_true(kind, served_there)


@pytest.mark.parametrize(
    ("event", "after", "kind"),
    [
        (Event.SOURCE_ACCEPTED, Phase.PRECOPY, None),
        (Event.SOURCE_ACCEPTED_AT_ONCE, Phase.BACKFILL, UserNotice.STARTED),
        (Event.EARLY_SWITCH, Phase.BACKFILL, UserNotice.STARTED),
        (Event.TARGET_ACCEPTED_FOREIGN, Phase.BACKFILL, UserNotice.STARTED),
        (Event.OLD_PASSWORD_ENTERED, Phase.BACKFILL, UserNotice.STARTED),
        (Event.FLIPPED, Phase.SWITCHED, UserNotice.DONE),
        (Event.HISTORY_COMPLETE, Phase.SWITCHED, UserNotice.DONE),
        (Event.GAVE_UP, Phase.STALLED, UserNotice.FAILED),
        (Event.RETRIED, Phase.BACKFILL, None),
        (Event.WINDOW_OVER, Phase.CLOSED, None),
    ],
)
def test_each_change_and_its_notice(event: Event, after: Phase, kind: UserNotice | None) -> None:
    due = for_user(event, Cause.EXPIRED, ALL)
    assert (due.kind if due else None) == kind
    assert due is None or still_true(due.kind, after)
    assert for_user(event, Cause.EXPIRED, ALL - {kind}) is None


def test_a_user_hears_of_no_failure_that_mends_by_itself() -> None:
    for cause, facts in CAUSES.items():
        told = for_user(Event.GAVE_UP, cause, ALL) is not None
        assert told is (facts.actor is not Actor.NOBODY)
    assert for_user(Event.GAVE_UP, None, ALL) is None


def test_started_is_no_longer_told_to_who_is_done() -> None:
    assert not still_true(UserNotice.STARTED, Phase.SWITCHED)
    assert not still_true(UserNotice.FAILED, Phase.BACKFILL)
    assert still_true(UserNotice.DONE, Phase.CLOSED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("done", "done"),
        ("failed,started", "started,failed"),
        ("done,nonsense", "done"),
        ("none", ""),
    ],
)
def test_the_words_of_a_domain(text: str, words: str) -> None:
    assert in_words(wanted_notices(text)) == words


def test_a_window_has_two_stages() -> None:
    stages = [window_stage(days * DAY, 0.0) for days in (30, 7.01, 7, 1.01, 1, 0.01, 0, -1)]
    assert stages == [None, None, 7, 7, 1, 1, None, None]


def test_waits_grow_to_an_hour_and_end_after_half_a_day() -> None:
    waits = [next_try(tries) for tries in range(1, TRIES + 1)]
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] is None
    told = [wait for wait in waits if wait is not None]
    assert max(told) == 3600
    assert sum(told) > 12 * 3600


@pytest.mark.parametrize("kind", UserNotice)
def test_a_letter_says_the_same_in_both_languages_and_both_forms(kind: UserNotice) -> None:
    facts = MoveFacts("li@old.test", copied=7, skipped=2, window_ends="2026-12-01", cause=Cause.EXPIRED)
    en, zh, both = (letter(kind, facts, language) for language in ("en", "zh", "both"))
    assert en.text.isascii()
    assert en.html.isascii()
    for part in (zh.subject, zh.text, zh.html):
        assert HAN.search(part)
    assert both.subject == f"{en.subject} / {zh.subject}"
    for one in (en, zh):
        assert one.text in both.text
        for line in one.text.splitlines():
            assert line.removeprefix("- ") in both.html
    assert 'lang="zh-CN"' in zh.html
    assert 'lang="zh-CN"' not in en.html


def test_a_letter_tells_what_is_so() -> None:
    plain = letter(UserNotice.DONE, MoveFacts("li@old.test", copied=7), "both").text
    assert "7" in plain
    assert "password is the same" in plain
    assert "密码与原来相同" in plain
    assert "could not be brought" not in plain
    told = letter(
        UserNotice.DONE,
        MoveFacts("li@old.test", skipped=2, window_ends="2026-12-01", same_password=False),
        "en",
    ).text
    assert "2 messages could not be brought over" in told
    assert "2026-12-01" in told
    assert "password is the same" not in told


@pytest.mark.hazard("T39")
def test_what_others_wrote_is_no_html() -> None:
    html = letter(UserNotice.DONE, MoveFacts('<img src=x>&"@old.test'), "both").html
    assert "<img" not in html
    assert "&lt;img" in html


@pytest.mark.parametrize("kind", Alert)
def test_an_alert_has_words_in_both_languages_and_the_command_that_helps(kind: Alert) -> None:
    facts = AlertFacts(
        "old.test", Cause.EXPIRED, 25, ["a@old.test"], days=7, window_ends="2026-12-01", states={"done": 3}
    )
    words = alert_words(kind, facts)
    assert words.subject["en"].isascii()
    assert words.text["en"].isascii()
    for part in (words.subject["zh"], words.text["zh"]):
        assert HAN.search(part)
    for language in ("en", "zh"):
        assert "old.test" in words.subject[language]
        assert "mailferry " in words.text[language]


def test_an_alert_names_a_few_accounts_and_counts_the_rest() -> None:
    words = alert_words(
        Alert.MUST_ACT, AlertFacts("old.test", Cause.EXPIRED, 25, ["a@old.test", "b@old.test"])
    )
    assert "a@old.test" in words.text["en"]
    assert "and 23 more" in words.text["en"]
    assert "另外 23 个" in words.text["zh"]
