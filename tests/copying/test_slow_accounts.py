"""Turns of the queue over accounts of which one is slow: it holds nobody, and turns are shared out fairly."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from mailferry.copying.desk import CopyDesk
from mailferry.copying.pace import SourcePace, SourceTerms
from mailferry.copying.queue import LONG_TURN_SECONDS, CopyQueue
from mailferry.copying.sides import Endpoints
from mailferry.copying.work import Tools
from mailferry.model.account import Event
from mailferry.model.causes import Cause, Unavailable
from mailferry.model.server_url import parse_server_url
from mailferry.observe.log import get_log
from mailferry.plan.pace import PaceLimits
from mailferry.store import accounts, domains, nodes
from mailferry.store.accounts import Account
from mailferry.store.database import Database
from mailferry.store.domains import Domain
from tests.copying.rig import PROFILE
from tests.kit.clocked import WorldTime
from tests.kit.stores import OpenStore

pytestmark = [pytest.mark.deadline(60), pytest.mark.hazard("D20")]
TURN_SECONDS = 5.0
"""What a turn of an ordinary account takes here."""


class Sources:
    """Sources that answer after a while that they cannot, or never; and who asked them."""

    def __init__(self, time: WorldTime, store: Database, tmp_path: Path, at_once: int) -> None:
        self.time, self.store = time, store
        self.slow: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.at_work: Counter[str] = Counter()
        self._hanging: list[Deferred[None]] = []
        reactor: Any = time.reactor
        store._reactor = reactor  # type: ignore[attr-defined]
        log = get_log("test")
        node = store.run_now("node", lambda conn: nodes.register(conn, "copier", "here", "boot", 1))
        self.queue = CopyQueue(
            Tools(store, None, reactor, log, tmp_path / "flips.log", 20.0, 300.0),  # type: ignore[arg-type]
            node=lambda: node,
            make_desk=self.desk,
            pace=SourcePace(store, reactor=reactor, log=log, terms=_terms, minute=lambda: 0.0),
            at_once=at_once,
            since_boot=lambda: time.seconds,
        )

    def add(self, domain: str, count: int, host: str) -> list[str]:
        """Add a domain with accounts that are due."""

        def work(conn: Any) -> list[str]:
            domains.add(conn, domain, source_imap=f"imaps://{host}")
            names = [f"u{number}@{domain}" for number in range(count)]
            for name in names:
                account = accounts.ensure(conn, name, domain)
                accounts.apply(conn, account.id, Event.SOURCE_ACCEPTED, epoch=account.epoch)
            return names

        return self.store.run_now("add", work)

    def desk(self, account: Account, _domain: Domain) -> CopyDesk:
        async def source() -> Any:
            self.asked[account.address] += 1
            self.at_work[account.domain] += 1
            hangs: Deferred[None] = Deferred()
            self._hanging.append(hangs)
            if account.address not in self.slow:
                self.time.reactor.callLater(
                    TURN_SECONDS, lambda: None if hangs.called else hangs.callback(None)
                )
            try:
                await hangs
            finally:
                self.at_work[account.domain] -= 1
            raise Unavailable(Cause.PROTOCOL_ERROR, "not today")  # says nothing of the host

        async def target() -> Any:
            raise AssertionError("the source comes first")

        return CopyDesk(self.store, self.time.reactor, Endpoints(target, source), PROFILE)

    def all_asked(self, names: list[str]) -> bool:
        return all(self.asked[name] for name in names)


def _terms(domain: Domain) -> SourceTerms:
    assert domain.source_imap is not None
    return SourceTerms(parse_server_url(domain.source_imap).host, PaceLimits(), 1)


@pytest_twisted.async_yield_fixture
async def sources(tmp_path: Path, open_store: OpenStore) -> AsyncIterator[Any]:
    started: list[Sources] = []
    with WorldTime() as time:

        def begin(at_once: int) -> Sources:
            made = Sources(time, open_store(now=time.now), tmp_path, at_once)
            started.append(made)
            return made

        yield begin
        for made in started:
            await time.run(made.queue.finish())


@pytest.fixture
def store_kind() -> str:
    """What holds SQL is tested over both databases elsewhere."""
    return "sqlite"


async def test_an_account_that_drips_holds_the_others_of_its_domain_for_a_while_only(sources: Any) -> None:
    world = sources(at_once=1)
    slow, *others = world.add("one.test", 4, "a.test")
    world.slow.add(slow)
    world.queue.begin()
    await world.time.advance(10)
    assert world.asked == {slow: 1}
    passed = await world.time.until(lambda: world.all_asked(others), within=LONG_TURN_SECONDS + 100, step=2)
    assert passed <= LONG_TURN_SECONDS + len(others) * (TURN_SECONDS + 3)
    assert world.asked[slow] == 1, "its own turn goes on"


async def test_an_account_that_drips_does_not_hold_accounts_of_other_hosts_at_all(sources: Any) -> None:
    world = sources(at_once=1)
    (slow,) = world.add("slow.test", 1, "slow.test")
    world.slow.add(slow)
    world.queue.begin()
    await world.time.advance(2)
    others = world.add("quick.test", 4, "quick.test")
    await world.time.until(lambda: world.all_asked(others), within=len(others) * (TURN_SECONDS + 1.5) + 2)


async def test_a_domain_with_one_account_gets_its_turn_beside_one_with_a_hundred(sources: Any) -> None:
    world = sources(at_once=4)
    many = world.add("many.test", 100, "host.test")
    world.queue.begin()
    await world.time.advance(2)
    assert world.at_work["many.test"] == 4
    (one,) = world.add("one.test", 1, "host.test")
    await world.time.until(lambda: world.asked[one], within=TURN_SECONDS + 2)
    assert sum(world.asked[name] > 0 for name in many) < 20
    await world.time.until(lambda: world.all_asked(many), within=400)
    assert max(world.asked.values()) - min(world.asked.values()) <= 2, "who waited longest is next"
