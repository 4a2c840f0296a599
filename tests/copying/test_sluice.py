"""One long FETCH led into batches: each message into the batch whose intent names it, or nowhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from mailferry.copying.batch import Batch
from mailferry.copying.book_entries import PendingIntent
from mailferry.copying.outgoing import Outgoing
from mailferry.copying.sluice import Sluice
from mailferry.model.mail import MessageFacts, body_digest
from mailferry.remote.imap_client import ImapClient
from tests.kit.scripted import Talk
from tests.remote.sessions import imap
from tests.remote.test_imap_append import take

BODY = b"Subject: x\r\n\r\nhello\r\n"
LITERAL = re.compile(rb"\{(\d+)\+\}\Z")


async def taking(talk: Talk) -> None:
    """A target that takes APPENDs of many messages and numbers what it got."""
    uid = 0
    while True:
        line = await talk.line()
        tag, first = line.split(b" ", 1)[0], uid + 1
        while (found := LITERAL.search(line)) is not None:
            await take(talk, int(found[1]))
            uid += 1
            line = await talk.line()
        talk.send(tag + b" OK [APPENDUID 7 %d:%d] done\r\n" % (first, uid))


@dataclass
class Bench:
    target: ImapClient
    waits: list[bool] = field(default_factory=list)

    def batch(self, *uids: int) -> Batch:
        by_uid = {uid: MessageFacts(uid, frozenset(), b"", len(BODY)) for uid in uids}
        return Batch(
            by_uid,
            PendingIntent(uids[0], 7, 1, 9, uids, 0.0),
            self.target,
            b"INBOX",
            outgoing={uid: Outgoing(uid, frozenset(), b"", len(BODY)) for uid in uids},
            arrived=lambda _: None,
        )

    def sluice(self, batches: int) -> Sluice:
        return Sluice(batches, self.waits.append)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with imap(taking, b"LITERAL+ MULTIAPPEND UIDPLUS") as (client, _):
        yield Bench(client)


def give(sluice: Sluice, uids: Sequence[int]) -> None:
    """Hand messages on as one read would, every other one in pieces."""
    for uid in uids:
        if uid % 2:
            sluice.whole(uid, memoryview(BODY))
        else:
            sluice.begin(uid, len(BODY))
            sluice.chunk(BODY[:5])
            sluice.chunk(BODY[5:])
            sluice.end()
    sluice.so_far()


async def told(batch: Batch) -> list[tuple[int, int | None]]:
    await batch.answered
    return [(uid, result.uid) for uid, result in batch.answers()]


async def test_messages_flow_into_one_batch_after_the_other() -> None:
    async with bench() as b:
        one, two, sluice = b.batch(1, 2, 3), b.batch(4, 5), b.sluice(2)
        sluice.add(one)
        sluice.add(two)
        give(sluice, [1, 2, 3, 4, 5])
        assert await told(one) == [(1, 1), (2, 2), (3, 3)]
        assert await told(two) == [(4, 4), (5, 5)]
        assert one.sink.digests == dict.fromkeys((1, 2, 3), body_digest(BODY))
        assert b.waits[-1] is False


@pytest.mark.hazard("D1")
async def test_the_source_waits_while_no_batch_is_open_for_what_follows() -> None:
    async with bench() as b:
        one, two, sluice = b.batch(1), b.batch(2), b.sluice(2)
        sluice.add(one)
        give(sluice, [1])
        assert b.waits[-1] is True
        give(sluice, [2])  # it comes nevertheless: no octet of it is sent without its intent
        assert sluice.let_go == 1
        sluice.add(two)
        assert b.waits[-1] is False
        sluice.finish()
        assert await told(one) == [(1, 1)]
        assert await told(two) == []
        assert two.unread() == {2}


@pytest.mark.hazard("D1")
async def test_a_message_out_of_order_is_let_go_and_its_batch_knows() -> None:
    async with bench() as b:
        one, two, sluice = b.batch(1, 2), b.batch(3, 4), b.sluice(2)
        sluice.add(one)
        sluice.add(two)
        give(sluice, [1, 3, 2, 4, 99])
        sluice.finish()
        assert await told(one) == [(1, 1)]
        assert await told(two) == [(3, 2), (4, 3)]
        assert (one.unread(), two.unread(), sluice.let_go) == ({2}, set(), 2)


async def test_when_the_source_gives_no_more_every_batch_is_closed_even_one_that_comes_later() -> None:
    async with bench() as b:
        one, late, sluice = b.batch(1, 2), b.batch(3), b.sluice(3)
        sluice.add(one)
        give(sluice, [1])
        sluice.finish()
        sluice.add(late)
        assert await told(one) == [(1, 1)]
        assert await told(late) == []
        assert b.waits[-1] is False


async def test_what_is_abandoned_gets_not_even_the_rest_of_its_message() -> None:
    async with bench() as b:
        one, sluice = b.batch(1), b.sluice(1)
        sluice.add(one)
        sluice.begin(1, 10)
        sluice.chunk(b"12345")
        assert sluice.inside
        sluice.abandon()
        sluice.chunk(b"67890")
        sluice.end()
        assert not sluice.inside
        assert one.unread() == {1}
