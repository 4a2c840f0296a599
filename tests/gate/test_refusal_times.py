"""The moments at which refusals go out, at quick and slow servers: they tell nobody which names exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import task

from mailferry.gate.judges import Judgement, Judges
from mailferry.gate.refusal_times import BEAT_SECONDS, MOST_BEATS, RefusalTimes
from mailferry.model.access import Protocol, Server
from tests.gate.conftest import MakeMove
from tests.gate.test_penalty import first_login
from tests.kit.move import USER, Move
from tests.kit.scripted import dial, hang_up

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("T30")]

NAMES = {
    "another unknown user": ("somebody@old.test", b"wrong"),
    "an unknown domain": ("li@elsewhere.test", b"wrong"),
    "no address": ("li old", b"wrong"),
    "a wrong password": (USER, b"wrong"),
    "a wrong password again": (USER, b"wrong"),
    "an unknown user again": ("nobody@old.test", b"wrong"),
}


def slow(monkeypatch: pytest.MonkeyPatch, move: Move, seconds: Mapping[int, float]) -> None:
    """Let each server, by its port, take so many seconds for its answer."""
    ask = Judges._ask

    async def later(judges: Judges, server: Server, *given: Any, **named: Any) -> Judgement:
        await task.deferLater(move.time.reactor, seconds[server.port], lambda: None)
        return await ask(judges, server, *given, **named)

    monkeypatch.setattr(Judges, "_ask", later)


async def refused_at(move: Move, protocol: Protocol, name: str, password: bytes) -> tuple[float, bytes]:
    """Log in through the door; return after how many seconds a refusal came, and all of its octets."""
    client = await dial(move.ports[protocol])
    await move.time.settle()
    if protocol is Protocol.IMAP:
        client.send(b'l LOGIN "%s" "%s"\r\n' % (name.encode(), password))
        end = b"l NO"
    else:
        client.send(b"USER %s\r\nPASS %s\r\n" % (name.encode(), password))
        end = b"-ERR"
    took = await move.time.until(lambda: end in client.received, within=60)
    said = bytes(client.received)
    await hang_up(client)
    await move.time.settle()
    return round(took, 6), said


@pytest.mark.parametrize(
    ("source", "target", "protocol", "beats"),
    [
        (0.3, 0.1, Protocol.IMAP, 1),
        (1.7, 0.1, Protocol.POP3, 1),
        (2.0, 2.0, Protocol.IMAP, 2),
        (2.4, 0.0, Protocol.POP3, 2),
        (5.1, 2.1, Protocol.IMAP, 4),
    ],
    ids=["quick", "nearly too slow", "both take a beat", "slow", "very slow"],
)
@pytest.mark.parametrize("store_kind", ["sqlite"], indirect=True)
async def test_every_refusal_has_the_same_octets_at_the_same_moment(
    begin: MakeMove,
    monkeypatch: pytest.MonkeyPatch,
    source: float,
    target: float,
    protocol: Protocol,
    beats: int,
) -> None:
    move = await begin()
    await first_login(move)
    hosts = {move.source: source, move.target: target}
    slow(monkeypatch, move, {port: s for h, s in hosts.items() for port in (h.imap_port, h.pop3_port)})
    first = await refused_at(move, protocol, "nobody@old.test", b"wrong")
    told = {how: await refused_at(move, protocol, *who) for how, who in NAMES.items()}
    assert {how: came for how, (came, _) in told.items()} == dict.fromkeys(NAMES, beats * BEAT_SECONDS)
    assert {octets for _, octets in told.values()} == {first[1]}
    assert first[0] == beats * BEAT_SECONDS


@given(st.lists(st.tuples(st.floats(0.0, 60.0), st.booleans())))
def test_a_refusal_goes_out_at_a_beat_and_never_before_it_is_known(
    refusals: list[tuple[float, bool]],
) -> None:
    times = RefusalTimes()
    for took, asked in refusals:
        wait = times.wait(took, asked=asked)
        beat = (took + wait) / BEAT_SECONDS
        assert wait >= 0
        assert beat == pytest.approx(round(beat), abs=1e-5)
        assert beat >= 1 - 1e-6


def test_what_asked_nobody_takes_as_long_as_the_last_one_that_did_within_bounds() -> None:
    times = RefusalTimes()
    assert times.wait(0.0, asked=False) == BEAT_SECONDS
    times.wait(4.5, asked=True)
    assert times.wait(0.0, asked=False) == 3 * BEAT_SECONDS
    times.wait(59.0, asked=True)
    assert times.wait(0.0, asked=False) == MOST_BEATS * BEAT_SECONDS
    times.wait(0.1, asked=True)
    assert times.wait(0.0, asked=False) == BEAT_SECONDS
