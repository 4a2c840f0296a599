"""Processes are killed with SIGKILL while mail arrives and the copy runs: nothing is lost, twice or altered."""

from __future__ import annotations

import imaplib
import poplib
import random
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.programs import Programs
from tests.e2e.stage import OLD, USER, Stage
from tests.kit import oracle
from tests.kit.service import Service, until

pytestmark = [pytest.mark.peer("dovecot", "fetchmail", "mbsync", "curl"), pytest.mark.timeout(600)]

VICTIMS = ("copier", "proxy", "web", "parent")
QUICK = {("copier", "maildir")}
SERVES = {"proxy", "parent"}
"""Whose end is the end of the users' sessions."""


def cases() -> Iterator[object]:
    """Each victim on each kind of mailbox; some of them, with less mail and fewer kills, in every run."""
    for victim in VICTIMS:
        for location in ("maildir", "sdbox"):
            yield pytest.param(victim, location, 2000, 6, 2, marks=pytest.mark.slow)
            if (victim, location) in QUICK:
                yield pytest.param(victim, location, 400, 3, 1)


@pytest.mark.hazard("D1")
@pytest.mark.hazard("D13")
@pytest.mark.hazard("D18")
@pytest.mark.parametrize(("victim", "location", "messages", "kills", "late_kills"), [*cases()])
def test_a_move_during_which_a_process_is_killed_again_and_again_is_exact(
    tmp_path: Path, victim: str, location: str, messages: int, kills: int, late_kills: int
) -> None:
    stage = Stage(tmp_path, location=location, messages=messages)
    try:
        programs, dice = Programs(stage, tmp_path), random.Random(victim)
        stage.service.start()
        programs.read(stage.source)
        stage.wait_until_copying()
        for number in range(kills):
            _killed_in_the_copy(stage, programs, dice, victim, number)
        stage.wait_until_copying()
        stage.widen()
        for _ in range(late_kills):  # in the rest of the copy, its last passes, the freeze, or after the flip
            _pause(dice.uniform(0.5, 5.0))
            _kill(stage.service, victim)
            programs.look(patient=True)
        stage.wait_until_done(partial(programs.look, patient=True))
        stage.deliver(stage.source)
        programs.look()
        stage.wait_for_late_mail()
        stage.assert_same_mail()
        lost = {keyword(number) for number in range(kills)} - keywords(stage)
        assert not lost, "changes that were acknowledged just before a kill"
        programs.forget_uids()
        programs.read(stage.target)
    finally:
        stage.close()


def _killed_in_the_copy(
    stage: Stage, programs: Programs, dice: random.Random, victim: str, number: int
) -> None:
    """Kill somebody while mail arrives and the user is in the middle of things; then all is as before."""
    stage.deliver(stage.source, dice.choice(["INBOX", "项目"]))
    stage.deliver(stage.target)
    with underway(stage, keyword(number)) as user:
        _pause(dice.uniform(0.0, 1.0))
        _kill(stage.service, victim)
        user.goes_on(cut_off=victim in SERVES)
    programs.look()


def _kill(service: Service, victim: str) -> None:
    """Kill it, and wait until it is there again; the parent takes its time when that happens often."""
    if victim == "parent":
        service.kill_parent()
        service.start()
    else:
        killed = service.workers(victim)
        service.kill(victim)
        until(lambda: set(service.workers(victim)) - set(killed), 45, f"a new {victim}")


def _pause(seconds: float) -> None:
    """Let the copy go on for a moment that nobody can foresee."""
    select.select([], [], [], seconds)


def keyword(number: int) -> str:
    """Return what the user marks a message with just before a kill."""
    return f"$Kill{number}"


def keywords(stage: Stage) -> set[str]:
    """Return all that marks a message at the target."""
    return {word for message in oracle.read(stage.target, USER).messages for word in message.keywords}


@dataclass
class Underway:
    """What a user is in the middle of: a session, half a login, and a login just sent."""

    reading: imaplib.IMAP4
    half_way: poplib.POP3
    sent: imaplib.IMAP4

    def goes_on(self, *, cut_off: bool) -> None:
        """Either nothing has happened to it, or its connections are closed; nobody is told a wrong password."""
        assert _cut_off(self.reading.noop) == cut_off
        assert _cut_off(lambda: self.half_way.pass_(OLD)) == cut_off
        assert _cut_off(self._answer) <= cut_off

    def _answer(self) -> None:
        answer = self.sent.readline()
        if not answer:
            raise ConnectionResetError
        assert answer.startswith(b"a OK "), answer


@contextmanager
def underway(stage: Stage, mark: str) -> Iterator[Underway]:
    """Begin all that; the session has marked some messages, and the source has acknowledged it."""
    with ExitStack() as closing:
        reading = stage.imap()
        closing.callback(reading.shutdown)
        reading.select("INBOX")
        assert reading.store("1:3", "+FLAGS", mark)[0] == "OK"
        half_way = stage.pop3_door()
        closing.callback(half_way.close)
        sent = stage.imap_door()
        closing.callback(sent.shutdown)
        sent.send(b'a LOGIN "%s" {%d+}\r\n%s\r\n' % (USER.encode(), len(OLD.encode()), OLD.encode()))
        yield Underway(reading, half_way, sent)


def _cut_off(step: Callable[[], object]) -> bool:
    """Whether the step meets a closed connection; an answer that is not OK fails the test."""
    try:
        step()
    except poplib.error_proto as error:
        if error.args != ("-ERR EOF",):  # poplib's own words: those of a server are octets
            raise
    except (imaplib.IMAP4.abort, OSError):
        pass
    else:
        return False
    return True
