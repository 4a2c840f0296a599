"""Before a login: how long a client has, when a refusal comes, and how long refusals are remembered."""

from __future__ import annotations

import pytest

from mailferry.gate.admission import Admitted, Rejected
from mailferry.model.access import Protocol
from mailferry.model.causes import Answer
from tests.kit.clocked import WorldTime
from tests.kit.move import OLD, OTHER, USER
from tests.kit.scripted import dial, hang_up
from tests.life.conftest import Service
from tests.life.steps import MINUTE, choose_password, logged_in_once, source_logins

pytestmark = pytest.mark.deadline(60)


@pytest.mark.hazard("T12")
@pytest.mark.parametrize("protocol", list(Protocol))
async def test_who_has_not_logged_in_after_a_minute_is_cut_off_whatever_drips(
    service: Service, time: WorldTime, protocol: Protocol
) -> None:
    move = await service()
    client = await dial(move.ports[protocol])
    for number in range(11):
        await time.advance(5)
        client.send(b"N")
        await time.settle()
        assert client.lost is None, f"after {5 * (number + 1)} s"
    await time.advance(5)
    await move.done(client.gone(), within=1)


@pytest.mark.hazard("T30")
@pytest.mark.parametrize("name", [USER, "nobody@old.test", "li@elsewhere.test"])
async def test_a_refusal_comes_two_seconds_after_the_attempt(
    service: Service, time: WorldTime, name: str
) -> None:
    move = await service()
    client = await dial(move.ports[Protocol.IMAP])
    client.send(b'l LOGIN "%s" "wrong"\r\n' % name.encode())
    await time.advance(1.99)
    assert b"l NO" not in client.received
    await time.advance(0.01)
    await client.expect(b"l NO [AUTHENTICATIONFAILED]")
    await hang_up(client)


@pytest.mark.hazard("T29")
async def test_a_refused_password_is_asked_again_after_ten_minutes(service: Service, time: WorldTime) -> None:
    move = await service()
    assert (await move.rejected(b"old one")).answer is Answer.REFUSED
    await time.advance(9 * MINUTE)
    asked = source_logins(move)
    assert (await move.rejected(b"old one")).answer is Answer.REFUSED
    assert source_logins(move) == asked
    await time.advance(MINUTE)
    assert (await move.rejected(b"old one")).answer is Answer.REFUSED
    assert source_logins(move) == asked + 1


@pytest.mark.hazard("T29")
async def test_five_wrong_passwords_hold_unseen_ones_for_fifteen_minutes(
    service: Service, time: WorldTime
) -> None:
    move = await service()
    await logged_in_once(move)
    for number in range(5):
        assert (await move.rejected(b"guess %d" % number)).answer is Answer.REFUSED
    asked = source_logins(move)
    choose_password(move.source, OTHER)
    assert (await move.rejected(OTHER)).answer is Answer.TEMPORARY
    await time.advance(14 * MINUTE)
    assert (await move.rejected(OTHER)).answer is Answer.TEMPORARY
    assert source_logins(move) == asked
    await time.advance(MINUTE)
    await logged_in_once(move, OTHER)


@pytest.mark.hazard("T29")
async def test_a_source_at_its_limit_takes_unseen_passwords_again_a_minute_later(
    service: Service, time: WorldTime
) -> None:
    move = await service(shield={"wrong_per_source_minute": 2})
    for number in range(2):
        await move.rejected(b"guess", name=f"user{number}@old.test")
    assert (await move.rejected()).answer is Answer.TEMPORARY
    await time.advance(MINUTE)
    await logged_in_once(move)


async def test_a_source_that_never_answers_is_given_up_after_half_a_minute(
    service: Service, time: WorldTime
) -> None:
    move = await service(relayed=True)
    move.stall_the_source()
    login = move.admit()
    await time.advance(29)
    assert not login.called
    admission = await move.done(login, within=2)
    assert isinstance(admission, Rejected)
    assert admission.answer is Answer.TEMPORARY


@pytest.mark.parametrize("busy_for", [5, 30])
async def test_a_login_waits_ten_seconds_for_a_source_with_too_many_sessions(
    service: Service, time: WorldTime, busy_for: float
) -> None:
    move = await service(source_quirks=frozenset({"pop3_lock"}))
    held = await dial(move.source.pop3_port)
    held.send(b"USER %s\r\nPASS %s\r\n" % (USER.encode(), OLD))
    for _ in range(3):
        await held.expect(b"+OK")
    login = move.admit(protocol=Protocol.POP3)
    await time.advance(min(busy_for, 9))
    assert not login.called
    if busy_for < 10:
        await hang_up(held)
    admission = await move.done(login, within=2)
    if busy_for < 10:
        assert isinstance(admission, Admitted)
        await move.logout(admission)
    else:
        assert isinstance(admission, Rejected)
        assert admission.answer is Answer.TEMPORARY
        await hang_up(held)
