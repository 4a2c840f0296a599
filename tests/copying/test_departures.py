"""Which new messages are worth reading, because they may be ones that left another mailbox."""

from __future__ import annotations

import pytest

from mailferry.copying.moves import Departure, Departures
from mailferry.model.mail import MessageFacts
from mailferry.plan.arrival_date import instant
from mailferry.store.ledger_blocks import LedgerEntry

MORNING, EVENING = b"17-Jul-2024 08:00:00 +0000", b"17-Jul-2024 20:00:00 +0000"


def facts(size: int | None = 700, date: bytes = MORNING) -> MessageFacts:
    return MessageFacts(9, frozenset(), date, size)


def departure(octets: int | None = 700, date: bytes | None = MORNING) -> Departure:
    entry = LedgerEntry(1, 101, b"d" * 16, b"\0" * 4)
    return Departure(1, b"INBOX", 7, entry, octets, None if date is None else instant(date))


@pytest.mark.parametrize(
    ("left", "new", "may"),
    [
        (departure(), facts(), True),
        (departure(), facts(size=701), False),
        (departure(), facts(date=EVENING), False),
        (departure(), facts(date=b"17-Jul-2024 16:00:00 +0800"), True),
        (departure(octets=None), facts(size=701), True),
        (departure(octets=None), facts(date=EVENING), False),
        (departure(date=None), facts(date=EVENING), True),
        (departure(date=None), facts(size=701), False),
        (departure(), facts(size=None), True),
        (departure(), facts(size=None, date=EVENING), False),
    ],
    ids=str.split(
        "same other-size other-date other-zone size-not-told size-not-told-other-date "
        "date-not-told date-not-told-other-size unknown-size unknown-size-other-date"
    ),
)
def test_a_new_message_is_read_when_octets_and_arrival_allow_that_it_left_elsewhere(
    left: Departure, new: MessageFacts, may: bool
) -> None:
    departures = Departures()
    departures.add([left])
    assert departures.may_hold(new) is may
    taken = departures.take(b"d" * 16, instant(new.internal_date))
    assert taken is None or new.size not in {None, left.octets} or may, "what may be taken is looked at"


def test_what_was_taken_is_not_expected_any_more() -> None:
    departures = Departures()
    departures.arrived([facts()])
    departures.add([departure()])
    assert departures.expected
    assert departures.take(b"d" * 16, instant(MORNING)) is not None
    assert not departures.expected
    assert not departures
