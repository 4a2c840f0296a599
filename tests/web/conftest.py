"""A site over the test's store; `admin` is a browser that is signed in to the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from fastapi import FastAPI
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailferry.app.gate_building import make_checker
from mailferry.model.access import Secret
from mailferry.observe.log import get_log
from mailferry.passwords.sealing import KeyRing
from mailferry.passwords.service_key import ServiceKey
from mailferry.providers.loader import load_profiles
from mailferry.roster import sign_ins
from mailferry.store.database import Database
from mailferry.web.desk import Desk
from mailferry.web.old_hosts import OldHosts
from mailferry.web.old_mailbox import OldMailbox
from mailferry.web.site import make_site
from mailferry.web.throttle import Throttle
from mailferry.web.tickets import Tickets
from tests.kit.move import Move, make_move
from tests.web.browser import Browser

ADMIN = "anna"
ADMIN_PASSWORD = "correct horse battery"
BRIDGE_SECONDS = 20.0


class WallClock:
    """A wall clock that a test turns."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def store_kind() -> str:
    """Pages hold no SQL: what they stand on is tested over both databases in its own room."""
    return "sqlite"


@pytest.fixture
def wall() -> WallClock:
    return WallClock()


@pytest.fixture
def ticks() -> Clock:
    """The clock of the throttles."""
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "console-keys", ServiceKey(Secret(b"k" * 32)))


def _nobody_is_asked(*_: object) -> Any:
    raise AssertionError("this page asks no mail server")


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(store: Database, keyring: KeyRing, wall: WallClock, ticks: Clock, tmp_path: Path) -> MakeDesk:
    def make(**other: Any) -> Desk:
        judges: Any = None
        checker: Any = None
        parts: dict[str, Any] = {
            "database": store,
            "keyring": keyring,
            "checker": checker,
            "old_mailbox": OldMailbox(
                checker=checker,
                judges=judges,
                database=store,
                keyring=keyring,
                reactor=ticks,
                log=get_log("web"),
            ),
            "on_reactor": _nobody_is_asked,
            "tickets": Tickets(b"t" * 32, wall),
            "user_throttle": Throttle(ticks.seconds),
            "admin_throttle": Throttle(ticks.seconds),
            "log": get_log("web"),
            "seconds": ticks.seconds,
            "flips_file": tmp_path / "flips.log",
            "old_hosts": OldHosts(*[_nobody_is_asked] * 4),
            "profiles": load_profiles(None),
        }
        return Desk(**{**parts, **other})

    return make


@pytest.fixture
def site(make_desk: MakeDesk) -> FastAPI:
    return make_site(make_desk(), doors=())


@pytest.fixture
def browser(site: FastAPI) -> Browser:
    return Browser(site)


@pytest.fixture
def admin(site: FastAPI, store: Database) -> Browser:
    """A browser that is signed in to the console."""
    sign_ins.add(store, ADMIN, Secret(ADMIN_PASSWORD.encode()), who="test")
    browser = Browser(site)
    answer = browser.post("/admin/sign-in", {"name": ADMIN, "password": ADMIN_PASSWORD})
    assert answer.status_code == 303, answer.text
    return browser


async def on_test_reactor(work: Callable[[], Deferred[Any]]) -> Any:
    """Bridge from a page's handler, in the loop of the browser's thread, to the test's reactor.

    It gives up by itself, so that a test that ended early leaves no thread that waits for ever.
    """
    from twisted.internet import reactor

    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(method: Callable[[Any], None], value: Any) -> None:
        loop.call_soon_threadsafe(lambda: done.done() or method(value))

    def begin() -> None:
        work().addCallbacks(
            lambda result: tell(done.set_result, result),
            lambda failure: tell(done.set_exception, failure.value),
        )

    reactor.callFromThread(begin)
    return await asyncio.wait_for(done, BRIDGE_SECONDS)


MakeUserSite = Callable[..., Awaitable[tuple[Move, FastAPI]]]


@pytest_twisted.async_yield_fixture
async def user_site(tmp_path: Path, store: Database, make_desk: MakeDesk) -> AsyncIterator[MakeUserSite]:
    """A function that makes a move of two lab hosts and the site before it."""
    from twisted.internet import reactor

    ends = []

    async def make(**options: Any) -> tuple[Move, FastAPI]:
        move = await make_move(tmp_path, store, **options)
        ends.append(move.end)
        parts = move.parts
        checker = make_checker(parts, move.gate.admit)
        old_mailbox = OldMailbox(
            checker=checker,
            judges=move.penalty,
            database=store,
            keyring=parts.keyring,
            reactor=reactor,
            log=get_log("web"),
        )
        ends.insert(0, old_mailbox.settled)
        desk = make_desk(
            old_mailbox=old_mailbox, checker=checker, on_reactor=on_test_reactor, keyring=parts.keyring
        )
        return move, make_site(desk, doors=())

    yield make
    for end in ends:
        await end()
