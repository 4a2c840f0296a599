"""The listener for Postfix: many requests at a time, refusals as FAIL, temporary failures as the connection's end."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from mailferry.frontends.sasl import ANSWER_SECONDS, MAX_UNDER_WAY, SaslDoor
from mailferry.gate.checking import Verdict
from mailferry.model.account import Trigger
from mailferry.model.causes import Answer
from mailferry.observe.log import get_log
from tests.frontends.asked import Checks, Listener
from tests.kit.scripted import Talk

YES = Verdict(None, "li@old.test")
NO = Verdict(Answer.REFUSED, "li@old.test", "不对", "Wrong password.")
LATER = Verdict(Answer.TEMPORARY)
GREETED = b"VERSION\t1\t0\nCPID\t7\n"


@dataclass
class Here:
    checks: Checks
    clock: Clock
    door: SaslDoor
    talk: Talk

    async def line(self) -> bytes:
        """Take one line of ours."""
        return await self.talk.expect(b"\n")


@pytest_twisted.async_yield_fixture
async def here() -> AsyncIterator[Here]:
    from twisted.internet import reactor

    checks, clock = Checks(), Clock()
    door = SaslDoor(checks, reactor=clock, log=get_log("sasl"))
    listener = Listener(reactor, door.accept)
    talk = await listener.talk()
    await talk.expect(b"DONE\n")
    talk.send(GREETED)
    yield Here(checks, clock, door, talk)
    await listener.stop()
    talk.close()
    await talk.gone()
    await door.drain(1.0)


def plain(number: int, password: bytes = b"pw", *, name: bytes = b"li@old.test", more: bytes = b"") -> bytes:
    payload = base64.b64encode(b"\0" + name + b"\0" + password)
    return b"AUTH\t%d\tPLAIN\tservice=smtp\trip=192.0.2.7%s\tresp=%s\n" % (number, more, payload)


async def asked(here: Here, count: int = 1) -> None:
    """Wait until so many passwords are being judged."""
    from twisted.internet import reactor, task

    while len(here.checks.attempts) < count:
        await task.deferLater(reactor, 0.005, lambda: None)


async def test_plain_is_judged_as_an_smtp_login_and_the_yes_names_the_account(here: Here) -> None:
    here.talk.send(plain(1, "旧 pw".encode()))
    await asked(here)
    attempt = here.checks.attempts[0]
    assert (attempt.name, attempt.password.reveal()) == ("li@old.test", "旧 pw".encode())
    assert (attempt.trigger, attempt.client.host) == (Trigger.SMTP, "192.0.2.7")
    here.checks.waiting[0].callback(YES)
    assert await here.line() == b"OK\t1\tuser=li@old.test\n"


@pytest.mark.parametrize("initial", [True, False])
async def test_login_asks_for_what_is_missing(here: Here, initial: bool) -> None:
    name, password = base64.b64encode(b"li@old.test"), base64.b64encode(b"pw")
    here.talk.send(b"AUTH\t5\tLOGIN\tservice=smtp" + (b"\tresp=" + name if initial else b"") + b"\n")
    if not initial:
        assert await here.line() == b"CONT\t5\tVXNlcm5hbWU6\n"
        here.talk.send(b"CONT\t5\t" + name + b"\n")
    assert await here.line() == b"CONT\t5\tUGFzc3dvcmQ6\n"
    here.talk.send(b"CONT\t5\t" + password + b"\n")
    await asked(here)
    here.checks.waiting[0].callback(YES)
    assert await here.line() == b"OK\t5\tuser=li@old.test\n"


async def test_a_refusal_is_told_in_english_for_smtp_is_ascii(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    here.checks.waiting[0].callback(NO)
    assert await here.line() == b"FAIL\t1\treason=Wrong password.\n"


@pytest.mark.hazard("D20")
async def test_a_temporary_failure_is_the_end_of_the_connection_and_never_a_fail(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    here.checks.waiting[0].callback(LATER)
    await here.talk.gone()
    assert b"FAIL" not in here.talk.received


async def test_others_under_way_are_answered_before_the_connection_ends(here: Here) -> None:
    here.talk.send(plain(1) + plain(2) + plain(3))
    await asked(here, 3)
    first, second, third = here.checks.waiting
    second.callback(LATER)
    third.callback(YES)
    assert await here.line() == b"OK\t3\tuser=li@old.test\n"
    first.callback(NO)
    assert await here.line() == b"FAIL\t1\treason=Wrong password.\n"
    await here.talk.gone()
    assert b"\t2\t" not in here.talk.received.partition(b"DONE\n")[2]


async def test_an_answer_that_takes_too_long_is_temporary_and_the_judging_goes_on(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    here.clock.advance(ANSWER_SECONDS)
    await here.talk.gone()
    assert here.checks.cancelled == 0
    here.checks.waiting[0].callback(YES)
    assert b"OK\t" not in here.talk.received


async def test_a_cancelled_request_is_not_answered_and_its_judging_stops(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    here.talk.send(b"CANCEL\t1\n" + plain(2, b"other"))
    await asked(here, 2)
    assert here.checks.cancelled == 1
    here.checks.waiting[1].callback(YES)
    assert await here.line() == b"OK\t2\tuser=li@old.test\n"


async def test_a_client_that_goes_away_stops_what_is_judged_for_it(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    here.talk.close()
    await here.door.drain(1.0)
    assert (here.checks.cancelled, len(here.door)) == (1, 0)


@pytest.mark.parametrize(
    "request_line",
    [
        plain(1, name=b"victim*admin@old.test"),
        plain(1, name=b"li\n@old.test"),
        plain(1, b"line\nend"),
        b"AUTH\t1\tPLAIN\tservice=smtp\tresp=" + base64.b64encode(b"boss@old.test\0li@old.test\0pw") + b"\n",
        b"AUTH\t1\tPLAIN\tservice=smtp\tresp=no-base64!\n",
        b"AUTH\t1\tCRAM-MD5\tservice=smtp\n",
    ],
    ids=[
        "master-user",
        "line-end-in-name",
        "line-end-in-password",
        "acts-as-another",
        "no-base64",
        "cram-md5",
    ],
)
async def test_what_no_login_can_be_is_refused_without_judging(here: Here, request_line: bytes) -> None:
    here.talk.send(request_line)
    assert await here.line() == b"FAIL\t1\treason=Authentication failed.\n"
    assert here.checks.attempts == []


@pytest.mark.parametrize(
    "lines",
    [
        b"VERSION\t2\t0\n",
        plain(1) + plain(1),
        b"AUTH\tx\tPLAIN\n",
        b"x" * 9000,
    ],
    ids=["another-version", "one-number-twice", "no-number", "endless-line"],
)
async def test_a_client_that_does_not_speak_the_protocol_is_cut_off(here: Here, lines: bytes) -> None:
    here.talk.send(lines)
    await here.talk.gone()


async def test_no_more_requests_are_judged_at_a_time_than_the_limit(here: Here) -> None:
    here.talk.send(b"".join(plain(number) for number in range(1, MAX_UNDER_WAY + 3)))
    await asked(here, MAX_UNDER_WAY)
    for waiting in list(here.checks.waiting):
        waiting.callback(YES)
    await here.talk.gone()
    assert len(here.checks.attempts) == MAX_UNDER_WAY
    assert here.talk.received.count(b"OK\t") == MAX_UNDER_WAY


async def test_a_stopping_service_answers_what_is_judged_and_takes_nothing_new(here: Here) -> None:
    here.talk.send(plain(1))
    await asked(here)
    drained = here.door.drain(30.0)
    here.talk.send(plain(2))
    here.checks.waiting[0].callback(YES)
    assert await here.line() == b"OK\t1\tuser=li@old.test\n"
    await here.talk.gone()
    await drained
    assert len(here.checks.attempts) <= 1
