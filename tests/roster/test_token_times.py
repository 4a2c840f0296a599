"""How long a token takes to be refused says nothing of how much of it was right."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

from mailferry.model.access import Secret
from mailferry.roster import tokens
from mailferry.roster.tokens import Scope
from mailferry.store.database import Database
from tests.roster.rows import WHO

SAMPLES = 10_000
FARTHEST_APART = 0.1
"""Of the shortest median. What a table looked through by its first octets, or a slow hash for the right
beginning, would take is many times as much."""


def changed(text: str, place: int) -> Secret:
    other = "A" if text[place] != "A" else "B"
    return Secret((text[:place] + other + text[place + 1 :]).encode())


def medians(ask: Callable[[Secret], object], guesses: list[Secret], samples: int) -> list[float]:
    """Return how long `ask` takes with each guess; one after the other, so that all meet the same machine."""
    took: list[list[float]] = [[] for _ in guesses]
    for number in range(samples):
        place = number % len(guesses)
        began = time.perf_counter()
        ask(guesses[place])
        took[place].append(time.perf_counter() - began)
    return [statistics.median(times) for times in took]


def far_apart(found: list[float]) -> bool:
    return max(found) - min(found) > FARTHEST_APART * min(found)


@pytest.mark.hazard("T35")
@pytest.mark.deadline(60)
@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
def test_ten_thousand_wrong_tokens_take_as_long_whatever_of_them_is_right(store: Database) -> None:
    text = tokens.add(store, "robot", (Scope.READ,), who=WHO).reveal().decode()
    begin = len("mailferry_")
    guesses = [changed(text, begin), changed(text, begin + 21), changed(text, len(text) - 1)]
    assert tokens.bearer(store, Secret(text.encode())) is not None

    def ask(guess: Secret) -> None:
        assert tokens.bearer(store, guess) is None

    assert not far_apart(medians(ask, guesses, SAMPLES))


def test_an_answer_that_stops_at_the_first_wrong_octet_would_be_seen() -> None:
    def ask(guess: Secret) -> None:
        for given, right in zip(guess.reveal(), b"mailferry_right", strict=True):
            if given != right:
                return

    found = medians(ask, [changed("mailferry_right", place) for place in (0, 14)], 1_000)
    assert far_apart(found)
