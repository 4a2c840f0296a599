"""Passwords that are known again without opening their seal."""

from __future__ import annotations

import pytest

from mailferry.model.access import Secret
from mailferry.passwords.recognised import Recognised
from mailferry.passwords.sealing import Purpose


@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_password_that_was_sealed_is_known_again_with_what_it_is_for(purpose: Purpose) -> None:
    known = Recognised()
    assert known.purpose(1, b"seal", Secret(b"one")) is None
    known.note(1, b"seal", Secret(b"one"), purpose)
    assert known.purpose(1, b"seal", Secret(b"one")) is purpose


@pytest.mark.hazard("T23")
@pytest.mark.parametrize(
    ("account", "sealed", "typed"),
    [(2, b"seal", b"one"), (1, b"another seal", b"one"), (1, None, b"one"), (1, b"seal", b"two")],
)
def test_another_account_seal_or_password_is_not(account: int, sealed: bytes | None, typed: bytes) -> None:
    known = Recognised()
    known.note(1, b"seal", Secret(b"one"), Purpose.PUSH)
    assert known.purpose(account, sealed, Secret(typed)) is None


def test_of_many_accounts_those_that_logged_in_longest_ago_are_forgotten() -> None:
    known = Recognised(most=2)
    for account in (1, 2, 1, 3):
        known.note(account, b"seal", Secret(b"one"), Purpose.PUSH)
    held = [account for account in (1, 2, 3) if known.purpose(account, b"seal", Secret(b"one"))]
    assert held == [1, 3]


def test_no_password_stands_in_what_is_kept() -> None:
    known = Recognised()
    known.note(1, b"seal", Secret(b"a very secret password"), Purpose.PUSH)
    assert all(b"very secret" not in one.digest + one.sealed for one in known._known.values())
