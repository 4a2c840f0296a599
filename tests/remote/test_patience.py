"""Many short answers: read some at a time while nobody waits for the next one, and taken in one look each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from twisted.internet.task import Clock

from mailferry.model.causes import Cause, Unavailable
from mailferry.remote.imap_append import AppendResult, append_words
from mailferry.remote.patience import AT_ONCE, LOOK_SECONDS, MOST_OCTETS, SHORTEST_ANSWER, Patience
from tests.kit.scripted import Talk
from tests.remote.sessions import imap
from tests.remote.test_imap_append import LITERAL, take

REPLY = b"* %d EXISTS\r\n* 1 RECENT\r\n%b OK [APPENDUID 7 %d] Append completed (0.001 secs).\r\n"


class Asked:
    """In place of a carrier: remembers for how many octets it was to wait."""

    def __init__(self) -> None:
        self.octets: list[int] = []

    def wait_for(self, octets: int) -> None:
        self.octets.append(octets)


def patience() -> tuple[Patience, Asked, Clock]:
    asked, clock = Asked(), Clock()
    return Patience(asked, clock), asked, clock  # type: ignore[arg-type]  # the one method that it calls


def test_while_many_answers_are_owed_as_much_is_waited_for_as_comes_in_a_tenth_of_a_second() -> None:
    waiting, asked, clock = patience()
    clock.advance(0.01)
    waiting.after_read(100, 1000)
    assert asked.octets == [1000]
    clock.advance(0.2)
    waiting.after_read(100, 1000)
    assert asked.octets == [1000, 50]
    waiting.after_read(100, 100_000)
    assert asked.octets[2:] == [MOST_OCTETS]
    waiting.end()
    assert not clock.getDelayedCalls()


def test_never_more_is_waited_for_than_the_answers_must_have_that_come_before_the_last_ones() -> None:
    waiting, asked, _ = patience()
    waiting.after_read(10_000, AT_ONCE + 20)
    assert asked.octets == [20 * SHORTEST_ANSWER]
    for owed in range(AT_ONCE + 20, 0, -1):
        waiting.after_read(10_000, owed)
        assert asked.octets[-1] <= max(1, (owed - AT_ONCE) * SHORTEST_ANSWER)
    assert asked.octets[-1] == 1
    waiting.end()


def test_a_few_answers_are_read_as_they_come() -> None:
    waiting, asked, clock = patience()
    for owed in range(AT_ONCE + 1):
        waiting.after_read(10_000, owed)
    assert asked.octets == []
    assert not clock.getDelayedCalls()


def test_a_wait_that_becomes_long_is_given_up() -> None:
    waiting, asked, clock = patience()
    waiting.after_read(1000, 1000)
    clock.advance(LOOK_SECONDS * 0.8)
    waiting.after_read(1000, 1000)
    clock.advance(LOOK_SECONDS * 0.9)
    assert asked.octets[-1] > 1
    clock.advance(LOOK_SECONDS * 0.2)
    assert asked.octets[-1] == 1
    assert not clock.getDelayedCalls()


async def appended(answers: Sequence[bytes], *, pieces: int = 1) -> list[AppendResult]:
    """Append so many messages at once to a target that answers all of them together, `%t` being the tag."""

    async def target(talk: Talk) -> None:
        replies = b""
        for answer in answers:
            line = await talk.line()
            await take(talk, int(LITERAL.search(line)[1]) + 2)  # type: ignore[index]
            replies += answer.replace(b"%t", line.split(b" ")[0])
        size = -(-len(replies) // pieces)
        for start in range(0, len(replies), size):
            talk.send(replies[start : start + size])

    async with imap(target, b"UIDPLUS LITERAL+") as (client, _):
        streams = [client.append_batch(b"INBOX") for _ in range(2)]
        for number in range(len(answers)):
            stream = streams[number * 2 // len(answers)]
            stream.whole(append_words((), None), memoryview(b"message"))
            stream.flush()
        return [result for stream in streams for result in await stream.finish()]


@pytest.mark.parametrize("pieces", [1, 7, 50])
async def test_many_appends_of_two_batches_get_each_their_own_answer(pieces: int) -> None:
    results = await appended([REPLY % (n, b"%t", n + 1) for n in range(100)], pieces=pieces)
    assert [(one.uid, one.uidvalidity) for one in results] == [(n + 1, 7) for n in range(100)]


@pytest.mark.hazard("D11")
async def test_among_many_answers_the_unusual_ones_are_not_overlooked() -> None:
    answers = [REPLY % (n, b"%t", n + 1) for n in range(60)]
    answers[3] = b"%t NO [OVERQUOTA] full\r\n"
    answers[20] = b"%t OK done\r\n"
    answers[21] = b"* OK still here\r\n* 5 FETCH (FLAGS (\\Seen))\r\n" + answers[21]
    answers[40] = b"%t OK [APPENDUID 7 what] done\r\n"
    answers[41] = b"%t BAD no\r\n"
    results = await appended(answers)
    assert [n for n, one in enumerate(results) if not one.stored] == [3, 41]
    assert results[3].code == "OVERQUOTA"
    assert [n for n, one in enumerate(results) if one.stored and one.uid is None] == [20, 40]
    assert all(one.uid in {None, n + 1} for n, one in enumerate(results))


async def test_answers_in_another_order_go_to_their_own_messages() -> None:
    async def target(talk: Talk) -> None:
        tags = []
        for _ in range(40):
            line = await talk.line()
            await take(talk, int(LITERAL.search(line)[1]) + 2)  # type: ignore[index]
            tags.append(line.split(b" ")[0])
        order = [*range(10, 40), *range(10)]
        talk.send(b"".join(REPLY % (1, tags[n], n + 1) for n in order))

    async with imap(target, b"UIDPLUS LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        for _ in range(40):
            stream.whole(append_words((), None), memoryview(b"message"))
        stream.flush()
        assert [one.uid for one in await stream.finish()] == list(range(1, 41))


@pytest.mark.hazard("D1")
async def test_an_answer_to_a_message_that_was_not_sent_whole_is_no_success() -> None:
    async def forger(talk: Talk) -> None:
        line = await talk.line()
        talk.send(REPLY % (1, line.split(b" ")[0], 1))

    async with imap(forger, b"UIDPLUS LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        stream.begin_message((), None, 2)
        stream.chunk(b"a")
        with pytest.raises(Unavailable) as caught:
            await client.keepalive()
        assert caught.value.cause is Cause.PROTOCOL_ERROR
