"""What sessions deleted at the source reaches the store: once a second, and with the session's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock

from mailferry.gate.live_sessions import CLOSE_RETRY_SECONDS, Live, SessionBook
from mailferry.model.access import Protocol
from mailferry.model.tap import ANY_MAILBOX, UNKNOWN_MANY, Deletions
from mailferry.observe.log import get_log
from mailferry.store import deletions, sessions
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.faults import StoreUnavailable
from mailferry.wire.proxy_header import Endpoint
from tests.store.rows import node, precopy


@dataclass
class Rows:
    """A book, one account, and the deletions of its one session."""

    store: Database
    clock: Clock
    book: SessionBook
    account: Account
    deleted: Deletions = field(default_factory=Deletions)

    async def session(self) -> Live:
        live = await self.book.open_row(self.account, Protocol.IMAP, Endpoint("192.0.2.1", 1))
        live.attach(self)
        return live

    def stop(self) -> None:
        pass

    def abort(self, reason: str) -> None:
        pass

    def quiet_for(self) -> None:
        return None

    def deletions(self) -> Deletions:
        return self.deleted

    @property
    def seen(self) -> int:
        return sum(self.by_mailbox.values())

    @property
    def by_mailbox(self) -> Mapping[bytes, int]:
        return self.store.read_now("seen", lambda conn: deletions.seen(conn, self.account.id))

    @property
    def open(self) -> int:
        return len(self.store.read_now("rows", lambda conn: sessions.of_account(conn, self.account.id)))


def rows(store: Database) -> Rows:
    here, clock = node(store), Clock()
    book = SessionBook(store, node=lambda: here, reactor=clock, quiet_seconds=1.0, log=get_log("test"))
    return Rows(store, clock, book, precopy(store))


async def test_the_poll_tells_what_is_new_and_nothing_twice(store: Database) -> None:
    row = rows(store)
    await row.session()
    for deleted, expected in (
        (Deletions(), 0),
        (Deletions(3), 3),
        (Deletions(3), 3),
        (Deletions(5), 5),
        (Deletions(5, 1), 5 + UNKNOWN_MANY),
    ):
        row.deleted = deleted
        await row.book.poll()
        assert row.seen == expected
    row.store.run_now("used", lambda conn: deletions.take_off(conn, row.account.id, {ANY_MAILBOX: 4}))
    await row.book.poll()
    assert row.seen == 1 + UNKNOWN_MANY


async def test_each_mailbox_has_its_own_number(store: Database) -> None:
    row = rows(store)
    live = await row.session()
    row.deleted = Deletions(3, mailboxes={b"INBOX": 3})
    await row.book.poll()
    row.deleted = Deletions(5, mailboxes={b"INBOX": 3, b"Work": 2})
    await row.book.poll()
    assert row.by_mailbox == {b"INBOX": 3, b"Work": 2}
    row.deleted = Deletions(6, mailboxes={b"INBOX": 4, b"Work": 2})
    live.ended()
    await row.book.settled()
    assert row.by_mailbox == {b"INBOX": 4, b"Work": 2}


async def test_only_news_are_written(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    row = rows(store)
    await row.session()
    written: list[str] = []
    run = store.run

    def noted(name: str, *rest: object, **more: object) -> object:
        written.append(name)
        return run(name, *rest, **more)

    monkeypatch.setattr(store, "run", noted)
    for number in (0, 0, 2, 2, 2):
        row.deleted = Deletions(number)
        await row.book.poll()
    assert written == ["deletions seen"]


@pytest.mark.parametrize("told", [0, 3, 12])
async def test_the_sessions_end_tells_the_rest_together_with_its_row(store: Database, told: int) -> None:
    row = rows(store)
    live = await row.session()
    row.deleted = Deletions(told)
    await row.book.poll()
    assert (row.open, row.seen) == (1, told)
    row.deleted = Deletions(12)
    live.ended()
    row.deleted = Deletions(99)
    live.ended()
    await row.book.settled()
    assert (row.open, row.seen) == (0, 12)


async def test_a_store_that_does_not_answer_is_told_later_and_once(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = rows(store)
    live = await row.session()
    row.deleted = Deletions(12)
    answers = [False, False, True]
    run = store.run

    def flaky(*asked: object, **more: object) -> object:
        return run(*asked, **more) if answers.pop(0) else defer.fail(StoreUnavailable("gone"))

    monkeypatch.setattr(store, "run", flaky)
    await row.book.poll()
    live.ended()
    assert (row.open, row.seen) == (1, 0)
    row.clock.advance(CLOSE_RETRY_SECONDS)
    await row.book.settled()
    assert (row.open, row.seen) == (0, 12)
