"""A user whose program deletes mail while his account moves: through us it follows, behind our back it waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mailferry.model.access import Protocol
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.store import mailboxes
from tests.gate.conftest import MakeMove
from tests.kit.move import USER, Move
from tests.kit.scripted import Talk, hang_up

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D17")]


@asynccontextmanager
async def client(move: Move, protocol: Protocol) -> AsyncIterator[Talk]:
    """A mail program that logged in through a door of ours."""
    talk = await move.program(protocol)
    try:
        yield talk
    finally:
        await hang_up(talk)


def fill(move: Move, count: int, name: bytes = b"INBOX") -> None:
    store = move.source.mailstore(USER)
    if name != b"INBOX":
        store.create(name)
    for number in range(count):
        store.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, name), mailbox=name)


async def copied(move: Move, count: int) -> None:
    """Wait until so many messages are copied and noted."""

    def noted() -> bool:
        account = move.known()
        return account.last_result in {"done", "waits"} and account.copied == count

    await move.until(noted)


def held(move: Move) -> int:
    return move.database.read_now("held", lambda conn: mailboxes.held_deletions(conn, move.known().id))


async def waits_for_approval(move: Move) -> None:
    await move.until(lambda: move.known().cause is Cause.DELETIONS_HELD)
    assert move.phase() is Phase.PRECOPY


async def test_a_pop3_program_that_deletes_what_it_fetched_needs_nobodys_approval(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 12)
    async with client(move, Protocol.POP3) as talk:
        await move.copy()
        await copied(move, 12)
        for number in range(1, 13):
            talk.send(b"RETR %d\r\nDELE %d\r\n" % (number, number))
            await talk.expect(b"\r\n.\r\n+OK")
        talk.send(b"QUIT\r\n")
        await talk.expect(b"+OK")
        await move.done(talk.gone())
    await move.wait_for(Phase.SWITCHED)
    assert not move.source.mailstore(USER).inbox.messages
    assert not move.target.mailstore(USER).inbox.messages
    account = move.account()
    assert account is not None
    assert (account.approved_at, account.cause, account.total, account.copied) == (None, None, 0, 0)


async def test_drafts_emptied_over_imap_need_nobodys_approval_while_the_session_stays(
    begin: MakeMove,
) -> None:
    move = await begin()
    fill(move, 3)
    fill(move, 12, b"Drafts")
    async with client(move, Protocol.IMAP) as talk:
        talk.send(b"a SELECT Drafts\r\n")
        await talk.expect(b"a OK")
        await move.copy()
        await copied(move, 15)
        talk.send(b"b STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\nd IDLE\r\n")
        await talk.expect(b"+ ")
        await move.done(talk.gone())
    await move.wait_for(Phase.SWITCHED)
    assert move.target.mailstore(USER).fingerprint() == move.source.mailstore(USER).fingerprint()
    assert len(move.target.mailstore(USER).inbox.messages) == 3
    account = move.account()
    assert account is not None
    assert account.approved_at is None


async def test_the_same_deletions_behind_our_back_wait_for_an_administrator(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 12)
    async with client(move, Protocol.POP3) as talk:
        await move.copy()
        await copied(move, 12)
        inbox = move.source.mailstore(USER).inbox
        inbox.remove(list(inbox.messages))
        talk.send(b"QUIT\r\n")
        await move.done(talk.gone())
    await waits_for_approval(move)
    assert (held(move), len(move.target.mailstore(USER).inbox.messages)) == (12, 12)


async def test_deletions_that_were_never_made_final_excuse_nothing(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 12)
    async with client(move, Protocol.POP3) as talk:
        await move.copy()
        await copied(move, 12)
        for number in range(1, 13):
            talk.send(b"DELE %d\r\n" % number)
            await talk.expect(b"+OK")
        talk.abort()
        await move.done(talk.gone())
        inbox = move.source.mailstore(USER).inbox
        inbox.remove(list(inbox.messages))
    await waits_for_approval(move)
    assert len(move.target.mailstore(USER).inbox.messages) == 12
