"""What a source says of a domain's good passwords: in a row, and for the most part."""

from __future__ import annotations

from dataclasses import replace

from mailferry.model.causes import Cause
from mailferry.store import domain_refusals, wrong_tries
from mailferry.store.database import Database
from mailferry.store.domain_refusals import DomainRefusals
from mailferry.store.wrong_tries import Reservation, TryKeys, TryLimits

LI = TryKeys(b"a" * 16, b"0" * 16, "old.test", "li@a.test")
NONE = DomainRefusals()


def someone(number: int) -> TryKeys:
    key = number.to_bytes(16, "big")
    return replace(LI, account=key, password=key, address=f"{number}@a.test")


def lately(store: Database, domain: str = "a.test", now: float = 1.0) -> DomainRefusals:
    return store.read_now("lately", lambda c: domain_refusals.lately(c, domain, seconds=900.0, now=now))


def refuse(store: Database, number: int, cause: Cause = Cause.BAD_CREDENTIALS, now: float = 0.0) -> None:
    store.run_now("refuse", lambda c: domain_refusals.refused(c, someone(number), cause, now=now))


def accept(
    store: Database, number: int, *, known_good: bool = True, was_shut_out: bool = False, now: float = 0.0
) -> None:
    store.run_now(
        "accept",
        lambda c: domain_refusals.accepted(
            c, someone(number), known_good=known_good, was_shut_out=was_shut_out, now=now
        ),
    )


def remembered(store: Database, number: int) -> Reservation | None:
    limits = TryLimits(per_account=3, per_source_minute=5)
    return store.read_now("standing", lambda c: wrong_tries.standing(c, someone(number), limits, now=1.0))


def test_good_passwords_that_are_refused_are_counted_by_domain_until_one_is_taken(store: Database) -> None:
    for number in (1, 2, 3, 3):
        refuse(store, number)
    refuse(store, 4, Cause.AMBIGUOUS_REFUSAL)
    refuse(store, 5, Cause.UNKNOWN_USER)
    assert lately(store) == DomainRefusals(4, watched=True)
    assert (lately(store, "b.test"), lately(store, now=900.0)) == (NONE, NONE)
    accept(store, 6)
    assert lately(store) == DomainRefusals(0, watched=True)
    assert remembered(store, 1) == Reservation(refused=Cause.BAD_CREDENTIALS)


def test_what_was_said_while_the_domain_was_shut_out_is_remembered_against_nobody(store: Database) -> None:
    for number in (1, 2):
        refuse(store, number)
    accept(store, 3)
    refuse(store, 4)
    accept(store, 5, was_shut_out=True)
    assert [remembered(store, number) for number in (1, 2, 4)] == [None] * 3


def test_over_half_of_ten_accounts_within_ten_minutes_are_the_domain(store: Database) -> None:
    for number in range(5):
        refuse(store, 2 * number)
        accept(store, 2 * number + 1)
    assert lately(store).count == 0  # five of ten
    refuse(store, 10)
    assert lately(store).count == 6
    accept(store, 11, known_good=False)  # a first login: it says nothing of those that were good
    assert lately(store).count == 6
    accept(store, 12)
    assert lately(store).count == 0
    refuse(store, 13)
    assert (lately(store).count, lately(store, now=600.0).count) == (7, 1)


def test_over_half_are_the_domain_whatever_the_words(store: Database) -> None:
    for number in range(9):
        refuse(store, number, Cause.UNKNOWN_USER if number % 2 else Cause.PROTOCOL_DISABLED)
    assert lately(store).count == 0  # nine in a row that said nothing of their passwords
    accept(store, 9)
    assert lately(store).count == 9


def test_nine_accounts_are_too_few_to_say_what_the_most_of_them_say(store: Database) -> None:
    for number in range(8):
        refuse(store, number)
    accept(store, 8)
    assert lately(store).count == 0


def test_one_account_that_is_refused_again_and_again_is_one(store: Database) -> None:
    for _ in range(12):
        refuse(store, 1)
        accept(store, 2)
    assert lately(store).count == 0


def test_domains_are_named_that_are_shut_out_in_a_row_or_for_the_most_part(store: Database) -> None:
    def named(at_least: int = 5) -> dict[str, int]:
        return dict(
            store.read_now(
                "named", lambda c: domain_refusals.shut_out(c, seconds=900.0, at_least=at_least, now=1.0)
            )
        )

    for number in range(4):
        refuse(store, number)
    assert named() == {}
    assert named(at_least=4) == {"a.test": 4}
    for number in range(4, 8):
        accept(store, number + 100)
        refuse(store, number)
    assert named() == {"a.test": 8}
