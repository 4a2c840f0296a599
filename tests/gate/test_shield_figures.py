"""The shield's figures: thousands of guesses, from one address and from hundreds, and who still gets in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred

from mailferry.app.gate_building import make_penalty
from mailferry.lab.premises import LabAccount
from mailferry.model.causes import Cause
from mailferry.plan.routing import Outcome
from mailferry.wire.proxy_header import Endpoint
from tests.gate.conftest import MakeMove
from tests.gate.test_penalty import STRANGER, ask, asked, asking, first_login, spraying
from tests.kit.move import CLIENT, OLD, OTHER, USER, Move

pytestmark = [pytest.mark.deadline(30), pytest.mark.hazard("T29")]

AT_ONCE = 100
MINUTE = 60.0
SHARE, FOR_STRANGERS, WHOLE = 15, 45, 60
"""Of the sixty wrong passwords that a source may be asked in a minute."""

ONE = [Endpoint("198.51.100.7", 40000)]
MANY = [Endpoint(f"198.51.{n // 200}.{n % 200 + 1}", 40000) for n in range(250)] + [
    Endpoint(f"2001:db8:{n:x}::{n + 1:x}", 40000) for n in range(250)
]
A_NETWORK_OF_MANY = [Endpoint(f"2001:db8:77:1:{n:x}::1", 40000) for n in range(250)]
COLLEAGUES = [f"colleague{number}@old.test" for number in range(6)]


def employed() -> dict[str, LabAccount]:
    return {name: LabAccount(password=OLD) for name in COLLEAGUES}


async def guess(move: Move, wanted: Iterable[tuple[str, Endpoint]]) -> list[Outcome]:
    """One guess for each name and client, so many at once; tells what the shield said."""
    said: list[Outcome] = []

    async def one(number: int, name: str, client: Endpoint) -> None:
        said.append((await asking(move, b"guess %d" % number, name=name, client=client)).outcome)

    numbered: Iterator[tuple[int, tuple[str, Endpoint]]] = enumerate(wanted)
    while some := list(itertools.islice(numbered, AT_ONCE)):
        await move.done(
            defer.gatherResults([Deferred.fromCoroutine(one(number, *whom)) for number, whom in some])
        )
        await move.penalty.settled()
    return said


def at(name: str, clients: list[Endpoint], count: int) -> Iterator[tuple[str, Endpoint]]:
    return ((name, clients[number % len(clients)]) for number in range(count))


def over_accounts(clients: list[Endpoint], count: int) -> Iterator[tuple[str, Endpoint]]:
    return ((f"user{number}@old.test", clients[number % len(clients)]) for number in range(count))


async def is_let_in(move: Move, name: str, client: Endpoint) -> bool:
    judged = await ask(move, OLD, name=name, client=client)
    await move.penalty.settled()
    return judged.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("clients", "count"),
    [
        pytest.param(ONE, 120, id="one address"),
        pytest.param(MANY, 120, id="500 addresses"),
        pytest.param(ONE, 10_000, id="10000 of one address", marks=pytest.mark.slow),
        pytest.param(MANY, 10_000, id="10000 of 500 addresses", marks=pytest.mark.slow),
    ],
)
@pytest.mark.deadline(600)
@pytest.mark.timeout(900)
async def test_guesses_reach_the_source_five_times_and_the_owner_still_gets_in(
    begin: MakeMove, clients: list[Endpoint], count: int
) -> None:
    move = await begin()
    await first_login(move)
    before = asked(move)
    said = await guess(move, at(USER, clients, count))
    assert asked(move) == before + 5
    assert (said.count(Outcome.REFUSED), said.count(Outcome.UNAVAILABLE)) == (5, count - 5)
    for client in (CLIENT, clients[0], ONE[0]):
        assert await is_let_in(move, USER, client)


async def test_a_spray_from_one_address_leaves_the_others_their_first_logins(begin: MakeMove) -> None:
    move = await begin(source_accounts=employed())
    said = await guess(move, over_accounts(ONE, 40))
    assert (asked(move), said.count(Outcome.REFUSED)) == (SHARE, SHARE)
    for number, name in enumerate(COLLEAGUES):
        assert await is_let_in(move, name, MANY[number])
    assert not await is_let_in(move, USER, ONE[0])


async def test_all_addresses_of_an_ipv6_network_have_one_share(begin: MakeMove) -> None:
    move = await begin()
    await guess(move, over_accounts(A_NETWORK_OF_MANY, 40))
    assert asked(move) == SHARE


async def test_a_spray_from_everywhere_leaves_a_reserve_to_networks_that_logged_in(begin: MakeMove) -> None:
    move = await begin(source_accounts=employed())
    first, *others = COLLEAGUES
    office, home = Endpoint("203.0.113.5", 40000), Endpoint("203.0.113.99", 40000)
    await move.logout(await move.admitted(name=first))  # from CLIENT's network
    assert await is_let_in(move, others[0], office)
    before = asked(move)
    await guess(move, over_accounts(MANY, 120))
    assert asked(move) == before + FOR_STRANGERS
    assert await is_let_in(move, others[1], CLIENT)
    assert await is_let_in(move, first, home), "who logged in before needs nobody's share"
    assert not await is_let_in(move, others[2], home)
    await move.time.advance(MINUTE)
    assert await is_let_in(move, others[2], home)


async def test_a_network_has_one_share_at_all_processes_together(begin: MakeMove) -> None:
    move = await begin(source_accounts=employed())
    others = [make_penalty(move.parts, move.proxy.gate.judges) for _ in range(2)]
    for number in range(12):
        shields = [(others[n % 2], f"user{number}.{n}@old.test") for n in range(2)]
        for shield, name in shields:
            await move.done(spraying(move, [b"spring"], shield=shield, name=name, client=ONE[0]))
            await shield.settled()
    assert asked(move) == SHARE
    assert await is_let_in(move, "colleague1@old.test", MANY[1])


async def test_a_domain_that_is_shut_out_is_noticed_by_all_processes_together(begin: MakeMove) -> None:
    move = await begin(source_accounts=employed())
    for name in COLLEAGUES:
        await move.logout(await move.admitted(name=name))
    await move.parts.keeper.settled()
    await move.penalty.settled()
    shields = [make_penalty(move.parts, move.proxy.gate.judges) for _ in range(3)]
    for account in move.source.premises.accounts.values():
        object.__setattr__(account, "password", OTHER)
    causes = [(await ask(move, OLD, name=COLLEAGUES[n], shield=shields[n % 3])).cause for n in range(6)]
    assert causes == [Cause.BAD_CREDENTIALS] * 4 + [Cause.SOURCE_REFUSES_DOMAIN] * 2
    again = await ask(move, OLD, name=COLLEAGUES[0], shield=shields[2])
    assert (again.outcome, again.cause) == (Outcome.UNAVAILABLE, Cause.SOURCE_REFUSES_DOMAIN)
    stranger = await ask(move, b"unseen", name=STRANGER, shield=shields[1])
    assert stranger.cause is Cause.SOURCE_REFUSES_DOMAIN
    for account in move.source.premises.accounts.values():
        object.__setattr__(account, "password", OLD)
    assert (await ask(move, OLD, name="colleague9@old.test")).cause is Cause.SOURCE_REFUSES_DOMAIN
    assert await is_let_in(move, COLLEAGUES[5], CLIENT) is False, "its refusal is remembered"
    move.source.premises.accounts["new@old.test"] = LabAccount(password=OLD)
    assert (await ask(move, OLD, name="new@old.test", shield=shields[0])).outcome is Outcome.ACCEPTED
    await shields[0].settled()
    for name in COLLEAGUES:
        assert await is_let_in(move, name, CLIENT), name
