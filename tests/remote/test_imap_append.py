"""APPEND in batches: on the wire as each server takes it, and a result for every message."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.remote.imap_append import AppendStream, append_words
from tests.kit.scripted import Talk
from tests.remote.sessions import imap

DATE = b"01-Feb-2020 10:00:00 +0800"
LITERAL = re.compile(rb"\{(\d+)(\+?)\}\Z")


class Appending:
    """A target that takes APPEND commands apart; `commands` are their lines with bodies in place."""

    def __init__(
        self, answer: Callable[[Talk, bytes, bytes], Awaitable[None]] | bytes, *, plus: bytes = b""
    ) -> None:
        self.answer = answer
        self.waits = 0
        self.commands: list[bytes] = []

    async def __call__(self, talk: Talk) -> None:
        while True:
            command = line = await talk.line()
            while (found := LITERAL.search(line)) is not None:
                if not found[2]:
                    self.waits += 1
                    talk.send(b"+ go on\r\n")
                size = int(found[1])
                body = await take(talk, size)
                line = await talk.line()
                command += b"<" + body + b">" + line
            tag, words = command.split(b" ", 1)
            self.commands.append(words)
            if isinstance(self.answer, bytes):
                talk.send(tag + b" " + self.answer + b"\r\n")
            else:
                await self.answer(talk, tag, words)


async def take(talk: Talk, size: int) -> bytes:
    await talk.until(lambda: len(talk.received) - talk._taken >= size)
    body = bytes(talk.received[talk._taken : talk._taken + size])
    talk._taken += size
    return body


def put(stream: AppendStream, *bodies: bytes) -> None:
    for body in bodies:
        stream.begin_message((b"\\Seen",), DATE, len(body))
        if body:
            stream.chunk(body[:1])
        if body[1:]:
            stream.chunk(body[1:])
        stream.end_message()


async def test_multiappend_is_one_command_with_a_uid_for_each_message() -> None:
    target = Appending(b"OK [APPENDUID 77 5:6,9] done")
    async with imap(target, b"UIDPLUS MULTIAPPEND LITERAL+") as (client, _):
        stream = client.append_batch(b"Sent")
        put(stream, b"one", b"", b"three\r\n")
        results = await stream.finish()
        assert [result.uid for result in results] == [5, 6, 9]
        assert {result.uidvalidity for result in results} == {77}
        assert all(result.stored for result in results)
        assert target.commands == [
            b'APPEND "Sent" (\\Seen) "' + DATE + b'" {3+}<one> (\\Seen) "' + DATE + b'" {0+}<>'
            b' (\\Seen) "' + DATE + b'" {7+}<three\r\n>'
        ]
        assert target.waits == 0


async def test_without_multiappend_each_message_is_a_pipelined_command() -> None:
    numbers = iter(range(10, 20))

    async def answer(talk: Talk, tag: bytes, words: bytes) -> None:
        talk.send(tag + b" OK [APPENDUID 3 %d] done\r\n" % next(numbers))

    target = Appending(answer)
    async with imap(target, b"UIDPLUS LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"one", b"two", b"three")
        results = await stream.finish()
        assert [result.uid for result in results] == [10, 11, 12]
        assert len(target.commands) == 3


async def test_batches_can_be_sent_one_by_one_although_multiappend_is_offered() -> None:
    target = Appending(b"OK done")
    async with imap(target, b"MULTIAPPEND LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX", batches=False)
        put(stream, b"one", b"two")
        assert [r.uid for r in await stream.finish()] == [None, None]
        assert len(target.commands) == 2


@pytest.mark.parametrize("batches", [True, False])
async def test_without_literal_plus_each_literal_waits_and_the_caller_is_told_to_pause(batches: bool) -> None:
    target = Appending(b"OK done")
    pressure: list[bool] = []
    async with imap(target, b"MULTIAPPEND" if batches else b"IMAP4rev1") as (client, _):
        stream = client.append_batch(b"INBOX", on_pressure=pressure.append)
        put(stream, b"one", b"two", b"three")
        assert stream.wants_pause
        results = await stream.finish()
        assert [r.stored for r in results] == [True, True, True]
        assert target.waits == 3
        assert [c.count(b"<") for c in target.commands] == ([3] if batches else [1, 1, 1])
        assert pressure[0] is True
        assert pressure[-1] is False


@pytest.mark.parametrize(("size", "waits"), [(4096, 0), (4097, 1)])
async def test_literal_minus_goes_at_once_up_to_4096_octets(size: int, waits: int) -> None:
    target = Appending(b"OK done")
    async with imap(target, b"LITERAL- MULTIAPPEND") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"x" * size)
        assert (await stream.finish())[0].stored
        assert target.waits == waits


async def test_a_mailbox_name_with_8_bit_octets_goes_as_a_literal() -> None:
    target = Appending(b"OK done")
    async with imap(target, b"LITERAL+") as (client, _):
        stream = client.append_batch("收件".encode("gbk"))
        put(stream, b"one")
        await stream.finish()
        assert target.commands[0].startswith(b"APPEND {4+}<\xca\xd5\xbc\xfe> (")


@pytest.mark.parametrize("capabilities", [b"MULTIAPPEND LITERAL+", b"MULTIAPPEND"])
async def test_a_refused_batch_says_so_of_each_message_and_the_session_goes_on(capabilities: bytes) -> None:
    target = Appending(b"NO Message contains NUL characters")
    async with imap(target, capabilities) as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"one", b"two")
        results = await stream.finish()
        assert [(r.stored, r.whole_batch, r.uid) for r in results] == [(False, True, None)] * 2
        assert isinstance(results[0].refusal, Refused)
        assert results[0].refusal.cause is Cause.TARGET_REFUSED
        assert results[0].refusal.text == "Message contains NUL characters"
        target.answer = b"OK done"
        alone = client.append_batch(b"INBOX", batches=False)
        put(alone, b"two")
        assert [r.stored for r in await alone.finish()] == [True]


async def test_a_refusal_of_one_message_alone_is_its_own() -> None:
    async def answer(talk: Talk, tag: bytes, words: bytes) -> None:
        bad = b"bad" in words
        talk.send(tag + (b" NO [TOOBIG] too big\r\n" if bad else b" OK [APPENDUID 3 1] done\r\n"))

    async with imap(Appending(answer), b"LITERAL+ UIDPLUS") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"good", b"bad", b"good")
        results = await stream.finish()
        assert [r.stored for r in results] == [True, False, True]
        assert (results[1].code, results[1].whole_batch) == ("TOOBIG", False)


@pytest.mark.hazard("D11")
@pytest.mark.parametrize(
    ("answer", "kind", "cause", "code"),
    [
        (b"NO [OVERQUOTA] full", Refused, Cause.TARGET_OVER_QUOTA, "OVERQUOTA"),
        (b"NO [LIMIT] later", Unavailable, Cause.RATE_LIMITED, "LIMIT"),
        (b"NO [INUSE] later", Unavailable, Cause.SERVER_DOWN, "INUSE"),
        (b"NO [TRYCREATE] no such mailbox", Refused, Cause.TARGET_REFUSED, "TRYCREATE"),
        (b"BAD Command Argument Error. 11", Refused, Cause.TARGET_REFUSED, None),
    ],
)
async def test_refusals_of_a_target_are_sorted(
    answer: bytes, kind: type, cause: Cause, code: str | None
) -> None:
    async with imap(Appending(answer), b"LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"one")
        (result,) = await stream.finish()
        assert isinstance(result.refusal, kind)
        assert (result.refusal.cause, result.code) == (cause, code)


async def test_a_target_that_refuses_instead_of_going_on_gets_nothing_more_of_that_message() -> None:
    async def grudging(talk: Talk) -> None:
        line = await talk.line()
        talk.send(line.split(b" ")[0] + b" NO [TOOBIG] no\r\n")
        line = await talk.line()
        assert b"{3}" in line
        talk.send(b"+ go\r\n")
        assert await talk.line() == b"two"
        talk.send(line.split(b" ")[0] + b" OK [APPENDUID 1 2] done\r\n")

    async with imap(grudging, b"UIDPLUS") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"first", b"two")
        results = await stream.finish()
        assert [(r.stored, r.uid) for r in results] == [(False, None), (True, 2)]


async def test_a_batch_refused_at_its_first_literal_sends_nothing_more_of_it() -> None:
    async def grudging(talk: Talk) -> None:
        line = await talk.line()
        talk.send(line.split(b" ")[0] + b" NO [TRYCREATE] no mailbox\r\n")
        line = await talk.line()
        assert line.endswith(b" LOGOUT"), line
        talk.send(line.split(b" ")[0] + b" OK bye\r\n")

    async with imap(grudging, b"MULTIAPPEND") as (client, _):
        stream = client.append_batch(b"Nowhere")
        put(stream, b"first", b"two")
        assert [r.code for r in await stream.finish()] == ["TRYCREATE", "TRYCREATE"]
        await client.logout()


async def test_a_batch_refused_in_the_middle_ends_its_literal_and_drops_the_rest() -> None:
    async def early(talk: Talk) -> None:
        line = await talk.line()
        await take(talk, 1)
        talk.send(line.split(b" ")[0] + b" NO full up\r\n")
        assert await take(talk, 2) == b"ne"
        assert await talk.line() == b""
        line = await talk.line()
        assert line.endswith(b" LOGOUT"), line
        talk.send(line.split(b" ")[0] + b" OK bye\r\n")

    async with imap(early, b"MULTIAPPEND LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        stream.begin_message((), None, 3)
        stream.chunk(b"o")
        await (await_answer := ensureDeferred(client._link.answer(stream._commands[0])))
        assert await_answer.called
        stream.chunk(b"ne")
        stream.end_message()
        put(stream, b"never sent")
        assert [r.stored for r in await stream.finish()] == [False, False]
        await client.logout()


@pytest.mark.parametrize(
    "answer",
    [b"OK done", b"OK [APPENDUID 1 5] done", b"OK [APPENDUID 1 5:7] done", b"OK [APPENDUID what] done"],
)
async def test_uids_that_do_not_fit_the_batch_are_not_believed(answer: bytes) -> None:
    async with imap(Appending(answer), b"MULTIAPPEND LITERAL+ UIDPLUS") as (client, _):
        stream = client.append_batch(b"INBOX")
        put(stream, b"one", b"two")
        assert [(r.stored, r.uid) for r in await stream.finish()] == [(True, None), (True, None)]


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("uid", [b"0", b"4294967296", b"9999999999"])
@pytest.mark.parametrize("capabilities", [b"MULTIAPPEND LITERAL+ UIDPLUS", b"LITERAL+ UIDPLUS"])
async def test_a_number_that_is_no_uid_is_not_believed(capabilities: bytes, uid: bytes) -> None:
    async with imap(Appending(b"OK [APPENDUID 1 %b] done" % uid), capabilities) as (client, _):
        for bodies in (b"one",), (b"two", b"three"):
            stream = client.append_batch(b"INBOX")
            put(stream, *bodies)
            assert {(r.stored, r.uid) for r in await stream.finish()} == {(True, None)}


@pytest.mark.hazard("D1")
@pytest.mark.parametrize("capabilities", [b"MULTIAPPEND LITERAL+", b"MULTIAPPEND", b"LITERAL+", b""])
async def test_a_target_that_closes_in_the_middle_leaves_the_outcome_unknown(capabilities: bytes) -> None:
    async def leaves(talk: Talk) -> None:
        await talk.line()
        talk.send(b"* BYE shutting down\r\n")
        talk.close()

    pressure: list[bool] = []
    async with imap(leaves, capabilities) as (client, _):
        stream = client.append_batch(b"INBOX", on_pressure=pressure.append)
        put(stream, b"one", b"two")
        with pytest.raises(Unavailable, match="shutting down"):
            await stream.finish()
        assert client.closed
        assert pressure[-1:] in ([], [False])


async def test_after_the_session_is_over_what_is_fed_is_dropped_and_finish_says_why() -> None:
    async def leaves(talk: Talk) -> None:
        await talk.line()
        talk.abort()

    pressure: list[bool] = []
    async with imap(leaves) as (client, rec):
        stream = client.append_batch(b"INBOX", on_pressure=pressure.append)
        stream.begin_message((), None, 10)
        assert pressure == [True]
        await (await rec.talk()).gone()
        with pytest.raises(Unavailable):
            await client.keepalive()
        assert pressure == [True, False]
        stream.chunk(b"0123456789")
        stream.end_message()
        put(stream, b"more")
        with pytest.raises(Unavailable):
            await stream.finish()


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("capabilities", [b"MULTIAPPEND LITERAL+", b"LITERAL+"])
async def test_abort_leaves_a_partial_message_that_no_target_can_keep(capabilities: bytes) -> None:
    async with imap(Appending(b"OK done"), capabilities) as (client, rec):
        stream = client.append_batch(b"INBOX")
        stream.begin_message((), None, 10)
        stream.chunk(b"01234")
        talk = await rec.talk()
        await talk.expect(b"01234")
        stream.abort()
        await talk.gone()
        assert rec.received.endswith(b"{10+}\r\n01234")
        with pytest.raises(ValueError, match="octets are missing"):
            stream.end_message()


async def test_a_batch_without_messages_sends_nothing() -> None:
    async with imap(Appending(b"OK"), b"MULTIAPPEND LITERAL+") as (client, rec):
        assert await client.append_batch(b"INBOX").finish() == []
        await rec.talk()
        assert rec.received == b""


async def test_what_has_no_place_in_a_command_is_refused_before_anything_is_sent() -> None:
    async with imap(Appending(b"OK"), b"LITERAL+") as (client, rec):
        stream = client.append_batch(b"INBOX")
        for flags, date in (
            ((b"a)b",), None),
            ((b"a\r\nx DELETE",), None),
            ((), b'" {5}\r\n'),
            ((), b"yesterday"),
        ):
            with pytest.raises(ValueError):
                stream.begin_message(flags, date, 1)
        await rec.talk()
        assert rec.received == b""
        stream.begin_message((), b"1-Feb-2020 10:00:00 +0800", 2)
        with pytest.raises(ValueError, match="more octets"):
            stream.chunk(b"abc")
        with pytest.raises(ValueError):
            stream.begin_message((), None, 2)


async def test_answers_are_read_while_we_send_and_back_pressure_reaches_the_caller() -> None:
    """A target that answers at length and reads only when its answers are taken would hang a sender that does not read."""

    async def talkative(talk: Talk) -> None:
        while True:
            line = await talk.line()
            size = int(LITERAL.search(line)[1])  # type: ignore[index]
            talk.send(b"* OK " + b"blah " * 2000 + b"\r\n")
            await take(talk, size + 2)
            talk.send(line.split(b" ")[0] + b" OK done\r\n")

    pressure: list[bool] = []
    async with imap(talkative, b"LITERAL+") as (client, rec):
        talk = await rec.talk()
        talk.stop_reading()
        stream = client.append_batch(b"INBOX", on_pressure=pressure.append)
        sent = 0
        while not stream.wants_pause and sent < 500:
            put(stream, b"x" * 100_000)
            sent += 1
        assert pressure == [True]
        assert sent < 500
        talk.read_on()
        results = await stream.finish()
        assert len(results) == sent
        assert all(r.stored for r in results)
        assert pressure[-1] is False


async def test_a_target_that_stops_reading_is_given_up_after_the_time_limit() -> None:
    clock = Clock()

    async def mute(talk: Talk) -> None:
        talk.stop_reading()

    async with imap(mute, b"LITERAL+", clock=clock) as (client, rec):
        await rec.talk()
        stream = client.append_batch(b"INBOX")
        while not stream.wants_pause:
            put(stream, b"x" * 1_000_000)
        finishing = ensureDeferred(stream.finish())
        clock.pump([60.0, 59.0])
        assert not client.closed
        clock.advance(10)
        with pytest.raises(Unavailable, match="no answer to append"):
            await finishing


async def test_a_slow_source_does_not_run_into_the_target_s_time_limit() -> None:
    clock = Clock()
    async with imap(Appending(b"OK done"), b"LITERAL+ MULTIAPPEND", clock=clock) as (client, _):
        stream = client.append_batch(b"INBOX")
        stream.begin_message((), None, 2)
        clock.pump([100.0] * 10)
        stream.chunk(b"a")
        clock.pump([100.0] * 10)
        stream.chunk(b"b")
        stream.end_message()
        assert [r.stored for r in await stream.finish()] == [True]


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"m1 OK [APPENDUID 1 1] done\r\n", id="a guessed tag"),
        pytest.param(b"%t OK done\r\n", id="an OK before the message is there"),
        pytest.param(b"gibberish\r\n", id="no IMAP at all"),
    ],
)
async def test_an_answer_that_comes_too_soon_is_no_success(forged: bytes) -> None:
    async def forger(talk: Talk) -> None:
        tag = (await talk.line()).split(b" ")[0]
        talk.send(forged.replace(b"%t", tag))

    async with imap(forger, b"MULTIAPPEND LITERAL+") as (client, _):
        stream = client.append_batch(b"INBOX")
        stream.begin_message((), None, 2)
        stream.chunk(b"a")
        with pytest.raises(Unavailable) as caught:
            await client.keepalive()
        assert caught.value.cause is Cause.PROTOCOL_ERROR
        stream.chunk(b"b")
        stream.end_message()
        with pytest.raises(Unavailable):
            await stream.finish()


async def test_a_target_that_wants_less_haste_holds_the_source_back_meanwhile() -> None:
    clock, pressure = Clock(), []
    appending = Appending(b"OK [THROTTLED] slowly", plus=b"+")
    async with imap(appending, b"LITERAL+ MULTIAPPEND", clock=clock) as (client, _):
        client.tell_pressure(pressure.append)
        first = client.append_batch(b"INBOX")
        put(first, b"one")
        assert [r.stored for r in await first.finish()] == [True]
        second = client.append_batch(b"INBOX")
        put(second, b"two")
        assert (second.wants_pause, pressure) == (True, [True])
        finishing = ensureDeferred(second.finish())
        clock.advance(0.06)
        assert [r.stored for r in await finishing] == [True]
        assert pressure == [True, False]


async def test_messages_given_in_one_step_are_the_same_on_the_wire_and_go_out_together() -> None:
    for capabilities, commands in (
        (
            b"LITERAL+ MULTIAPPEND",
            [b'APPEND "INBOX" (\\Seen) "%b" {3+}<one> (\\Seen) "%b" {3+}<two>' % (DATE, DATE)],
        ),
        (b"LITERAL+", [b'APPEND "INBOX" (\\Seen) "%b" {3+}<%b>' % (DATE, body) for body in (b"one", b"two")]),
        (b"MULTIAPPEND", [b'APPEND "INBOX" (\\Seen) "%b" {3}<one> (\\Seen) "%b" {3}<two>' % (DATE, DATE)]),
    ):
        appending = Appending(b"OK done")
        async with imap(appending, capabilities) as (client, _):
            stream = client.append_batch(b"INBOX")
            for body in (b"one", b"two"):
                stream.whole(append_words([b"\\Seen"], DATE), memoryview(body))
            stream.flush()
            assert [r.stored for r in await stream.finish()] == [True, True]
        assert appending.commands == commands
