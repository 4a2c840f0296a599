"""The pace at which sources are copied from: limits, hours, shares."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailferry.model.causes import CAUSES, Cause
from mailferry.model.hours import Hours, parse_hours
from mailferry.plan.pace import HOST_CAUSES, TROUBLED_FROM, Bucket, PaceLimits, host_pause, room_at_host
from mailferry.plan.pace_shares import Waiting, shares


def test_the_stricter_limit_of_each_kind_counts() -> None:
    mine = PaceLimits(host_connections=10, bytes_per_day=5, hours=Hours(0, 60))
    theirs = PaceLimits(host_connections=4, commands_per_minute=7, hours=Hours(60, 120))
    assert mine.stricter(theirs) == PaceLimits(4, 5, None, 7, None, Hours(0, 60))
    assert PaceLimits().stricter(theirs) == theirs
    assert (PaceLimits().counts_octets, PaceLimits().counts_commands) == (False, False)
    assert PaceLimits(host_bytes_per_day=1).counts_octets
    assert PaceLimits(host_commands_per_minute=1).counts_commands


@pytest.mark.parametrize(
    ("span", "minute", "seconds"),
    [
        ("22:00-06:00", 22 * 60, 0.0),
        ("22:00-06:00", 3 * 60, 0.0),
        ("22:00-06:00", 6 * 60, 16 * 3600.0),
        ("22:00-06:00", 21 * 60 + 59.5, 30.0),
        ("9:30 - 17:00", 9 * 60 + 30, 0.0),
        ("09:30-17:00", 17 * 60, 16.5 * 3600),
        ("09:30-17:00", 0, 9.5 * 3600),
    ],
)
def test_copies_wait_for_their_hours(span: str, minute: float, seconds: float) -> None:
    assert parse_hours(span).seconds_until(minute) == seconds


@pytest.mark.parametrize(
    "text", ["", "22-6", "24:00-06:00", "22:00", "22:60-06:00", "06:00-06:00", "nightly"]
)
def test_what_is_no_span_of_hours_is_told_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 22:00-06:00|leave it out"):
        parse_hours(text)


@given(st.integers(10, 6000), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_over_a_minute_no_more_commands_go_out_than_are_allowed(per_minute: int, pauses: list[float]) -> None:
    bucket, now = Bucket(per_minute, 0.0), 0.0
    sent: list[tuple[float, int]] = []
    for pause in pauses:
        now += pause
        leave = bucket.left(now)
        bucket.take(leave)
        sent.append((now, leave))
    for begin, _ in sent:
        minute = sum(number for at, number in sent if begin <= at < begin + 60.0)
        assert minute <= per_minute * 1.1 + 1


def test_a_bucket_says_when_the_next_command_may_go() -> None:
    bucket = Bucket(60, 0.0)
    bucket.take(bucket.left(0.0))
    assert bucket.left(0.0) == 0
    assert bucket.seconds_to_next() == pytest.approx(1.0)
    assert bucket.left(1.0) == 1
    bucket.set_rate(600, 1.0)
    bucket.take(1)
    assert bucket.left(1.1) == 1
    assert Bucket(0, 0.0).seconds_to_next() == 60.0


def test_a_host_is_left_alone_when_whoever_asks_fails_and_is_tried_again_within_a_minute() -> None:
    down = [host_pause(Cause.SERVER_DOWN, number, None) for number in range(1, 9)]
    assert down[: TROUBLED_FROM - 1] == [0.0] * (TROUBLED_FROM - 1)
    assert down[TROUBLED_FROM - 1 :] == [10.0, 20.0, 40.0, 40.0, 40.0, 40.0]
    assert host_pause(Cause.RATE_LIMITED, 3, 900.0) == 900.0
    assert host_pause(Cause.RATE_LIMITED, 30, 1e9) == 3600.0
    assert host_pause(Cause.BAD_CREDENTIALS, 99, 900.0) == 0.0
    assert all(CAUSES[cause].retries for cause in HOST_CAUSES)


def test_there_is_room_for_as_many_accounts_as_connections_and_for_one_at_a_troubled_host() -> None:
    assert room_at_host(None, 2, 0) is None
    assert [room_at_host(limit, 2, 0) for limit in (1, 2, 5, 8)] == [1, 1, 2, 4]
    assert room_at_host(None, 2, TROUBLED_FROM) == 1
    assert room_at_host(20, 2, TROUBLED_FROM - 1) == 10


def waiting(domain: str, host: str, accounts: int = 100, due_at: float = 0.0) -> Waiting:
    return Waiting(domain, host, accounts, due_at)


def given_turns(who: list[Waiting], free: int, **more) -> dict[str, int]:
    values = {"running_domains": {}, "running_hosts": {}, "rooms": {}} | more
    return dict(shares(who, free, **values))


def test_a_domain_of_ten_thousand_accounts_and_one_of_three_get_their_turns_side_by_side() -> None:
    who = [waiting("large.test", "a", 10_000, due_at=-1e6), waiting("small.test", "b", 3)]
    assert given_turns(who, 8) == {"large.test": 5, "small.test": 3}
    assert given_turns(who, 1) == {"large.test": 1}
    assert given_turns(who, 1, running_hosts={"a": 1}, running_domains={"large.test": 1}) == {"small.test": 1}


def test_hosts_share_first_and_then_their_domains() -> None:
    who = [waiting("a1.test", "a"), waiting("a2.test", "a"), waiting("b.test", "b")]
    assert given_turns(who, 8) == {"a1.test": 2, "a2.test": 2, "b.test": 4}


def test_a_host_gets_no_more_than_it_has_room_for() -> None:
    who = [waiting("a1.test", "a"), waiting("a2.test", "a"), waiting("b.test", "b")]
    assert given_turns(who, 8, rooms={"a": 1, "b": None}) == {"a1.test": 1, "b.test": 7}
    assert given_turns(who, 8, rooms={"a": 1, "b": 2}, running_hosts={"a": 1}) == {"b.test": 2}


def test_long_turns_of_one_host_do_not_shut_another_one_out() -> None:
    who = [waiting("slow.test", "a"), waiting("new.test", "b"), waiting("newer.test", "c", 1)]
    busy = {"running_hosts": {"a": 8}, "running_domains": {"slow.test": 8}}
    assert given_turns(who, 0, **busy) == {}
    assert given_turns(who, 0, beyond=8, **busy) == {"new.test": 1, "newer.test": 1}
    assert given_turns(who, 0, beyond=1, **busy) == {"new.test": 1}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.floats(0, 9)), max_size=6),
    st.integers(0, 12),
    st.integers(0, 4),
)
def test_no_turn_is_lost_and_none_given_that_nobody_waits_for(
    kinds: list[tuple[str, int, float]], free: int, beyond: int
) -> None:
    who = [Waiting(f"d{place}", host, number, due) for place, (host, number, due) in enumerate(kinds)]
    given_out = shares(who, free, running_domains={}, running_hosts={}, rooms={}, beyond=beyond)
    assert all(given_out[one.domain] <= one.accounts for one in who)
    assert sum(given_out.values()) >= min(free, sum(one.accounts for one in who))
    assert sum(given_out.values()) <= free + beyond
    assert Counter(given_out) == given_out
