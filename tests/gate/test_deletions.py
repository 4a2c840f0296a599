"""A user whose program deletes mail while his account moves: through us it follows, behind our back it waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mailferry.frontends.driver import Door, DoorTerms
from mailferry.model.access import Protocol, TlsMode
from mailferry.model.account import Phase
from mailferry.model.causes import Cause
from mailferry.net.listen import bind, listen
from mailferry.observe.log import get_log
from mailferry.store import mailboxes
from tests.gate.conftest import MakeMove
from tests.kit.move import OLD, USER, Move
from tests.kit.scripted import Talk, dial, hang_up

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D17")]


@asynccontextmanager
async def client(move: Move, protocol: Protocol) -> AsyncIterator[Talk]:
    """A mail program that logged in through a door of ours."""
    from twisted.internet import reactor

    terms = DoorTerms(protocol, tls=TlsMode.NONE, plaintext_login=True)
    door = Door(terms, move.gate, reactor=reactor, log=get_log("test"))
    sock = bind("127.0.0.1", 0)
    listening = listen(reactor, sock, door.accept, contexts=None)
    sock.close()
    talk = await dial(listening.address.port)
    if protocol is Protocol.POP3:
        talk.send(b"USER %s\r\nPASS %s\r\n" % (USER.encode(), OLD))
        for _ in range(3):
            await talk.expect(b"+OK")
    else:
        talk.send(b'l LOGIN "%s" "%s"\r\n' % (USER.encode(), OLD))
        await talk.expect(b"l OK")
    try:
        yield talk
    finally:
        await listening.stop()
        await hang_up(talk)
        await door.drain(0)


def fill(move: Move, count: int, name: bytes = b"INBOX") -> None:
    store = move.source.mailstore(USER)
    if name != b"INBOX":
        store.create(name)
    for number in range(count):
        store.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (number, name), mailbox=name)


async def copied(move: Move, count: int) -> None:
    """Wait until so many messages are copied and noted."""
    from twisted.internet import reactor, task

    while True:
        account = move.account()
        if account is not None and account.last_result == "done" and account.copied == count:
            return
        await task.deferLater(reactor, 0.05, lambda: None)


def held(move: Move) -> int:
    account = move.account()
    assert account is not None
    return move.database.read_now("held", lambda conn: mailboxes.held_deletions(conn, account.id))


async def waits_for_approval(move: Move) -> None:
    from twisted.internet import reactor, task

    while (account := move.account()) is None or account.cause is not Cause.DELETIONS_HELD:
        await task.deferLater(reactor, 0.05, lambda: None)
    assert account.phase is Phase.PRECOPY


async def test_a_pop3_program_that_deletes_what_it_fetched_needs_nobodys_approval(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 12)
    async with client(move, Protocol.POP3) as talk:
        move.queue.begin()
        await copied(move, 12)
        for number in range(1, 13):
            talk.send(b"RETR %d\r\nDELE %d\r\n" % (number, number))
            await talk.expect(b"\r\n.\r\n+OK")
        talk.send(b"QUIT\r\n")
        await talk.expect(b"+OK")
        await talk.gone()
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
        move.queue.begin()
        await copied(move, 15)
        talk.send(b"b STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\nd IDLE\r\n")
        await talk.expect(b"+ ")
        await talk.gone()
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
        move.queue.begin()
        await copied(move, 12)
        inbox = move.source.mailstore(USER).inbox
        inbox.remove(list(inbox.messages))
        talk.send(b"QUIT\r\n")
        await talk.gone()
    await waits_for_approval(move)
    assert (held(move), len(move.target.mailstore(USER).inbox.messages)) == (12, 12)


async def test_deletions_that_were_never_made_final_excuse_nothing(begin: MakeMove) -> None:
    move = await begin()
    fill(move, 12)
    async with client(move, Protocol.POP3) as talk:
        move.queue.begin()
        await copied(move, 12)
        for number in range(1, 13):
            talk.send(b"DELE %d\r\n" % number)
            await talk.expect(b"+OK")
        talk.abort()
        await talk.gone()
        inbox = move.source.mailstore(USER).inbox
        inbox.remove(list(inbox.messages))
    await waits_for_approval(move)
    assert len(move.target.mailstore(USER).inbox.messages) == 12
