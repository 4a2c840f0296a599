"""Bodies by FETCH: streamed, whole or broken, never half; whatever a server does around them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock, deferLater

from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.remote.imap_answers import AnswerReader
from mailferry.remote.imap_fetch import AWAITED, BODY, BodyReader
from mailferry.remote.message_sink import WholeSink
from tests.kit.scripted import Talk
from tests.remote.sessions import Collected, answering, commands_of, imap

ONE = b"From: a\r\n\r\nhello\r\n"


def literal(body: bytes) -> bytes:
    return b"{%d}\r\n" % len(body) + body


def fetched(uid: int, body: bytes) -> bytes:
    return b"* %d FETCH (UID %d BODY[] " % (uid, uid) + literal(body) + b")\r\n"


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        pytest.param(fetched(5, ONE), {5: ONE}, id="the usual order"),
        pytest.param(
            b"* 1 FETCH (BODY[] " + literal(ONE) + b" UID 5)\r\n", {5: ONE}, id="UID behind the body"
        ),
        pytest.param(
            b"* 1 FETCH (FLAGS (\\Seen $A) UID 5 MODSEQ (12) BODY[] " + literal(ONE) + b")\r\n",
            {5: ONE},
            id="other items before",
        ),
        pytest.param(
            b"* 1 FETCH (UID 5 BODY[] " + literal(ONE) + b" FLAGS (\\Seen))\r\n", {5: ONE}, id="flags behind"
        ),
        pytest.param(
            b"* 0 fetch (uid 5 body[] " + literal(ONE) + b")\r\n", {5: ONE}, id="small letters, number 0"
        ),
        pytest.param(b'* 1 FETCH (UID 5 BODY[] "a \\"b\\\\ c")\r\n', {5: b'a "b\\ c'}, id="a quoted string"),
        pytest.param(b'* 1 FETCH (BODY[] "" UID 5)\r\n', {5: b""}, id="an empty quoted string"),
        pytest.param(fetched(5, b""), {5: b""}, id="an empty literal"),
        pytest.param(
            b"* 1 FETCH (UID 5 BODY[] ~" + literal(b"a\0b") + b")\r\n", {5: b"a\0b"}, id="literal8 with NUL"
        ),
        pytest.param(
            b"* 9 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 2 EXPUNGE\r\n"
            + fetched(5, ONE)
            + b"* 3 FETCH (UID 9 FLAGS ())\r\n* OK still here {5}\r\n",
            {5: ONE},
            id="others in between",
        ),
        pytest.param(fetched(5, ONE) + fetched(5, ONE), {5: ONE}, id="sent twice, taken once"),
        pytest.param(fetched(77, b"nobody's") + fetched(5, ONE), {5: ONE}, id="a body that nobody asked for"),
    ],
)
async def test_a_body_arrives_in_whatever_form_it_comes(answer: bytes, messages: dict[int, bytes]) -> None:
    async with imap(answering(answer + b"%t OK done\r\n")) as (client, rec):
        sink = Collected()
        outcome = await client.fetch_bodies([5], sink)
        assert messages == sink.messages
        assert outcome.missing == ()
        assert commands_of(rec) == [b"UID FETCH 5 (UID BODY.PEEK[])"]


@pytest.mark.hazard("D4")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"* 1 FETCH (UID 5 BODY[] {10}\r\n0123456789x)\r\n", id="one octet more than announced"),
        pytest.param(
            b"* 1 FETCH (UID 5 BODY[] {10}\r\n0123456789 ab cd)\r\n", id="a rest that looks like items"
        ),
        pytest.param(b"* 1 FETCH (UID 5 BODY[] {10}\r\n0123456789\r\n)\r\n", id="a line more than announced"),
        pytest.param(
            b"* 1 FETCH (UID 5 BODY[] {10}\r\n01234567)\r\n* 2 EXISTS\r\n",
            id="two octets fewer than announced",
        ),
        pytest.param(b"* 1 FETCH (UID 5 BODY[] {10}\r\n0123456789))\r\n", id="a bracket too many"),
        pytest.param(b"* 1 FETCH (BODY[] {2}\r\nab UID 6)\r\n", id="the body of another message"),
        pytest.param(b"* 1 FETCH (BODY[] {2}\r\nab)\r\n", id="no UID at all"),
        pytest.param(b"* 1 FETCH (UID 5 BODY[] {2}\r\nab BODY[] {2}\r\ncd)\r\n", id="two bodies"),
    ],
)
async def test_an_unsound_answer_breaks_the_message_and_the_session(answer: bytes) -> None:
    async with imap(answering(answer + b"%t OK done\r\n")) as (client, _):
        sink = Collected()
        with pytest.raises(Unavailable) as caught:
            await client.fetch_bodies([5], sink)
        assert caught.value.cause is Cause.PROTOCOL_ERROR
        assert sink.messages == {}
        assert sink.events == ["begin 5", "broken 5"]
        assert client.closed


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("octets", [0, 1, 40, 999, 1000, 1001, 1003])
async def test_a_literal_that_breaks_off_is_broken_and_never_ended(octets: int) -> None:
    async def cut(talk: Talk) -> None:
        await talk.line()
        whole = b"* 1 FETCH (UID 5 BODY[] {1000}\r\n" + b"x" * 1000 + b")\r\n"
        head = whole.index(b"\r\n") + 2
        talk.send(whole[: head + octets])
        talk.close()

    async with imap(cut) as (client, _):
        sink = Collected()
        with pytest.raises(Unavailable) as caught:
            await client.fetch_bodies([5], sink)
        assert caught.value.cause is Cause.SERVER_DOWN
        if octets < 1003:
            assert sink.events == ["begin 5", "broken 5"]
        else:
            assert sink.messages == {5: b"x" * 1000}


@pytest.mark.hazard("D3")
async def test_a_message_left_out_is_asked_for_again_and_then_reported_as_missing() -> None:
    script = answering(
        fetched(1, ONE) + b"* 2 FETCH (UID 2 BODY[] NIL)\r\n%t OK done\r\n",
        fetched(3, ONE) + b"%t OK done\r\n",
    )
    async with imap(script) as (client, rec):
        sink = Collected()
        outcome = await client.fetch_bodies([3, 1, 2], sink)
        assert sorted(sink.messages) == [1, 3]
        assert outcome.missing == (2,)
        assert outcome.refused == {}
        assert commands_of(rec) == [b"UID FETCH 1:3 (UID BODY.PEEK[])", b"UID FETCH 2:3 (UID BODY.PEEK[])"]


async def test_a_header_where_the_body_was_asked_for_is_not_taken_for_the_body() -> None:
    wrong = b"* 1 FETCH (UID 5 BODY[HEADER] {4}\r\na\r\n\r)\r\n%t OK done\r\n"
    async with imap(answering(wrong, wrong)) as (client, _):
        sink = Collected()
        outcome = await client.fetch_bodies([5], sink)
        assert (outcome.missing, sink.events) == ((5,), [])


async def test_one_refused_message_does_not_stop_the_rest() -> None:
    script = answering(
        fetched(1, ONE) + b"%t NO some messages could not be fetched\r\n",
        b"%t NO this one never\r\n",
        fetched(3, ONE) + b"%t OK\r\n",
    )
    async with imap(script) as (client, _):
        sink = Collected()
        outcome = await client.fetch_bodies([1, 2, 3], sink)
        assert sorted(sink.messages) == [1, 3]
        assert list(outcome.refused) == [2]
        assert isinstance(outcome.refused[2], Refused)
        assert outcome.refused[2].text == "this one never"
        assert not client.closed


async def test_a_server_that_wants_us_later_is_not_asked_on() -> None:
    script = answering(fetched(1, ONE) + b"%t NO [LIMIT] UID FETCH Rate limit hit.\r\n")
    async with imap(script) as (client, rec):
        sink = Collected()
        with pytest.raises(Unavailable) as caught:
            await client.fetch_bodies([1, 2], sink)
        assert caught.value.cause is Cause.RATE_LIMITED
        assert sorted(sink.messages) == [1]
        assert len(commands_of(rec)) == 1
        assert not client.closed


async def test_a_server_that_names_uids_behind_bodies_is_asked_for_one_at_a_time() -> None:
    def late(uid: int, body: bytes) -> bytes:
        return b"* 1 FETCH (BODY[] " + literal(body) + b" UID %d)\r\n" % uid

    async def exchange(talk: Talk) -> None:
        while True:
            tag, words = (await talk.line()).split(b" ", 1)
            uids = {b"1:3": [1, 2, 3], b"7:8": [7, 8]}.get(words.split()[2]) or [int(words.split()[2])]
            talk.send(b"".join(late(uid, b"body %d" % uid) for uid in uids) + tag + b" OK done\r\n")

    async with imap(exchange) as (client, rec):
        sink = Collected()
        await client.fetch_bodies([1, 2, 3], sink)
        assert sink.messages == {uid: b"body %d" % uid for uid in (1, 2, 3)}
        await client.fetch_bodies([7, 8], sink)
        assert len(sink.messages) == 5
        sets = [words.split()[2] for words in commands_of(rec)]
        assert sets == [b"1:3", b"1", b"2", b"3", b"7", b"8"]


async def test_headers_come_by_the_same_way() -> None:
    script = answering(b"* 1 FETCH (UID 5 BODY[HEADER] {4}\r\na:\r\n)\r\n%t OK\r\n")
    async with imap(script) as (client, rec):
        sink = Collected()
        await client.fetch_headers([5], sink)
        assert sink.messages == {5: b"a:\r\n"}
        assert commands_of(rec) == [b"UID FETCH 5 (UID BODY.PEEK[HEADER])"]


async def test_a_large_message_passes_in_small_pieces_and_pauses_when_told() -> None:
    size = 20_000_000

    async def large(talk: Talk) -> None:
        tag = (await talk.line()).split(b" ", 1)[0]
        talk.send(b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % size)
        for _ in range(size // 100_000):
            talk.send(b"x" * 100_000)
        talk.send(b")\r\n" + tag + b" OK done\r\n")

    class Counting(Collected):
        seen = 0
        paused_at: int | None = None

        def chunk(self, data: bytes) -> None:
            self.seen += len(data)
            self.largest_chunk = max(self.largest_chunk, len(data))
            if self.seen > 1_000_000 and self.paused_at is None:
                self.paused_at = self.seen
                client.pause()
                reactor.callLater(0.05, resumed)

    from twisted.internet import reactor

    seen_while_paused = []

    def resumed() -> None:
        seen_while_paused.append(sink.seen)
        client.resume()

    async with imap(large) as (client, _):
        sink = Counting()
        await client.fetch_bodies([1], sink)
        assert sink.seen == size
        assert sink.largest_chunk <= 1 << 18
        assert sink.paused_at is not None
        assert seen_while_paused[0] - sink.paused_at < 1 << 18


async def test_silence_ends_the_session_but_not_while_we_pause() -> None:
    clock = Clock()

    async def half(talk: Talk) -> None:
        await talk.line()
        talk.send(b"* 1 FETCH (UID 1 BODY[] {1000}\r\nxxxx")

    from twisted.internet import defer

    arrived: defer.Deferred[None] = defer.Deferred()

    class Noticing(Collected):
        def chunk(self, data: bytes) -> None:
            super().chunk(data)
            arrived.callback(None)

    async with imap(half, clock=clock) as (client, _):
        sink = Noticing()
        fetching = defer.ensureDeferred(client.fetch_bodies([1], sink))
        await arrived
        client.pause()
        clock.pump([100.0] * 20)
        assert not client.closed
        client.resume()
        clock.advance(100)
        assert not client.closed
        clock.pump([100.0, 100.0])
        with pytest.raises(Unavailable, match="no answer to fetch in 120 s"):
            await fetching
        assert sink.events == ["begin 1", "broken 1"]


async def test_what_a_sink_raises_comes_out_of_the_fetch() -> None:
    class Full(Collected):
        def chunk(self, data: bytes) -> None:
            raise OSError("no room")

    async with imap(answering(fetched(5, ONE) + b"%t OK\r\n")) as (client, _):
        sink = Full()
        with pytest.raises(OSError, match="no room"):
            await client.fetch_bodies([5], sink)
        assert sink.events == ["begin 5", "broken 5"]
        assert client.closed


async def test_long_sets_are_split_as_the_profile_says() -> None:
    async def all_missing(talk: Talk) -> None:
        while True:
            tag = (await talk.line()).split(b" ", 1)[0]
            talk.send(tag + b" OK\r\n")

    async with imap(all_missing) as (client, rec):
        outcome = await client.fetch_bodies(range(1_000_000, 1_008_000, 2), Collected())
        assert len(outcome.missing) == 4000
        assert max(len(line) for line in rec.received.split(b"\r\n")) <= 8000


ANSWER = (
    b"* 4 EXISTS\r\n"
    + fetched(1, ONE)
    + b"* 2 FETCH (BODY[] NIL UID 2)\r\n* 3 FETCH (UID 3 FLAGS (\\Seen) BODY[] "
    + literal(b"\r\n)\r\n* 3 FETCH (UID 4 BODY[] {9}\r\n")
    + b" MODSEQ (9))\r\n"
    + fetched(4, b"")
)


@given(st.lists(st.integers(1, 40), max_size=60))
def test_any_segmentation_gives_the_same_messages(cuts: list[int]) -> None:
    sink = Collected()
    reader = BodyReader([1, 2, 3, 4], BODY, sink)
    others: list[object] = []
    answers = AnswerReader(lambda: reader, others.append)
    at = 0
    for cut in cuts:
        answers.feed(ANSWER[at : at + cut])
        at += cut
    answers.feed(ANSWER[at:])
    assert sink.messages == {1: ONE, 3: b"\r\n)\r\n* 3 FETCH (UID 4 BODY[] {9}\r\n", 4: b""}
    assert reader.wanted == {2}
    assert len(others) == 1


@given(st.binary(max_size=300))
def test_hostile_octets_end_in_unavailable_or_in_nothing(junk: bytes) -> None:
    sink = Collected()
    reader = BodyReader([1, 2], BODY, sink)
    answers = AnswerReader(lambda: reader, lambda _: None)
    try:
        answers.feed(b"* 1 FETCH (UID 1 BODY[] {5}\r\n" + junk)
        answers.feed(b"\r\n* 2 FETCH (" + junk + b")\r\n")
    except Unavailable:
        reader.broken()
    for body in sink.messages.values():
        assert len(body) <= 300


class Whole(Collected, WholeSink):
    """A sink that takes small messages in one step; `pause_at` are UIDs at which it has enough for now."""

    pause_at: frozenset[int] = frozenset()
    reads: int = 0
    pause: Callable[[], None] = staticmethod(lambda: None)

    def whole(self, key: int, octets: memoryview) -> None:
        assert key not in self.messages, "a message twice"
        self.messages[key] = bytes(octets)
        self.events.append(f"whole {key}")
        if key in self.pause_at:
            self.pause()

    def so_far(self) -> None:
        self.reads += 1


MANY = {uid: b"Subject: %d\r\n\r\n" % uid + b"y" * uid * 7 for uid in range(1, 41)}


@given(cuts=st.lists(st.integers(0, 12_000), max_size=6))
def test_many_small_messages_are_the_same_however_the_network_cuts_them(cuts: list[int]) -> None:
    octets = b"".join(
        fetched(uid, body)
        if uid % 7
        else b"* %d FETCH (FLAGS () UID %d BODY[] " % (uid, uid) + literal(body) + b")\r\n"
        for uid, body in MANY.items()
    )
    sink = Whole()
    reader = BodyReader(MANY, BODY, sink)
    answers = AnswerReader(lambda: reader, lambda _: None)
    bounds = sorted({0, len(octets), *(min(cut, len(octets)) for cut in cuts)})
    for start, end in itertools.pairwise(bounds):
        answers.feed(octets[start:end])
    assert sink.messages == MANY
    assert not reader.wanted
    assert list(sink.messages) == sorted(MANY)


@pytest.mark.parametrize(
    ("size", "first"), [(AWAITED, []), (AWAITED + 1, ["begin 1"])], ids=["small", "larger"]
)
def test_only_a_small_message_waits_for_the_rest_of_it(size: int, first: list[str]) -> None:
    octets, sink = fetched(1, b"x" * size), Whole()
    reader = BodyReader([1], BODY, sink)
    answers = AnswerReader(lambda: reader, lambda _: None)
    for place in (40, len(octets) - 1):
        answers.feed(octets[:place] if place == 40 else octets[40:place])
        assert sink.events[:1] == first
    answers.feed(octets[-1:])
    assert sink.messages == {1: b"x" * size}
    assert (sink.events == ["whole 1"]) is (not first)


@pytest.mark.hazard("D4")
@pytest.mark.parametrize("behind", [b"x)\r\n", b" FLAGS ())\r\nx", b")x\r\n"])
async def test_a_small_message_whose_answer_is_unsound_is_not_taken_in_one_step(behind: bytes) -> None:
    broken = b"* 2 FETCH (UID 2 BODY[] {5}\r\nhello" + behind
    async with imap(answering(fetched(1, ONE) + broken + b"%t OK done\r\n")) as (client, _):
        sink = Whole()
        with contextlib.suppress(Unavailable):
            await client.fetch_bodies([1, 2], sink)
        assert sink.messages[1] == ONE
        assert "whole 2" not in sink.events


async def test_a_paused_session_hands_nothing_on_until_it_is_resumed() -> None:
    answer = b"".join(fetched(uid, ONE) for uid in range(1, 9)) + b"%t OK done\r\n"
    async with imap(answering(answer)) as (client, rec):
        sink = Whole()
        sink.pause_at, sink.pause = frozenset({3}), client.pause
        fetching = ensureDeferred(client.fetch_bodies_once(range(1, 9), sink))
        await rec.talk()
        while len(sink.messages) < 3:
            await turns(1)
        await turns(20)
        assert list(sink.messages) == [1, 2, 3]
        client.resume()
        assert (await fetching).missing == ()
        assert list(sink.messages) == list(range(1, 9))


async def test_what_came_before_the_end_is_handed_on_although_reading_was_paused_then() -> None:
    async def gone(talk: Talk) -> None:
        await talk.line()
        talk.send(b"".join(fetched(uid, ONE) for uid in range(1, 6)))
        talk.close()

    async with imap(gone) as (client, _):
        sink = Whole()
        sink.pause_at, sink.pause = frozenset({2}), client.pause
        fetching = ensureDeferred(client.fetch_bodies_once(range(1, 9), sink))
        while len(sink.messages) < 2:
            await turns(1)
        await turns(20)
        client.resume()
        with pytest.raises(Unavailable):
            await fetching
        assert list(sink.messages) == [1, 2, 3, 4, 5]


async def turns(number: int) -> None:
    """Let the reactor go round."""
    from twisted.internet import reactor

    for _ in range(number):
        await deferLater(reactor, 0, lambda: None)
