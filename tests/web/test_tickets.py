"""Signed tickets: whose, as what, until when, and that nobody else makes one."""

from __future__ import annotations

import pytest

from mailferry.web.tickets import Kind, Tickets
from tests.web.conftest import WallClock

KEY = b"k" * 32


def test_a_ticket_says_who_signed_in_until_it_expires(wall: WallClock) -> None:
    tickets = Tickets(KEY, wall)
    text = tickets.give(Kind.ADMIN, "安娜", seconds=60, mark="m")
    ticket = tickets.read(Kind.ADMIN, text)
    assert ticket is not None
    assert (ticket.name, ticket.mark) == ("安娜", "m")
    wall.at += 60
    assert tickets.read(Kind.ADMIN, text) is None


def test_a_ticket_survives_a_restart_of_the_process(wall: WallClock) -> None:
    text = Tickets(KEY, wall).give(Kind.USER, "li@old.test", seconds=60)
    assert Tickets(KEY, wall).read(Kind.USER, text) is not None


def test_each_sign_in_gets_another_ticket(wall: WallClock) -> None:
    tickets = Tickets(KEY, wall)
    assert tickets.give(Kind.USER, "a", seconds=60) != tickets.give(Kind.USER, "a", seconds=60)


def test_a_users_ticket_is_no_administrators(wall: WallClock) -> None:
    tickets = Tickets(KEY, wall)
    assert tickets.read(Kind.ADMIN, tickets.give(Kind.USER, "anna", seconds=60)) is None


def test_an_ended_ticket_is_good_no_longer_and_others_are(wall: WallClock) -> None:
    tickets = Tickets(KEY, wall)
    first, second = (tickets.give(Kind.USER, "a", seconds=60) for _ in range(2))
    ticket = tickets.read(Kind.USER, first)
    assert ticket is not None
    tickets.end(ticket)
    assert tickets.read(Kind.USER, first) is None
    assert tickets.read(Kind.USER, second) is not None


@pytest.mark.hazard("T38")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: "A" + text,
        lambda text: text.split(".")[0],
        lambda text: text.split(".")[0] + ".",
        lambda _: "",
        lambda _: ".",
        lambda _: "é.ü",
        lambda text: text * 100,
    ],
)
def test_a_ticket_that_was_altered_is_none(wall: WallClock, spoil) -> None:
    tickets = Tickets(KEY, wall)
    assert tickets.read(Kind.USER, spoil(tickets.give(Kind.USER, "a", seconds=60))) is None


def test_a_ticket_under_another_key_is_none(wall: WallClock) -> None:
    text = Tickets(b"x" * 32, wall).give(Kind.USER, "a", seconds=60)
    assert Tickets(KEY, wall).read(Kind.USER, text) is None
