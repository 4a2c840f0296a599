"""The pace of a copier process, with other processes' turns and octets in the same store."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailferry.copying.pace import SourcePace, SourceTerms
from mailferry.copying.pace_carrier import PacedCarrier
from mailferry.model.access import Protocol
from mailferry.model.causes import Cause, Refused, Unavailable
from mailferry.model.hours import Hours
from mailferry.model.server_url import parse_server_url
from mailferry.observe.log import get_log
from mailferry.plan.pace import Bucket, PaceLimits
from mailferry.remote.open import OpenSession
from mailferry.store import accounts, domains, leases, pace_hours, source_hosts
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from tests.copying.rig import turn
from tests.kit.clocked import ClockedReactor
from tests.kit.scripted import REC
from tests.kit.stores import OpenStore
from tests.remote.sessions import session_at

NOW = 1_790_000_000.0


class World:
    """A store on a clock, some domains with due accounts, and processes that copy them."""

    def __init__(self, open_store: OpenStore) -> None:
        self.clock = Clock()
        self.store: Database = open_store(now=lambda: NOW + self.clock.seconds())
        self.limits = PaceLimits()
        self.minute = 0.0

    def domain(self, name: str, host: str, accounts_due: int) -> None:
        def work(conn: Any) -> None:
            domains.add(conn, name, source_imap=f"imaps://{host}")
            for number in range(accounts_due):
                account = accounts.ensure(conn, f"u{number}@{name}", name)
                accounts.note(conn, account.id, next_due_at=NOW - number)

        self.store.run_now("domain", work)

    def terms(self, domain: Domain) -> SourceTerms:
        assert domain.source_imap is not None
        return SourceTerms(parse_server_url(domain.source_imap).host, self.limits, 2)

    def pace(self) -> SourcePace:
        from twisted.internet import reactor

        self.store._reactor = reactor  # type: ignore[assignment]
        return SourcePace(
            self.store,
            reactor=ClockedReactor(reactor, self.clock),
            log=get_log("test"),
            terms=self.terms,
            minute=lambda: self.minute,
        )

    def work_on(self, shares: dict[str, int]) -> None:
        """Another process takes accounts."""
        from mailferry.store import nodes

        def take(conn: Any) -> None:
            node = nodes.register(conn, "copier", "there", "boot", 7)
            limit = sum(shares.values())
            leases.take(conn, node, limit=limit, lease_seconds=60, shares=shares)

        self.store.run_now("take", take)


@pytest.fixture
def world(open_store: OpenStore) -> World:
    return World(open_store)


async def test_turns_go_round_the_hosts_with_what_other_processes_work_on_counted(world: World) -> None:
    world.domain("large.test", "a.test", 12)
    world.domain("small.test", "b.test", 2)
    pace = world.pace()
    assert await pace.shares(4, 0, Counter()) == {"large.test": 2, "small.test": 2}
    world.work_on({"large.test": 5, "small.test": 1})
    assert await pace.shares(2, 0, Counter()) == {"small.test": 1, "large.test": 1}


async def test_the_connections_of_a_host_are_kept_over_all_processes(world: World) -> None:
    world.limits = PaceLimits(host_connections=6)
    world.domain("one.test", "a.test", 5)
    world.domain("two.test", "a.test", 5)
    pace = world.pace()
    assert await pace.shares(8, 0, Counter()) == {"one.test": 2, "two.test": 1}
    world.work_on({"one.test": 2})
    assert await pace.shares(8, 0, Counter()) == {"two.test": 1}
    world.work_on({"two.test": 1})
    assert await pace.shares(8, 0, Counter()) == {}


@pytest.mark.hazard("D20")
async def test_a_host_that_lets_nobody_in_is_left_alone_by_all_and_tried_again_by_one(world: World) -> None:
    world.domain("down.test", "a.test", 9)
    world.domain("up.test", "b.test", 1)
    pace, other = world.pace(), world.pace()
    terms = SourceTerms("a.test", PaceLimits(), 2)

    async def down() -> OpenSession:
        raise Unavailable(Cause.SERVER_DOWN, "refused")

    async def wrong() -> OpenSession:
        raise Refused(Cause.BAD_CREDENTIALS, "no")

    for opening in (down, wrong, down, wrong):
        with pytest.raises((Unavailable, Refused)):
            await pace.opened(1, terms, opening)
    assert await other.shares(4, 0, Counter()) == {"down.test": 3, "up.test": 1}
    with pytest.raises(Unavailable):
        await other.opened(2, terms, down)
    assert await pace.shares(4, 0, Counter()) == {"up.test": 1}
    world.clock.advance(11.0)
    assert await pace.shares(4, 0, Counter()) == {"down.test": 1, "up.test": 1}
    assert (await other.shares(4, 0, Counter())) == {"down.test": 1, "up.test": 1}
    rec = await REC().start()
    session = await session_at(rec.port, Protocol.IMAP, b"")

    async def works() -> OpenSession:
        return session

    assert await pace.opened(1, terms, works) is session
    assert await other.shares(4, 0, Counter()) == {"down.test": 3, "up.test": 1}
    assert world.store.read_now("troubled", source_hosts.troubled) == {}
    session.carrier.abort()
    await rec.stop()


async def test_octets_of_a_day_are_counted_over_processes_and_come_back_by_the_hour(world: World) -> None:
    limits = PaceLimits(bytes_per_day=1000, host_bytes_per_day=3000)
    terms = SourceTerms("a.test", limits, 2)
    pace, other = world.pace(), world.pace()

    def waits(one: SourcePace, account_id: int) -> bool:
        return one.must_wait(account_id, terms, at_any_hour=False) is not None

    class Reader:
        def received(self, data: bytes) -> None: ...
        def pressure(self, full: bool) -> None: ...
        def closed(self, reason: object) -> None: ...

    async def read(one: SourcePace, account_id: int, octets: int) -> None:
        rec = await REC([b"x" * octets]).start()
        session = await session_at(rec.port, Protocol.IMAP, b"")

        async def opening() -> OpenSession:
            return session

        opened = await one.opened(account_id, terms, opening)
        assert isinstance(opened.carrier, PacedCarrier)
        before = one._unwritten[f"account {account_id}"]
        opened.carrier.attach(Reader())
        talk = await rec.talk()
        from twisted.internet import reactor, task

        while one._unwritten[f"account {account_id}"] < before + octets:
            await task.deferLater(reactor, 0.01, lambda: None)
        opened.carrier.abort()
        await talk.gone()
        await rec.stop()

    await read(pace, 1, 999)
    assert not waits(pace, 1)
    await read(pace, 1, 1)
    assert waits(pace, 1), "before anything is written down"
    assert not waits(pace, 2)
    await pace.flush()
    assert not waits(other, 1)
    await other.begin_turn(1, terms)
    assert waits(other, 1)
    await read(other, 2, 900)
    await read(other, 3, 900)
    await other.flush()
    await read(pace, 4, 300)
    await pace.flush()
    assert waits(pace, 5), "the host's are used up"
    world.clock.advance(23 * 3600.0)
    await pace.begin_turn(1, terms)
    assert waits(pace, 1)
    world.clock.advance(3600.0)
    await pace.begin_turn(1, terms)
    assert not waits(pace, 1)
    world.store.run_now("prune", pace_hours.prune)
    assert world.store.read_now("spent", lambda conn: pace_hours.spent(conn, ["account 1"])) == {
        "account 1": 0
    }


async def test_copies_wait_for_their_hours_and_late_mail_does_not(world: World) -> None:
    terms = SourceTerms("a.test", PaceLimits(hours=Hours(22 * 60, 6 * 60)), 2)
    pace = world.pace()
    world.minute = 21 * 60
    waits = pace.must_wait(1, terms, at_any_hour=False)
    assert waits is not None
    assert waits.seconds == 3600.0
    assert "22:00-06:00" in waits.why
    assert pace.must_wait(1, terms, at_any_hour=True) is None
    world.minute = 23 * 60
    assert pace.must_wait(1, terms, at_any_hour=False) is None


async def test_a_source_without_limits_costs_nothing(world: World) -> None:
    pace = world.pace()
    rec = await REC().start()
    session = await session_at(rec.port, Protocol.IMAP, b"")

    async def opening() -> OpenSession:
        return session

    assert await pace.opened(1, SourceTerms("a.test", PaceLimits(host_connections=3), 2), opening) is session
    session.carrier.abort()
    await rec.stop()


async def test_commands_go_out_in_their_order_and_no_faster_than_allowed() -> None:
    clock = Clock()
    rec = await REC().start()
    session = await session_at(rec.port, Protocol.POP3, b"")
    carrier = PacedCarrier(session.carrier, clock, read=None, buckets=[Bucket(60, 0.0), Bucket(600, 0.0)])  # type: ignore[arg-type]
    talk = await rec.talk()
    carrier.write(b"".join(b"RETR %d\r\n" % number for number in range(1, 11)))
    carrier.write(b"QUIT\r\n")
    await talk.expect(b"RETR 6\r\n")
    assert b"RETR 7" not in talk.received
    for number in range(7, 11):
        clock.advance(1.0)
        await talk.expect(b"RETR %d\r\n" % number)
    assert b"QUIT" not in talk.received
    carrier.close()
    await talk.expect(b"QUIT\r\n")
    talk.close()
    await talk.gone()
    assert not clock.getDelayedCalls()
    await rec.stop()
    await turn()


async def test_a_connection_that_is_aborted_sends_nothing_more() -> None:
    clock = Clock()
    rec = await REC().start()
    session = await session_at(rec.port, Protocol.POP3, b"")
    carrier = PacedCarrier(session.carrier, clock, read=None, buckets=[Bucket(10, 0.0)])  # type: ignore[arg-type]
    talk = await rec.talk()
    carrier.write(b"ONE\r\nTWO\r\n")
    await talk.expect(b"ONE\r\n")
    carrier.abort()
    await talk.gone()
    clock.advance(60.0)
    assert b"TWO" not in talk.received
    assert not clock.getDelayedCalls()
    await rec.stop()
