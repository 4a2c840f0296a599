"""How often sign-ins may be tried."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from mailferry.plan.client_network import network_of
from mailferry.web.throttle import SPAN_SECONDS, Attempt, Limits, Throttle, TooMany

LIMITS = Limits(name_and_network=2, name=4, network=6)


def tries(throttle: Throttle, name: str, host: str, count: int) -> int:
    """Return how many of so many attempts are let through."""
    return sum(isinstance(throttle.enter(name, host), Attempt) for _ in range(count))


def test_a_name_from_one_network_has_few_tries_and_gets_new_ones_with_time() -> None:
    clock = Clock()
    throttle = Throttle(clock.seconds, LIMITS)
    assert tries(throttle, "anna", "192.0.2.1", 5) == 2
    refused = throttle.enter("anna", "192.0.2.1")
    assert refused == TooMany(SPAN_SECONDS)
    clock.advance(SPAN_SECONDS)
    assert tries(throttle, "anna", "192.0.2.1", 5) == 2


def test_a_stranger_does_not_lock_out_who_signs_in_from_elsewhere() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    tries(throttle, "anna", "192.0.2.1", 100)
    assert tries(throttle, "anna", "198.51.100.7", 1) == 1


def test_a_name_tried_from_many_networks_is_bounded() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    assert sum(tries(throttle, "anna", f"192.0.2.{n}", 1) for n in range(20)) == 4


def test_a_network_that_tries_many_names_is_bounded() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    assert sum(tries(throttle, f"name{n}", "192.0.2.1", 1) for n in range(20)) == 6


def test_a_right_password_does_not_count() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    for _ in range(20):
        attempt = throttle.enter("anna", "192.0.2.1")
        assert isinstance(attempt, Attempt)
        throttle.was_right(attempt)
        throttle.was_right(attempt)


def test_an_attempt_that_nobody_judged_counts_for_the_network_only() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    for _ in range(6):
        attempt = throttle.enter("anna", "192.0.2.1")
        assert isinstance(attempt, Attempt)
        throttle.was_not_judged(attempt)
    assert isinstance(throttle.enter("anna", "192.0.2.1"), TooMany)
    assert tries(throttle, "anna", "198.51.100.7", 9) == 2


def test_attempts_count_before_they_are_judged() -> None:
    throttle = Throttle(Clock().seconds, LIMITS)
    under_way = [throttle.enter("anna", "192.0.2.1") for _ in range(3)]
    assert isinstance(under_way[2], TooMany)


def test_a_flood_of_names_keeps_the_memory_bounded() -> None:
    throttle = Throttle(Clock().seconds, LIMITS, most_keys=30)
    for n in range(1000):
        throttle.enter(f"name{n}", f"2001:db8:{n:x}::1")
    assert len(throttle._tried) <= 30


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_client_is_an_ipv4_address_or_a_64_of_ipv6(host: str, network: str) -> None:
    assert network_of(host) == network
