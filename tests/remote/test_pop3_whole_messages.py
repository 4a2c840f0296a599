"""Messages that one read from the network brings whole: taken in one step, and never otherwise than step by step."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mailferry.model.causes import Unavailable
from tests.kit.dot_stuffing import END, stuffed
from tests.kit.scripted import Script, Talk
from tests.remote.sessions import Collected, pop3

LINES = (b"", b"text", b".", b"..", b".dot", b"+OK", b"+OK 12 octets", b"-ERR no", b"x" * 3000, b"\r", b".\r")


def made(dice: random.Random) -> bytes:
    """Return a message of lines that a reader could stumble over; some end in LF alone."""
    ends = (b"\r\n", b"\r\n", b"\r\n", b"\n")
    lines = (dice.choice(LINES) + dice.choice(ends) for _ in range(dice.randint(1, 6)))
    return b"".join(lines) + dice.choice((b"end\r\n", b"end of it\r\n", b""))


def at_once(messages: Sequence[bytes], *, stuffs: bool, segments: Sequence[int]) -> Script:
    """A server that hears all commands before it answers, and cuts its answers into such segments."""

    async def run(talk: Talk) -> None:
        answers = b""
        while (line := await talk.line()) != b"NOOP":
            message = messages[int(line.split()[1]) - 1]
            body = stuffed(message) if stuffs else message + END
            answers += b"+OK %d octets\r\n" % len(message) + body
        answers += b"+OK\r\n"
        for octets in segments:
            talk.send(answers[:octets])
            answers = answers[octets:]
        talk.send(answers)

    return run


async def read(script: Script, sizes: Mapping[int, int], *, step_by_step: bool = False) -> tuple[Any, ...]:
    """Return the messages that came and how the fetch ended."""
    sink = Collected()
    async with pop3(script, b"PIPELINING") as (client, _):
        if step_by_step:
            client._link._whole_messages = lambda _, at: at  # type: ignore[method-assign]
        try:
            outcome = await client.fetch_once(sizes, sink, sizes=sizes)
        except Unavailable as broken:  # what is not stuffed may look like anything
            return sink.messages, str(broken)
    return sink.messages, outcome.missing, outcome.refused.keys()


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("stuffs", [True, False], ids=["stuffs", "does not stuff"])
@pytest.mark.parametrize("true_sizes", [True, False], ids=["true sizes", "wrong sizes"])
async def test_messages_are_the_same_whether_they_come_whole_or_in_pieces(
    stuffs: bool, true_sizes: bool
) -> None:
    dice = random.Random(f"{stuffs} {true_sizes}")
    for _ in range(12):
        messages = [message for message in (made(dice) for _ in range(40)) if message.endswith(b"\r\n")]
        sizes = {
            number: len(one) if true_sizes else max(0, len(one) + dice.randint(-4, 40))
            for number, one in enumerate(messages, 1)
        }
        total = sum(map(len, messages))
        cut = [dice.randint(1, total) for _ in range(dice.choice((0, 0, 3)))]
        script = at_once(messages, stuffs=stuffs, segments=cut)
        found = await read(script, sizes)
        assert found == await read(script, sizes, step_by_step=True)
        if stuffs and true_sizes:
            assert found == (dict(enumerate(messages, 1)), (), set())


@pytest.mark.hazard("D4")
async def test_a_list_that_counts_the_dots_of_stuffing_leaves_none_of_them_in_a_message() -> None:
    messages = [b"Subject: 1\r\n\r\n.one\r\n..two\r\n", b"Subject: 2\r\n\r\nplain\r\n"]
    sizes = {number: len(stuffed(one).removesuffix(END)) for number, one in enumerate(messages, 1)}
    found = await read(at_once(messages, stuffs=True, segments=()), sizes)
    assert found == (dict(enumerate(messages, 1)), (), set())


async def test_what_the_sink_does_in_the_middle_of_a_read_ends_the_session_there() -> None:
    messages = [b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 500) for number in range(20)]
    sizes = {number: len(one) for number, one in enumerate(messages, 1)}

    class Full(Collected):
        def end(self) -> None:
            super().end()
            if len(self.messages) == 7:
                raise OSError("no space left")

    sink = Full()
    async with pop3(at_once(messages, stuffs=True, segments=()), b"PIPELINING") as (client, _):
        with pytest.raises(OSError, match="no space left"):
            await client.fetch_once(range(1, 21), sink, sizes=sizes)
        assert client.closed
    assert sink.messages == dict(enumerate(messages[:7], 1))
