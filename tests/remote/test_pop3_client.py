"""A POP3 session of our own: replies in order, bodies streamed, dots taken out."""

from __future__ import annotations

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from mailferry.model.causes import Cause, Refused, Unavailable
from tests.kit.scripted import Script, Talk
from tests.remote.sessions import Collected, pop3


def saying(*answers: bytes) -> Script:
    """Answer each line with the next of `answers`."""

    async def run(talk: Talk) -> None:
        for answer in answers:
            await talk.line()
            talk.send(answer)

    return run


def leaving(words: bytes) -> Script:
    async def run(talk: Talk) -> None:
        await talk.line()
        talk.send(words)
        talk.close()

    return run


def serving(*messages: bytes, ending: bytes = b".\r\n") -> Script:
    """A maildrop whose messages go over the wire as they are given; NOOP is answered."""

    async def run(talk: Talk) -> None:
        while True:
            verb, _, rest = (await talk.line()).partition(b" ")
            if verb == b"NOOP":
                talk.send(b"+OK\r\n")
            else:
                talk.send(b"+OK\r\n" + messages[int(rest.split()[0]) - 1] + ending)

    return run


async def test_the_maildrop_is_told() -> None:
    script = saying(
        b"+OK 3 900\r\n",
        b"+OK 3 messages\r\n1 300\r\n2 300 more words\r\n3 300\r\n.\r\n",
        b"+OK\r\n1 xtbBLQwAABrqlERZ8pmJc6\r\n2 a..b\r\n..\r\n.\r\n".replace(b"..\r\n", b""),
        b"-ERR what\r\n",
        b"+OK\r\nTOP\r\nPipelining\r\nSASL PLAIN\r\n.\r\n",
    )
    async with pop3(script) as (client, rec):
        assert await client.stat() == (3, 900)
        assert await client.list() == {1: 300, 2: 300, 3: 300}
        assert await client.uidl() == {1: b"xtbBLQwAABrqlERZ8pmJc6", 2: b"a..b"}
        assert await client.capa() == frozenset()
        assert await client.capa() == {b"TOP", b"PIPELINING", b"SASL"}
        assert rec.received == b"STAT\r\nLIST\r\nUIDL\r\nCAPA\r\nCAPA\r\n"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"a: b\r\n\r\nhello\r\n.\r\n", b"a: b\r\n\r\nhello\r\n"),
        (b"..dots\r\n...\r\nx.\r\n.\r\n", b".dots\r\n..\r\nx.\r\n"),
        (b".\r\n", b""),
        (b"bare\nlf\n.\r\n", b"bare\nlf\n"),
    ],
)
async def test_a_body_is_un_stuffed_whatever_its_segments(wire: bytes, body: bytes) -> None:
    async def dribble(talk: Talk) -> None:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        await talk.line()
        for octet in b"+OK here it is\r\n" + wire + b"+OK noop\r\n":
            talk.send(bytes([octet]))
            await deferLater(reactor, 0, lambda: None)

    async with pop3(dribble) as (client, rec):
        sink = Collected()
        await client.fetch([7], sink)
        assert sink.messages == {7: body}
        assert sink.sizes == {7: None}
        assert rec.received == b"RETR 7\r\nNOOP\r\n"


async def test_without_pipelining_each_command_waits_for_the_reply_before_it() -> None:
    async def strict(talk: Talk) -> None:
        for number in (1, 2, 3):
            assert await talk.line() == b"TOP %d 0" % number
            assert len(talk.received) == talk._taken, "a command before the reply"
            talk.send(b"+OK\r\nsubject: %d\r\n\r\n.\r\n" % number)
        assert await talk.line() == b"NOOP"
        talk.send(b"+OK\r\n")

    async with pop3(strict) as (client, _):
        sink = Collected()
        await client.fetch([1, 2, 3, 2], sink, top_lines=0)
        assert sink.messages == {n: b"subject: %d\r\n\r\n" % n for n in (1, 2, 3)}


async def test_with_pipelining_a_window_of_64_is_on_its_way() -> None:
    async def windowed(talk: Talk) -> None:
        for _ in range(64):
            await talk.line()
        talk.send(b"".join(b"+OK\r\nm%d\r\n.\r\n" % n for n in range(1, 65)))
        for number in range(65, 101):
            await talk.line()
            talk.send(b"+OK\r\nm%d\r\n.\r\n" % number)
        assert await talk.line() == b"NOOP"
        talk.send(b"+OK\r\n")

    async with pop3(windowed, b"PIPELINING") as (client, _):
        sink = Collected()
        outcome = await client.fetch(range(1, 101), sink)
        assert sink.messages == {n: b"m%d\r\n" % n for n in range(1, 101)}
        assert outcome.refused == {}


async def test_one_refused_message_does_not_stop_the_rest() -> None:
    script = saying(
        b"+OK\r\none\r\n.\r\n",
        b"-ERR Can't get the letter xtb[301], try again later\r\n",
        b"+OK\r\nthree\r\n.\r\n",
        b"-ERR what is NOOP\r\n",
    )
    async with pop3(script) as (client, _):
        sink = Collected()
        outcome = await client.fetch([1, 2, 3], sink)
        assert sorted(sink.messages) == [1, 3]
        assert isinstance(outcome.refused[2], Unavailable)
        assert "xtb" in outcome.refused[2].text


async def test_a_refusal_names_its_cause() -> None:
    async with pop3(saying(b"-ERR unknown command\r\n", b"-ERR Download exceed. msg=10\r\n")) as (client, _):
        with pytest.raises(Refused):
            await client.uidl()
        with pytest.raises(Unavailable) as caught:
            await client.stat()
        assert caught.value.cause is Cause.RATE_LIMITED
        assert not client.closed


@pytest.mark.hazard("D4")
@pytest.mark.parametrize(
    "words",
    [
        b"+OK\r\n",
        b"+OK\r\nhalf a mess",
        b"+OK\r\nall but the dot\r\n",
        b"+OK\r\nx\r\n.",
        b"+OK\r\nnobody says whether this was all\r\n.\r\n",
    ],
)
async def test_a_body_that_breaks_off_is_broken_and_never_ended(words: bytes) -> None:
    async with pop3(leaving(words)) as (client, _):
        sink = Collected()
        with pytest.raises(Unavailable):
            await client.fetch([1], sink)
        assert sink.events == ["begin 1", "broken 1"]


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (b"", Cause.SERVER_DOWN),
        (b"hello\r\n", Cause.PROTOCOL_ERROR),
        (b"+OK nonsense\r\n", Cause.PROTOCOL_ERROR),
        (b"+OK " + b"x" * 10_000 + b"\r\n", Cause.PROTOCOL_ERROR),
    ],
)
async def test_a_session_that_breaks_is_unavailable(words: bytes, cause: Cause) -> None:
    async with pop3(leaving(words)) as (client, _):
        with pytest.raises(Unavailable) as caught:
            await client.stat()
        assert caught.value.cause is cause


@pytest.mark.parametrize(
    "listing", [b"1 x\r\n.\r\n", b"zero\r\n.\r\n", b"1 " + b"9" * 5000 + b"\r\n.\r\n", b"x" * 5000]
)
async def test_a_listing_that_is_none_ends_the_session(listing: bytes) -> None:
    async with pop3(saying(b"+OK\r\n" + listing)) as (client, _):
        with pytest.raises(Unavailable) as caught:
            await client.list()
        assert caught.value.cause is Cause.PROTOCOL_ERROR


async def test_words_that_nobody_asked_for_end_the_session_with_their_reason() -> None:
    async def autologout(talk: Talk) -> None:
        await talk.line()
        talk.send(b"+OK 0 0\r\n-ERR [SYS/TEMP] autologout\r\n")

    async with pop3(autologout) as (client, rec):
        assert await client.stat() == (0, 0)
        await (await rec.talk()).gone()
        with pytest.raises(Unavailable, match="autologout"):
            await client.stat()


async def test_silence_ends_the_session_but_not_while_we_pause() -> None:
    clock = Clock()

    async def mute(talk: Talk) -> None:
        await talk.line()

    async with pop3(mute, clock=clock) as (client, rec):
        waiting = ensureDeferred(client.stat())
        talk = await rec.talk()
        await talk.until(lambda: b"STAT" in talk.received)
        client.pause()
        clock.pump([100.0] * 10)
        assert not client.closed
        client.resume()
        clock.pump([119.0, 120.0])
        with pytest.raises(Unavailable, match="no reply to STAT in 120 s"):
            await waiting


async def test_what_a_sink_raises_comes_out_of_the_fetch() -> None:
    class Full(Collected):
        def chunk(self, data: bytes) -> None:
            raise OSError("no room")

    async with pop3(saying(b"+OK\r\nx\r\n.\r\n")) as (client, _):
        sink = Full()
        with pytest.raises(OSError, match="no room"):
            await client.fetch([1], sink)
        assert sink.events == ["begin 1", "broken 1"]


async def test_quit_is_said_once_and_a_close_is_as_good() -> None:
    for script in (saying(b"+OK bye\r\n"), leaving(b"")):
        async with pop3(script) as (client, rec):
            await client.quit()
            await client.quit()
            assert rec.received == b"QUIT\r\n"
            assert client.closed


async def test_quit_does_not_wait_behind_a_message_that_is_on_its_way() -> None:
    async def begun(talk: Talk) -> None:
        await talk.line()
        talk.send(b"+OK\r\nand it goes on and on")

    async with pop3(begun) as (client, rec):
        fetching = ensureDeferred(client.fetch([1], Collected()))
        talk = await rec.talk()
        await talk.until(lambda: b"RETR" in talk.received)
        await client.quit()
        with pytest.raises(Unavailable):
            await fetching
        assert b"QUIT" not in rec.received


async def test_a_server_that_never_answers_quit_is_left_after_two_seconds() -> None:
    clock = Clock()

    async def mute(talk: Talk) -> None:
        await talk.line()

    async with pop3(mute, clock=clock) as (client, rec):
        leaving = ensureDeferred(client.quit())
        talk = await rec.talk()
        await talk.until(lambda: b"QUIT" in talk.received)
        clock.advance(2.0)
        await leaving
        assert client.closed


async def test_capa_tells_how_long_to_wait_between_logins() -> None:
    async with pop3(saying(b"+OK\r\nLOGIN-DELAY 900 USER\r\n.\r\n")) as (client, _):
        await client.capa()
        assert client.login_delay == 900


LONE_DOT = b"Subject: lone\r\n\r\nabove\r\n.\r\nbelow\r\n"


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("capabilities", [b"", b"PIPELINING"])
async def test_a_lone_dot_that_was_not_stuffed_ends_no_message(capabilities: bytes) -> None:
    messages = (b"one\r\n", LONE_DOT, b"three\r\n", b".four\r\n..\r\n", LONE_DOT)
    async with pop3(serving(*messages), capabilities) as (client, _):
        sink = Collected()
        outcome = await client.fetch([1, 2, 3, 4, 5], sink)
        assert outcome.refused == {}
        assert sink.messages == dict(enumerate(messages, 1))


async def test_dots_taken_out_before_it_was_known_that_nothing_is_stuffed_are_put_back() -> None:
    message = b"..two of its own\r\n" + b"x" * 70_000 + b"\r\n.one\r\n"
    async with pop3(serving(message, b"last\r\n")) as (client, rec):
        sink = Collected()
        await client.fetch([1, 2], sink)
        assert sink.messages == {1: message, 2: b"last\r\n"}
        assert rec.received.count(b"RETR 1\r\n") == 2


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("capabilities", [b"", b"PIPELINING"])
async def test_a_last_line_without_its_end_glues_no_two_messages_together(capabilities: bytes) -> None:
    messages = (b"Subject: 1\r\n\r\nno end", b"Subject: 2\r\n\r\nnone here", b"Subject: 3\r\n\r\n")
    async with pop3(serving(*messages), capabilities) as (client, _):
        sink = Collected()
        sizes = {number: len(octets) for number, octets in enumerate(messages, 1)}
        await client.fetch([1, 2, 3], sink, sizes=sizes)
        assert sink.messages == dict(enumerate(messages, 1))
